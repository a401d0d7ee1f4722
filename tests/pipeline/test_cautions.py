"""Figures that flatter say so next to them, once: copies of queries, people of the training, no cameras."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from artifacts import edit_run
from pages import Page
from PIL import Image
from pipeline.conftest import MODEL

import scing_cli
from scing_cli.core.errors import ScingWarning

TRAINED = "too well"
COPIES = "same bytes"
CAMERAS = "Nothing is left out"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return tmp_path


def draw(file, seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((64, 128)).save(file)


def write(file, rows):
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "identity", "camera", "split"), *rows])
    return file


def copied(here, cameras=("", ""), count=3):
    """Write a data set whose first queries are copied into the gallery."""
    rows = []
    for person in range(4):
        for name in ("asked", "other"):
            draw(here / f"{name}{person}.png", 10 * person + len(name) + ord(name[0]))
        rows.append((f"asked{person}.png", person, cameras[0], "query"))
        rows.append((f"other{person}.png", person, "9" if cameras[0] else "", "gallery"))
        if person < count:
            shutil.copy(here / f"asked{person}.png", here / f"copy{person}.png")
            rows.append((f"copy{person}.png", person, cameras[1], "gallery"))
    return write(here / "mine.csv", rows)


def kinds(told):
    return {caution["kind"]: caution["count"] for caution in told["cautions"]}


def test_copies_of_queries_are_counted_and_a_pair_is_named(scing, here):
    data = copied(here)
    told = scing("evaluate", *MODEL, "--data", data, "--json")
    assert kinds(told.json) == {"copies": 3, "no-camera": 4}
    text = "3 queries lie in the gallery as copies (same bytes), such as asked0.png and copy0.png"
    assert text in told.err
    shown = scing("evaluate", *MODEL, "--data", data)
    assert f"Warning: {text}" in shown.out
    assert (shown.out + shown.err).count(COPIES) == (shown.out + shown.err).count(CAMERAS) == 1
    assert (shown.out + shown.err).count("no camera is known") == 1


@pytest.mark.parametrize(("camera", "count"), [("1", 0), ("2", 3)])
def test_copies_that_the_protocol_leaves_out_flatter_nothing(scing, here, camera, count):
    told = scing("evaluate", *MODEL, "--data", copied(here, ("1", camera)), "--json").json
    assert kinds(told) == ({"copies": count} if count else {})


def test_one_image_in_both_parts_is_no_copy(scing, here):
    draw(here / "a.png", 1)
    draw(here / "b.png", 2)
    rows = [("a.png", "1", "", "query"), ("a.png", "1", "", "gallery"), ("b.png", "1", "", "gallery")]
    assert "copies" not in kinds(scing("evaluate", *MODEL, "--data", write(here / "m.csv", rows), "--json").json)


def test_an_index_as_gallery_is_searched_for_copies_too(scing, here):
    data = copied(here)
    assert scing("embed", *MODEL, "--data", data, "--output", "g.faiss").code == 0
    told = scing("evaluate", *MODEL, "--data", data, "--index", "g.faiss", "--json").json
    assert kinds(told) == {"copies": 3, "no-camera": 4}


def test_people_of_the_training_are_told_with_and_without_data(scing, own_run, world, here):
    assert kinds(scing("evaluate", "--run", own_run, "--json").json) == {}
    own = scing("evaluate", "--run", own_run, "--split", "train", "--json")
    assert kinds(own.json) == {"trained-on": own.json["queries"]}
    assert own.err.count(TRAINED) == 1
    other = scing("evaluate", "--run", own_run, "--data", world, "--split", "train", "--json").json
    assert kinds(other) == kinds(own.json)
    shown = scing("evaluate", "--run", own_run, "--data", world, "--split", "train")
    assert (shown.out + shown.err).count(TRAINED) == 1


def test_a_table_of_the_same_images_under_other_names_is_recognised(scing, own_run, world, here):
    files = sorted((world / "bounding_box_train").glob("*.jpg"))
    rows = [
        (file, f"person {file.name[:4]}", file.name[6], "gallery" if "c1" in file.name else "query") for file in files
    ]
    told = scing("evaluate", "--run", own_run, "--data", write(here / "m.csv", rows), "--json")
    assert kinds(told.json) == {"trained-on": told.json["queries"]}
    assert "person 0001" in told.err
    assert kinds(scing("evaluate", *MODEL, "--data", "m.csv", "--json").json) == {}


def test_strangers_of_the_same_names_are_not_taken_for_them(scing, own_run, here):
    from scing_cli.core.synthetic import write_world

    write_world(here / "other", identities=4, cameras=2, images_per_camera=1, seed=77, workers=2)
    assert kinds(scing("evaluate", "--run", own_run, "--data", "other", "--split", "train", "--json").json) == {}


@pytest.mark.parametrize("how", ["copied", "renamed", "moved"])
def test_people_of_the_training_are_recognised_at_another_place(scing, own_run, own_world, here, how):
    if how == "moved":
        edit_run(own_run, lambda info: info["data"].update(root=str(own_world)))
    place = own_world.rename(own_world.with_name("elsewhere"))
    rows = []
    for number, file in enumerate(sorted((place / "bounding_box_train").glob("*.jpg"))[:-1]):
        path = file.rename(place / f"{number}.jpg") if how == "renamed" else file
        rows.append((path.relative_to(place), file.name[:4], file.name[6], "gallery" if "c1" in file.name else "query"))
    told = scing("evaluate", "--run", own_run, "--data", write(place / "m.csv", rows), "--json").json
    assert kinds(told) == {"trained-on": told["queries"]}


def test_other_images_of_the_folder_that_was_trained_on_show_the_same_people(scing, here):
    for person in range(3):
        (here / "crops" / f"p{person}").mkdir(parents=True)
        for number in range(4):
            draw(here / "crops" / f"p{person}" / f"{number}.png", 10 * person + number)
    (here / "lists").mkdir()
    fast = ("--epochs", "1", "--batch-size", "4", "--instances", "2", "--run", "run")
    for file, numbers, parts in (("m.csv", (0, 1), ("train", "train")), ("lists/t.csv", (2, 3), ("query", "gallery"))):
        rows = [
            (here / "crops" / f"p{person}" / f"{number}.png", f"p{person}", number % 2, part)
            for person in range(3)
            for number, part in zip(numbers, parts, strict=True)
        ]
        write(here / file, rows)
    assert scing("train-prompts", "--data", "m.csv", *MODEL, *fast).code == 0
    assert scing("train-visual", *fast).code == 0
    assert kinds(scing("evaluate", "--run", "run", "--data", "lists/t.csv", "--json").json) == {"trained-on": 3}


def test_a_run_that_trained_on_the_queries_people_says_so_by_itself(scing, here):
    rows = []
    for person in range(3):
        for number in range(4):
            draw(here / f"{person}-{number}.png", 10 * person + number)
            rows.append(
                (f"{person}-{number}.png", f"p{person}", number % 2, ("train", "train", "query", "gallery")[number])
            )
    write(here / "m.csv", rows)
    fast = ("--epochs", "1", "--batch-size", "4", "--instances", "2", "--run", "run")
    assert scing("train-prompts", "--data", "m.csv", *MODEL, *fast).code == 0
    assert scing("train-visual", *fast).code == 0
    for data in ((), ("--data", "m.csv")):
        shown = scing("evaluate", "--run", "run", *data)
        assert shown.code == 0, shown.err
        assert "3 of 3 queries show people of the training, such as p0" in shown.out
        assert (shown.out + shown.err).count("the training") == 1
        assert "unseen people" not in shown.err


@pytest.mark.parametrize("people", [3, 0])
def test_a_validation_on_people_of_the_training_says_so(scing, here, people):
    rows = []
    for person in range(6):
        for number in range(4):
            draw(here / f"{person}-{number}.png", 10 * person + number)
            split = "val" if (number > 1 if person < people else person > 2) else "train"
            rows.append((f"{person}-{number}.png", f"p{person}", number % 2, split))
    write(here / "m.csv", rows)
    note = "3 identities are in train and in val: scores of train-visual --validate are not those of unseen people."
    assert (note in scing("prepare", "m.csv").out) == bool(people)
    fast = ("--epochs", "1", "--batch-size", "4", "--instances", "2", "--run", "run")
    assert scing("train-prompts", "--data", "m.csv", *MODEL, *fast).code == 0
    shown = scing("train-visual", *fast, "--validate", "--as", "shown")
    told = scing("train-visual", *fast, "--validate", "--json")
    assert kinds(told.json) == ({"trained-on": 6} if people else {})
    text = "Warning: 6 of 18 queries show people of the training, such as p0: a run separates"
    assert shown.err.count(text) == told.err.count(text) == bool(people)
    assert ("The validation shows people of the training: its figures are too good." in shown.out) == bool(people)


def test_the_report_says_it_before_everything_else(scing, here):
    assert scing("evaluate", *MODEL, "--data", copied(here), "--output", "report").code == 0
    page = Page((here / "report" / "report.html").read_text(encoding="utf-8"))
    told = json.loads((here / "report" / "report.json").read_text(encoding="utf-8"))
    assert kinds(told) == {"copies": 3, "no-camera": 4}
    for caution in told["cautions"]:
        assert page.source.count(caution["text"].replace("'", "&#39;")) == 1
    assert page.source.index(COPIES) < page.source.index("<h2")


def test_the_library_warns(here):
    data = copied(here)
    with pytest.warns(ScingWarning) as caught:
        report = scing_cli.evaluate(scing_cli.ModelChoice(model=MODEL[1], pretrained="random"), data=data)
    said = [str(warning.message) for warning in caught]
    assert [caution.kind for caution in report.cautions] == ["copies", "no-camera"]
    assert all(said.count(caution.text) == 1 for caution in report.cautions)
