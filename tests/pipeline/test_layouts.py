"""Every row of the table of layouts, from files on disk to figures, or to the message that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures import FIXTURES, Fixture
from PIL import Image
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse

from scing_cli.core.layouts import LAYOUTS

ONE_BATCH = ("--epochs", "1", "--batch-size", "4", "--instances", "2")


@pytest.fixture(scope="module", params=FIXTURES)
def written(request, tmp_path_factory) -> tuple[Fixture, Path]:
    fixture = FIXTURES[request.param]
    return fixture, fixture.write(tmp_path_factory.mktemp("layouts") / "data")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_layout_has_a_fixture():
    assert {fixture.layout for fixture in FIXTURES.values()} == set(LAYOUTS)
    assert {name: spec.train_on for name, spec in LAYOUTS.items() if spec.train_on} == {
        fixture.layout: fixture.train_on for fixture in FIXTURES.values() if fixture.train_on
    }


def test_prepare_counts_exactly(scing, written, here):
    fixture, data = written
    told = scing("prepare", data, "--sheet", "sheet.png", "--json").json
    assert told["layout"] == fixture.layout
    parts = {name: (part["identities"], part["images"], part["cameras"]) for name, part in told["parts"].items()}
    assert parts == fixture.parts
    assert (told["junk"], len(told["dropped"]), told["unreadable"]) == (fixture.junk, fixture.dropped, [])
    with Image.open("sheet.png") as sheet:
        assert sheet.width >= 480
    again = scing("prepare", told["manifest"], "--output", "again.csv", "--json").json
    assert again["parts"] == told["parts"]
    assert again["layout"] == "csv"


def test_train_embed_and_evaluate(scing, written, here):
    fixture, data = written
    train = ("train-prompts", "--data", data, *MODEL, *ONE_BATCH, "--run", "run")
    if not fixture.parts["train"][0]:
        parts = ("for tests alone", fixture.train_on) if fixture.train_on else ("no image in the split 'train'",)
        refuse(scing(*train), *parts)
        assert not Path("run").exists()
    else:
        assert scing(*train).code == 0
        assert scing("train-visual", "--run", "run", *ONE_BATCH, "--warmup-epochs", 0).code == 0
    split = "train" if not fixture.parts["query"][0] else "query"
    model = MODEL if not Path("run").exists() else ("--run", "run")
    evaluation = scing("evaluate", *model, "--data", data, "--split", split, "--json")
    if fixture.layout == "images":
        refuse(evaluation, "no image in the split 'train'", "no row names a split")
    else:
        assert evaluation.json["protocol"] == (fixture.protocol if split == "query" else "no-camera")
        assert evaluation.json["queries"] == fixture.parts[split][1]
        assert evaluation.json["valid_queries"] == evaluation.json["queries"]
    embedded = scing("embed", *model, "--data", data, "--split", "all", "--output", "all.faiss", "--json").json
    rows = sum(images for _, images, _ in fixture.parts.values())
    assert embedded["added"] == (rows or 6)


def test_val_of_msmt17_is_trained_on_where_asked(scing, here):
    data = FIXTURES["MSMT17 V1"].write(here / "MSMT17_V1")
    told = scing("prepare", data, "--include-val", "--json").json
    assert told["parts"]["train"] == {"identities": 3, "images": 12, "cameras": 4}
    assert "val" not in told["parts"]
    trained = scing("train-prompts", "--data", data, "--include-val", *MODEL, *ONE_BATCH, "--run", "run", "--json")
    assert trained.json["images"] == 12
    assert scing("train-prompts", "--data", data, *MODEL, *ONE_BATCH, "--run", "other", "--json").json["images"] == 9


def test_an_unreadable_image_is_kept_with_its_reason_and_not_used(scing, here):
    data = FIXTURES["Market-1501"].write(here / "Market")
    broken = min((data / "bounding_box_train").glob("*.jpg"))
    broken.write_bytes(broken.read_bytes()[:200])
    told = scing("prepare", data, "--json").json
    assert [one["path"] for one in told["unreadable"]] == [f"bounding_box_train/{broken.name}"]
    assert told["parts"]["train"]["images"] == 9
    rows = Path("Market.csv").read_text().splitlines()
    assert rows[0].endswith(",caption,unreadable")
    assert sum("truncated" in row for row in rows) == 1
    trained = scing("train-prompts", "--data", "Market.csv", *MODEL, *ONE_BATCH, "--run", "run", "--json")
    assert trained.json["images"] == 8
    assert "1 files were left out" in trained.err
    broken.write_bytes(next((data / "query").glob("*.jpg")).read_bytes())
    mended = scing("prepare", "Market.csv", "--output", "mended.csv", "--json").json
    assert mended["unreadable"] == []
    assert "unreadable" not in Path("mended.csv").read_text()


def test_two_files_of_the_same_bytes_are_told(scing, here):
    data = FIXTURES["Market-1501"].write(here / "Market")
    one = min((data / "bounding_box_train").glob("0001_*.jpg"))
    (data / "bounding_box_train" / "0002_c9s1_000009_00.jpg").write_bytes(one.read_bytes())
    result = scing("prepare", data)
    assert "are the same bytes under different identities" in result.err
    assert "groups of files that are the same bytes:" in result.out


def test_the_report_fits_eighty_columns(scing, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    data = FIXTURES["Market-1501"].write(here / "Market")
    shown = scing("prepare", data).out
    assert "Distractors: 1 gallery images show nobody who is among the queries (1 identities)." in shown
    assert "Cameras per identity: train 3, query 2, gallery 1 to 2 (median 2)." in shown
    assert "Pixels: width 32, height 64." in shown
    assert "1 files are marked as junk" in shown


def test_a_sheet_of_no_kind_of_picture_is_refused_before_anything(scing, here):
    data = FIXTURES["Market-1501"].write(here / "Market")
    refuse(scing("prepare", data, "--sheet", "sheet.gif"), "--sheet sheet.gif: unknown kind of picture", ".png")
    assert not Path("Market.csv").exists()
