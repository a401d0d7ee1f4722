"""Every row of the table of layouts, from files on disk to figures or to an error message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fixtures import FIXTURES, Fixture, figure, put
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
    shared = [note for note in told["notes"] if "is in train and in gallery" in note]
    assert bool(shared) == (fixture.layout == "occluded-market")
    again = scing("prepare", told["manifest"], "--output", "again.csv", "--json").json
    assert again["parts"] == told["parts"]
    assert again["layout"] == "csv"


def test_train_embed_and_evaluate(scing, written, here):
    fixture, data = written
    train = ("train-prompts", "--data", data, *MODEL, *ONE_BATCH, "--run", "run")
    if not fixture.parts["train"][0]:
        parts = ("test-only data set", fixture.train_on) if fixture.train_on else ("no image in the split 'train'",)
        refuse(scing(*train), *parts)
        assert not Path("run").exists()
    else:
        assert scing(*train).code == 0
        assert scing("train-visual", "--run", "run", *ONE_BATCH, "--warmup-epochs", 0).code == 0
    split = "train" if not fixture.parts["query"][0] else "query"
    model = MODEL if not Path("run").exists() else ("--run", "run")
    evaluate = ("evaluate", *model, "--data", data, "--split", split)
    if fixture.layout == "images":
        refuse(scing(*evaluate), "no image in the split 'train'", "no row has a split")
    else:
        evaluation = scing(*evaluate, "--json")
        cameras = split == "query" or fixture.parts[split][2] > 1
        assert evaluation.json["protocol"] == (fixture.protocol if cameras else "no-camera")
        assert evaluation.json["queries"] == fixture.parts[split][1]
        assert evaluation.json["valid_queries"] == evaluation.json["queries"]
    embedded = scing("embed", *model, "--data", data, "--split", "all", "--output", "all.faiss", "--json").json
    rows = sum(images for _, images, _ in fixture.parts.values()) - fixture.twice
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
    assert rows[0].endswith(",caption,unreadable_reason")
    assert sum("truncated" in row for row in rows) == 1
    trained = scing("train-prompts", "--data", "Market.csv", *MODEL, *ONE_BATCH, "--run", "run", "--json")
    assert trained.json["images"] == 8
    assert "1 file was left out" in trained.err
    assert "Rows marked as unreadable are left out: train 1." in trained.err
    broken.write_bytes(next((data / "query").glob("*.jpg")).read_bytes())
    mended = scing("prepare", "Market.csv", "--output", "mended.csv", "--json").json
    assert mended["unreadable"] == []
    assert "unreadable" not in Path("mended.csv").read_text()


def test_two_files_of_the_same_bytes_are_told(scing, here):
    data = FIXTURES["Market-1501"].write(here / "Market")
    one = min((data / "bounding_box_train").glob("0001_*.jpg"))
    (data / "bounding_box_train" / "0002_c9s1_000009_00.jpg").write_bytes(one.read_bytes())
    result = scing("prepare", data)
    assert "are identical files under different identities" in result.err
    assert "1 group of identical files:" in result.out


def test_the_report_fits_eighty_columns(scing, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    data = FIXTURES["Market-1501"].write(here / "Market")
    shown = scing("prepare", data).out
    assert "Distractors: 1 gallery image of identities without a query (1 identity)." in shown
    assert "Cameras per identity: train 3, query 2, gallery 1 to 2 (median 2)." in shown
    assert "Pixels: width 32, height 64." in shown
    assert "1 file of identity -1, which marks junk: left out." in shown


def test_a_sheet_of_no_kind_of_picture_is_refused_before_anything(scing, here):
    data = FIXTURES["Market-1501"].write(here / "Market")
    refuse(scing("prepare", data, "--sheet", "sheet.gif"), "--sheet sheet.gif: unknown kind of picture", ".png")
    assert not Path("Market.csv").exists()


@pytest.mark.parametrize(
    ("split", "identity", "said"),
    [
        ("train", "0002", "under different identities"),
        ("gallery", "0001", "in training and in the test"),
        ("train", "0001", ""),
        ("train", "", ""),
    ],
)
def test_copies_are_warned_of_where_they_do_harm(scing, here, split, identity, said):
    figure(1, 1).save("a.png")
    for copy in ("b.png", "c.png", "d.png"):
        Path(copy).write_bytes(Path("a.png").read_bytes())
    rows = ["a.png,0001,train", "b.png,0001,train", f"c.png,{identity},{split}", f"d.png,{identity},{split}"]
    Path("mine.csv").write_text("\n".join(["path,identity,split", *rows, ""]))
    result = scing("prepare", "mine.csv", "--json")
    assert result.json["identical"] == [["a.png", "b.png", "c.png", "d.png"]]
    warned = [line for line in result.err.splitlines() if "are identical files" in line]
    assert warned == ([f"Warning: a.png and c.png are identical files {said}."] if said else [])


def test_query_and_gallery_that_share_files_are_warned_of_once(scing, here):
    for number in range(3):
        figure(number, 1).save(f"q{number}.png")
        Path(f"g{number}.png").write_bytes(Path(f"q{number}.png").read_bytes())
    rows = [f"{part[0]}{number}.png,{number},{part}" for part in ("query", "gallery") for number in range(3)]
    Path("mine.csv").write_text("\n".join(["path,identity,split", *rows, ""]))
    warned = [line for line in scing("prepare", "mine.csv").err.splitlines() if "are identical files" in line]
    where = "in query and in gallery (and 2 more pairs; --json lists all groups)"
    assert warned == [f"Warning: q0.png and g0.png are identical files {where}."]


def test_a_sheet_is_never_written_over_an_image_of_the_data(scing, here):
    data = FIXTURES["folders by split"].write(here / "own")
    Path("link.jpg").symlink_to(min(data.rglob("*.bmp")))
    image = FIXTURES["Market-1501"].write(here / "Market") / "query" / "0011_c1s1_000001_00.jpg"
    before = image.read_bytes()
    refuse(scing("prepare", image.parent.parent, "--sheet", image), "--sheet", "not a picture written by scing")
    refuse(scing("prepare", data, "--sheet", "link.jpg"), "--sheet", "not a picture written by scing")
    assert image.read_bytes() == before
    assert not list(here.glob("*.csv"))
    assert scing("prepare", data, "--sheet", "sheet.png").code == 0
    assert scing("prepare", data, "--sheet", "sheet.png").code == 0


def test_data_of_no_image_that_counts_is_refused_with_what_became_of_the_files(scing, here):
    root = here / "Market"
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (root / name / "0001").mkdir(parents=True)
    put(root / "query" / "cover.jpg", 1, 1)
    put(root / "bounding_box_test" / "-1_c1.jpg", 1, 1)
    refuse(
        scing("prepare", root, "--sheet", "sheet.png"),
        "Market, read as market1501, has no usable image.",
        "1 file of identity -1 (junk)",
        "1 file left out, such as query/cover.jpg: its name does not start with IDENTITY_cCAMERA",
        "bounding_box_train contains a folder (0001), not read",
    )
    assert not list(here.glob("*.csv"))


def test_a_run_remembers_whether_val_was_for_training(scing, here):
    data = FIXTURES["MSMT17 V2"].write(here / "MSMT17_V2")
    for name, option in (("with", ("--include-val",)), ("without", ())):
        assert scing("train-prompts", "--data", data, *option, *MODEL, *ONE_BATCH, "--run", name).code == 0
        assert json.loads(Path(name, "run.json").read_text())["data"]["include_val"] == bool(option)


def test_a_misplaced_or_capitalised_data_set_is_not_taken_for_people(scing, here):
    data = FIXTURES["Market-1501"].write(here / "d1" / "d2" / "d3" / "market")
    assert f"Read from {data}." in scing("prepare", "d1").out
    refuse(scing("prepare", data / "query"), "is a part of the data set")
    (data / "query").rename(data / "Queries")
    refuse(scing("prepare", data), "For market1501, only query is missing.")
    for name in ("bounding_box_train", "bounding_box_test"):
        (data / name).rename(data / name.capitalize())
    refuse(scing("prepare", data), "no known layout", "Found Bounding_box_test, Bounding_box_train")


def test_images_without_a_split_are_counted(scing, here):
    data = FIXTURES["images"].write(here / "crops")
    told = scing("prepare", data, "--json").json
    assert told["unsplit"] == {"identities": 0, "images": 6, "cameras": 0}
    shown = scing("prepare", data).out
    assert "no split" in shown
    assert "gallery" not in shown


def test_counts_of_market_style_that_are_near_nothing_published_are_said(scing, here):
    data = FIXTURES["Market-1501"].write(here / "Market")
    (note,) = [note for note in scing("prepare", data, "--json").json["notes"] if "not close to" in note]
    assert note.startswith("The counts are not close to those of Market-1501, DukeMTMC-reID, Occluded-Duke")


def test_a_sheet_of_no_readable_image_is_not_drawn(scing, here):
    Path("mine.csv").write_text("path\ncrops\\\\a.jpg\n")
    result = scing("prepare", "mine.csv", "--sheet", "sheet.png", "--json")
    assert result.json["sheet"] is None
    assert "No image can be read: sheet.png was not drawn." in result.err
    assert "separate folders by /" in " ".join(result.json["notes"])
    assert result.json["next"] is None
    told = "The only image cannot be read: nothing can be trained, embedded or evaluated."
    assert told in " ".join(result.json["notes"])
    assert "Next:" not in scing("prepare", "mine.csv").out
    assert not Path("sheet.png").exists()
