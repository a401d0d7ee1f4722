"""`scing prepare` on data of several spectra: counts, damage, hostile cells, copies, the sheet; and what prompts say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import spectral
from PIL import Image
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse

from scing_cli.core.artifacts import open_run
from scing_cli.core.workflows.shared.run_data import run_manifest

FEW = ("--epochs", 1, "--batch-size", 4, "--instances", 2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(here):
    """Six observations in a CSV; returns a function that writes it, with other lines instead of some."""
    lines = ["path,identity,camera,split,near_infrared,thermal,crops"]
    for number in range(6):
        files = [Path(f"{spectrum}{number}.png") for spectrum in ("v", "n", "t")]
        spectral.put_views(files, number, 0)
        lines.append(f"v{number}.png,{number % 3},{number % 2},train,n{number}.png,t{number}.png,")

    def write(changed: dict[int, str]) -> str:
        Path("mine.csv").write_text("\n".join([*(changed.get(n - 1, line) for n, line in enumerate(lines)), ""]))
        return "mine.csv"

    return write


def test_each_spectrum_is_counted_with_what_is_missing_and_unreadable(scing, here, table):
    Path("t2.png").write_bytes(b"not an image")
    Path("folder.png").mkdir()
    spectral.strip(5, 0).save("strip.png")
    Image.new("RGB", (97, 16)).save("odd.png")
    data = table(
        {
            1: "v1.png,1,1,train,,t1.png,",
            3: ",0,1,train,n3.png,gone.png,",
            4: f"v4.png,1,0,train,folder.png,{(here / 't4.png').as_posix()},",
            5: "strip.png,2,1,train,,,3x1\nodd.png,2,0,train,,,3x1",
        }
    )
    told = scing("prepare", data, "--sheet", "sheet.png", "--json").json
    assert told["spectra"] == {
        "rgb": {"images": 6, "missing": 1, "unreadable": 1},
        "nir": {"images": 6, "missing": 1, "unreadable": 2},
        "tir": {"images": 7, "missing": 0, "unreadable": 3},
    }
    reasons = {fault["path"]: fault["reason"] for fault in told["unreadable"]}
    assert set(reasons) == {"t2.png", "gone.png", "folder.png", "odd.png"}
    assert (reasons["gone.png"], reasons["folder.png"]) == ("is missing", "is a folder, not an image")
    assert reasons["odd.png"] == "is 97 pixels wide, which cannot be divided into 3 images of one width"
    assert told["unreadable_parts"] == {"train": 4}
    written = Path(told["manifest"]).read_text()
    assert "has a near-infrared image (folder.png) that is a folder, not an image" in written
    shown = scing("prepare", data).out
    line = "Images of each spectrum: visible 6, 1 missing, 1 unreadable; near-infrared 6, 1 missing, 2 unreadable;"
    assert line in " ".join(shown.split())
    trained = scing("train-prompts", "--data", told["manifest"], *MODEL, *FEW, "--json")
    assert trained.json["images"] == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("v0.png,0,0,train,t0.png,t0.png,", "near_infrared and thermal name one file"),
        ("v0.png,0,0,train,n0.png,,3x1", "near_infrared names another image"),
        (",0,0,train,,,", "line 2: the path is empty"),
    ],
)
def test_cells_that_contradict_each_other_are_refused(scing, table, line, said):
    refuse(scing("prepare", table({0: line})), said)


def test_copies_are_told_by_file_and_spectrum(scing, table):
    shutil.copy("v0.png", "n0.png")
    shutil.copy("t1.png", "t2.png")
    warned = [line for line in scing("prepare", table({})).err.split("Warning: ") if "identical files" in line]
    assert [line.strip() for line in warned] == [
        "v0.png and n0.png are identical files of different spectra.",
        "t1.png and t2.png are identical files under different identities.",
    ]


def test_queries_that_are_copies_of_their_own_scene_are_no_fault(scing, here):
    """MSVR310's queries are copies of gallery images, which the same-scene rule leaves out of every ranking."""
    data = spectral.msvr310(here / "MSVR310")
    assert "in query and in gallery" not in scing("prepare", data).err
    other = data / "bounding_box_test" / "0011" / "th" / "0011_s009_v3_000.jpg"
    shutil.copy(data / "query3" / "0011" / "th" / "0011_s002_v3_000.jpg", other)
    assert "are identical files in query and in gallery" in scing("prepare", data).err


def test_the_sheet_shows_the_three_crops_of_a_strip_side_by_side(scing, here):
    root = spectral.rgbnt100(here / "RGBNT100")
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    for file in root.rglob("*.jpg"):
        whole = Image.new("RGB", (96, 16))
        for part, colour in enumerate(colours):
            whole.paste(colour, (32 * part, 0, 32 * part + 32, 16))
        whole.save(file, quality=100, subsampling=0)
    assert scing("prepare", root, "--sheet", "sheet.png").code == 0
    with Image.open("sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    middle = pixels[64 + 8 + 30]  # the first line
    order = [next((n for n, colour in enumerate(colours) if abs(pixel - colour).max() < 25), None) for pixel in middle]
    runs = [one for one, before in zip(order, [None, *order], strict=False) if one is not None and one != before]
    assert runs == [0, 1, 2, 0, 1, 2]  # two cameras, nothing of a neighbour at any edge


def test_a_run_keeps_what_the_data_show_and_only_data_of_several_spectra_change_the_prompts(scing, here):
    data = spectral.rgbnt100(here / "RGBNT100")
    assert scing("prepare", data, "--output", "mine.csv").code == 0
    learnt = {}
    for name, source in (("folder", data), ("table", "mine.csv")):
        train = ("train-prompts", "--data", source, *MODEL, *FEW, "--run", name)
        assert scing(*train).code == 0
        assert json.loads(Path(name, "run.json").read_text())["data"]["objects"] == "vehicle"
        assert run_manifest(open_run(Path(name))).objects() == "vehicle"
        learnt[name] = Path(name, "prompts", "prompts.safetensors").read_bytes()
    assert learnt["folder"] == learnt["table"]
