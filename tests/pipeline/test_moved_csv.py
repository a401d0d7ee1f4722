"""A run that was trained from a CSV finds its images after they, or the whole project, were moved."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from artifacts import edit_run
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse

SHORT = ("--epochs", "1", "--batch-size", "8")


@pytest.fixture
def project(finished, world, tmp_path, monkeypatch):
    """A folder with a CSV's images and the run of that CSV; it is the working folder."""
    folder = tmp_path / "project"
    shutil.copytree(world, folder / "pics")
    shutil.copytree(finished, folder / "runs" / "one")
    monkeypatch.chdir(folder)
    edit_run(folder / "runs" / "one", lambda info: info["data"].update(root=str(folder / "pics"), layout="csv"))
    return folder


@pytest.mark.parametrize("named", [".", "here", "query", "bounding_box_test"])
def test_each_command_takes_the_folder_of_the_images(scing, project, named):
    Path("new").mkdir()
    shutil.move("pics", "new/here")
    (project / "new" / "here" / "pics.csv").write_text("path\nnothing.jpg\n")  # not what --data names
    lost = scing("embed", "--run", "runs/one")
    shown = re.search(r"--data DIR \(the folder that has (.+?) now\)", lost.err)
    assert lost.code == 2
    assert shown is not None
    assert (project / "new" / "here" / shown[1]).is_file()
    places = {".": "new", "here": "new/here"}
    folder = places.get(named, f"new/here/{named}")
    if named == ".":  # the folder above has the images if it has taken the place of the folder above
        shutil.move("new/here", "new/pics")
    before = json.loads(Path("runs/one/run.json").read_text())["data"]["fingerprint"]
    done = scing("embed", "--run", "runs/one", "--data", folder, "--json")
    assert (done.code, done.json["count"]) == (0, 18)
    assert "its images are read from" in done.err
    assert scing("evaluate", "--run", "runs/one", "--data", folder, "--json").json["queries"] == 18
    (project / "runs" / "one" / "visual" / "stamp.json").unlink()
    trained = scing("train-visual", "--run", "runs/one", "--data", folder, *SHORT, "--json")
    assert trained.code == 0
    after = json.loads(Path("runs/one/run.json").read_text())["data"]
    assert after["fingerprint"] == before
    assert scing("evaluate", "--run", "runs/one", "--json").code == 0  # the run knows the new place


def test_a_folder_without_the_images_is_read_as_a_data_set_of_its_own(scing, project):
    shutil.move("pics", "gone")
    shutil.copytree("gone/query", "other/anna")
    refuse(scing("evaluate", "--run", "runs/one", "--data", "other"), "is not read as")
    refuse(scing("train-visual", "--run", "runs/one", "--as", "two", "--data", "other", *SHORT), "--data DIR")


@pytest.mark.parametrize("prefix", ["pics", "../project/pics", "{here}/pics"])
def test_a_moved_project_works_however_its_csv_names_the_images(scing, project, monkeypatch, prefix):
    rows = [
        f"{prefix.format(here=project)}/{file.relative_to('pics')},{file.name[:4]},{file.name[6]},{split}"
        for folder, split in (("bounding_box_train", "train"), ("query", "query"), ("bounding_box_test", "gallery"))
        for file in sorted(Path("pics", folder).glob("*.jpg"))
    ]
    Path("mine.csv").write_text("\n".join(["path,identity,camera,split", *rows]) + "\n")
    assert scing("train-prompts", "--data", "mine.csv", *MODEL, *SHORT, "--run", "runs/two").code == 0
    project.rename(project.with_name("moved"))
    monkeypatch.chdir(project.with_name("moved"))
    refuse(scing("train-visual", "--run", "runs/two", *SHORT), "Give the new folder of the data: --data DIR")
    assert scing("train-visual", "--run", "runs/two", "--data", ".", *SHORT).code == 0
    assert scing("evaluate", "--run", "runs/two").code == 0
