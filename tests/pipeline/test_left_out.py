"""Images that cannot be read never end a batch: they are left out, named and listed; the others are used as before."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline.conftest import FAST, MODEL
from tiny import TINY_MODEL

from scing_cli.core.index import GalleryIndex
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice

KINDS = ("empty", "cut", "text", "gone", "dangling", "folder")
PLAIN, EXACT = ModelChoice(None, TINY_MODEL, "random"), Machine(precision="fp32", workers=2, batch_size=4)


def spoil(file: Path, kind: str) -> Path:
    content = file.read_bytes()
    file.unlink()
    match kind:
        case "empty":
            file.touch()
        case "cut":
            file.write_bytes(content[:-200])
        case "text":
            file.write_text("no picture\n")
        case "dangling":
            file.symlink_to("nowhere.jpg")
        case "folder":
            file.mkdir()
    return file


def listed(file):
    with Path(file).open(encoding="utf-8", newline="") as stream:
        return [row["path"] for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def crops(world, tmp_path_factory):
    """A table of twelve crops, and the index of all of them."""
    folder = tmp_path_factory.mktemp("crops")
    for number, file in enumerate(sorted((world / "bounding_box_test").glob("*.jpg"))[:12]):
        shutil.copy(file, folder / f"{number:02}.jpg")
    (folder / "rows.csv").write_text("path\n" + "".join(f"{number:02}.jpg\n" for number in range(12)))
    choice = GalleryChoice(folder / "rows.csv", split="all")
    embed(PLAIN, choice, output=folder / "whole.faiss", machine=EXACT, reporter=Silent())
    return folder


@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(damage=st.dictionaries(st.integers(0, 11), st.sampled_from(KINDS), max_size=11), append=st.booleans())
def test_an_index_holds_all_that_can_be_read(crops, tmp_path_factory, damage, append):
    folder = tmp_path_factory.mktemp("some")
    shutil.copytree(crops, folder, dirs_exist_ok=True)
    lost = [str(spoil(folder / f"{number:02}.jpg", kind)) for number, kind in sorted(damage.items())]
    output, choice = folder / "g.faiss", GalleryChoice(folder / "rows.csv", split="all")
    if append:  # an index that holds something else already
        one = tmp_path_factory.mktemp("one")
        shutil.copy(crops / "03.jpg", one)
        embed(PLAIN, GalleryChoice(images=one), output=output, machine=EXACT, reporter=Silent())
    report = embed(PLAIN, choice, output=output, append=append, machine=EXACT, reporter=Silent())
    assert sorted(fault.path for fault in report.left_out) == lost
    assert (report.added, report.count) == (12 - len(lost), 12 - len(lost) + append)
    assert (folder / "g.left-out.csv").exists() is bool(lost)
    if lost:
        assert sorted(listed(folder / "g.left-out.csv")) == lost
    made, whole = (GalleryIndex.read(file) for file in (output, crops / "whole.faiss"))
    kept = [number for number in range(12) if number not in damage]
    np.testing.assert_allclose(made.vectors()[append:], whole.vectors()[kept], atol=1e-6)
    if not damage and not append:
        np.testing.assert_array_equal(made.vectors(), whole.vectors())
    assert [Path(row.path).name for row in made.rows()[append:]] == [f"{number:02}.jpg" for number in kept]


def test_a_changed_image_that_is_damaged_keeps_its_former_row_until_it_is_repaired(crops, tmp_path, scing):
    folder = shutil.copytree(crops, tmp_path / "own")
    command = ("embed", *MODEL, "--data", folder / "rows.csv", "--split", "all", "--output", tmp_path / "g.faiss")
    assert scing(*command).code == 0
    before = GalleryIndex.read(tmp_path / "g.faiss").rows()
    whole = (folder / "05.jpg").read_bytes()
    spoil(folder / "05.jpg", "cut")
    for _ in range(2):
        said = scing(*command, "--append", "--json")
        assert (said.code, said.json["skipped"], len(said.json["left_out"])) == (0, 11, 1)
        assert GalleryIndex.read(tmp_path / "g.faiss").rows() == before
    (folder / "05.jpg").write_bytes((folder / "06.jpg").read_bytes())
    said = scing(*command, "--append")
    assert "1 had changed and were replaced" in said.out
    assert not (tmp_path / "g.left-out.csv").exists()
    (folder / "05.jpg").write_bytes(whole)


def test_when_no_image_is_left_one_message_says_so(crops, here, scing):
    for number in range(12):
        (here / f"{number}.jpg").write_bytes(b"")
    for command in (("embed", *MODEL, "--images", here), ("search", here, "--index", crops / "whole.faiss")):
        said = scing(*command)
        assert (said.code, said.out) == (2, "")
        assert said.err.count("None of the 12 images can be read: ") == 1
        assert "and 2 more" in said.err
    assert not list(here.glob("gallery*"))


def test_a_search_does_without_what_cannot_be_read(crops, here, scing, monkeypatch):
    folder = shutil.copytree(crops, here / "photos")
    bad = [spoil(folder / "01.jpg", "cut"), spoil(folder / "02.jpg", "text")]
    index = ("--index", crops / "whole.faiss", "-k", "1")
    for photos in ([folder], [*bad, folder / "00.jpg", "missing.jpg"]):
        said = scing("search", *photos, *index, "--csv", "hits.csv", "--json")
        assert said.code == 0, said.err
        lost = [entry["path"] for entry in said.json["left_out"]]
        assert lost[:2] == [str(file) for file in bad]
        assert lost == listed("hits.left-out.csv")
        assert not {own["query"] for own in said.json["results"]} & set(lost)
        assert all(path in said.err for path in lost)
        strict = scing("search", *photos, *index, "--strict")
        assert (strict.code, strict.out) == (2, "")
        assert str(bad[0]) in strict.err
    joined = scing("search", *bad, folder / "00.jpg", *index, "--join", "mean", "--json").json
    alone = scing("search", folder / "00.jpg", *index, "--json").json
    assert joined["results"][0]["hits"][0]["path"] == alone["results"][0]["hits"][0]["path"]
    boxed = scing("search", folder, *index, "--box", "0,0,20,40", "--json")
    assert (boxed.code, len(boxed.json["left_out"])) == (0, 2)


@pytest.mark.parametrize("kind", ["cut", "gone"])
def test_both_trainings_and_the_evaluation_do_without_them(own_world, here, scing, kind):
    """A damaged image of each part; the run is as if the training image had never been there."""
    others = shutil.copytree(own_world, here / "others" / own_world.name)
    table, files = "data.csv", {}
    assert scing("prepare", own_world, "--output", table).code == 0
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        files[part] = spoil(sorted((own_world / part).glob("*.jpg"))[2], kind)
        (others / part / files[part].name).unlink()
    assert scing("prepare", others, "--output", "others.csv").code == 0
    for data, run in ((table, "a"), ("others.csv", "b")):
        first = scing("train-prompts", "--data", data, *MODEL, *FAST, "--run", run, "--json")
        second = scing("train-visual", "--run", run, *FAST, "--json")
        scored = scing("evaluate", "--run", run, "--data", data, "--output", f"report-{run}", "--json")
        assert (first.code, second.code, scored.code) == (0, 0, 0), first.err + second.err + scored.err
        lost = [[Path(fault["path"]).name for fault in said.json["left_out"]] for said in (first, second, scored)]
        if run == "b":
            assert lost == [[], [], []]
            continue
        assert lost == [[files["bounding_box_train"].name], [], [files[part].name for part in list(files)[1:]]]
        assert first.json["images"] == second.json["images"] == 17
        assert [entry["split"] for entry in scored.json["left_out"]] == ["query", "gallery"]
        assert listed("a/left-out.train-prompts.csv") == [str(Path(first.json["left_out"][0]["path"]))]
        assert len(listed("report-a/left-out.csv")) == 2
    weights = [Path(run, "visual/image_encoder.safetensors").read_bytes() for run in ("a", "b")]
    assert weights[0] == weights[1]
    again = scing("evaluate", "--run", "a", "--data", table)
    assert (
        "1 query image and 1 gallery image cannot be read and are left out: the figures are of the others."
        in " ".join(again.out.split())
    )
    assert "kept from before" in again.err
    assert scing("evaluate", "--run", "a", "--data", table, "--strict").code == 2
    figures = [scing("evaluate", "--run", "a", "--data", data, "--json").json["mAP"] for data in (table, "others.csv")]
    assert figures[0] == pytest.approx(figures[1], abs=1e-9)


def test_stage_2_does_without_what_was_damaged_since(own_world, here, scing):
    command = ("train-prompts", "--data", own_world, *MODEL, *FAST, "--run", "run")
    assert scing(*command).code == 0
    bad = spoil(sorted((own_world / "bounding_box_train").glob("*.jpg"))[4], "empty")
    strict = scing("train-visual", "--run", "run", *FAST, "--strict")
    assert strict.code == 2
    assert bad.name in strict.err
    said = scing("train-visual", "--run", "run", *FAST, "--json")
    assert (said.code, said.json["images"]) == (0, 17)
    assert listed("run/left-out.train-visual.csv") == [str(bad)]
    assert scing("evaluate", "--run", "run", "--json").json["left_out"] == []


def test_data_that_lose_more_than_a_tenth_are_not_trained_on(own_world, here, scing):
    for file in sorted((own_world / "bounding_box_train").glob("*.jpg"))[::6]:
        spoil(file, "empty")
    said = scing("train-prompts", "--data", own_world, *MODEL, *FAST, "--run", "run")
    assert (said.code, said.out) == (2, "")
    assert "3 of 18 images of the split train cannot be read, more than a tenth:" in said.err
    assert not list(here.iterdir())


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
def test_prepare_counts_unreadable_images_of_each_part_apart(scing, own_world, tmp_path, monkeypatch, split):
    monkeypatch.chdir(tmp_path)
    folder = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}[split]
    images = sorted((own_world / folder).glob("*.jpg"))
    images[0].write_bytes(images[0].read_bytes()[:300])
    told = scing("prepare", own_world, "--json").json
    assert told["unreadable_parts"] == {split: 1}
    shown = scing("prepare", own_world).out
    (row,) = [line.replace("│", " ").split() for line in shown.splitlines() if split in line and "│" in line]
    assert row[2:4] == [str(len(images) - 1), "1"]


def test_embed_says_which_images_it_does_not_take(scing, own_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = scing("embed", "--run", own_run)
    assert "Only the split gallery is embedded, 18 of 54 images. For others: --split train|query|all" in part.err
    assert "Only the split" not in scing("embed", "--run", own_run, "--split", "all", "-o", "all.faiss").err


class Spoiling(Silent):
    """A reporter that damages a file at the first note that starts with some words: after the images were checked."""

    def __init__(self, words: str, file: Path, kind: str) -> None:
        self.words, self.file, self.kind = words, file, kind
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        if text.startswith(self.words) and not self.done():
            spoil(self.file, self.kind)

    def done(self) -> bool:
        return not self.file.is_file() or self.file.stat().st_size < 200 or self.file.read_bytes()[:2] != b"\xff\xd8"

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.mark.parametrize("kind", ["gone", "text"])
@pytest.mark.parametrize("words", ["Run folder", "Trainable"])  # before the images are encoded, and before the steps
def test_an_image_damaged_during_a_training_has_the_pixels_of_the_next_one_of_its_person(world, tmp_path, words, kind):
    from scing_cli.core.settings import PromptSettings, VisualSettings
    from scing_cli.core.workflows.train.prompts_stage import train_prompts
    from scing_cli.core.workflows.train.visual_stage import train_visual

    few = {"epochs": 2, "batch_size": 16, "lr": 1e-3}
    found = {}
    for name in ("expected", "found"):
        data = Path(shutil.copytree(world, tmp_path / name))
        own = sorted((data / "bounding_box_train").glob("0002_*.jpg"))
        reporters = [Silent(), Silent()]
        if name == "expected":
            own[0].write_bytes(own[1].read_bytes())
        else:
            reporters = [Spoiling(words, own[0], kind), Spoiling("Trainable", own[0], kind)]
        prompts = PromptSettings(model=TINY_MODEL, pretrained="random", **few)
        run = tmp_path / f"run-{name}"
        first = train_prompts(data, prompts, run=run, machine=EXACT, reporter=reporters[0])
        if name == "found":
            assert [Path(fault.path).name for fault in first.left_out] == [own[0].name]
            own[0].unlink(missing_ok=True)
            shutil.copy(world / "bounding_box_train" / own[0].name, own[0])
        second = train_visual(VisualSettings(**few), run=run, machine=EXACT, reporter=reporters[1])
        if name == "found":
            assert [Path(fault.path).name for fault in second.left_out] == [own[0].name]
            assert re.search(r"1 of \d+ images cannot be read", " ".join(reporters[1].warnings))
        found[name] = (run / "visual" / "image_encoder.safetensors").read_bytes()
    if words == "Run folder":  # else its own vector was computed before
        assert found["found"] == found["expected"]
