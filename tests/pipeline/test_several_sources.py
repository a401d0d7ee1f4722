"""Training, embedding and evaluating on several data sets at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fixtures import FIXTURES
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse
from pipeline.test_resume import stop_at

from scing_cli.core.index import GalleryIndex
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import PromptSettings
from scing_cli.core.workflows.train.prompts_stage import train_prompts

__all__ = ["stop_at"]
SHORT = ("--epochs", "1", "--batch-size", "8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    for kind, folder in (("Market-1501", "a"), ("folders by split", "b/a"), ("folders of people", "people")):
        (tmp_path / folder).mkdir(parents=True)
        FIXTURES[kind].write(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_data_sets_through_all_commands(scing, here):
    done = scing("train-prompts", "--data", "a", "--data", "b/a", *MODEL, *SHORT, "--run", "r", "--json")
    assert done.code == 0, done.err
    assert (done.json["identities"], done.json["images"]) == (6, 15)
    assert {entry["reason"] for entry in done.json["passed_over"]} >= {"system file or folder"}
    info = json.loads(Path("r/run.json").read_text())
    assert info["identities"] == [*(f"a-2/person {n}" for n in (1, 2, 3)), *(f"a/000{n}" for n in (1, 2, 3))]
    assert info["data"]["sources"] == ["a", "b/a"]
    assert scing("train-visual", "--run", "r", *SHORT).code == 0
    assert scing("evaluate", "--run", "r", "--json").json["queries"] == 8
    assert scing("embed", "--run", "r").code == 0
    rows = GalleryIndex.read(Path("gallery.faiss")).rows()
    assert {row.camera for row in rows} == {"a/1", "a/2", "a/3", "a-2/door", "a-2/yard"}
    assert all(Path(row.path).is_file() for row in rows)
    named = scing("embed", "--run", "r", "--data", "a", "--data", "b/a", "-o", "named.faiss", "--json").json
    assert named["count"] == len(rows)
    others = GalleryIndex.read(Path("named.faiss")).rows()
    assert [(row.path, row.identity) for row in others] == [(row.path, row.identity) for row in rows]


def test_moved_data_are_found_in_the_folder_that_has_all_of_them(scing, here):
    assert scing("train-prompts", "--data", "a", "--data", "people", *MODEL, *SHORT, "--run", "r").code == 0
    Path("new").mkdir()
    for folder in ("a", "people"):
        shutil.move(folder, "new")
    refuse(scing("train-visual", "--run", "r", *SHORT), "Give the new folder of the data: --data DIR")
    assert scing("train-visual", "--run", "r", *SHORT, "--data", "new").code == 0


def test_a_data_set_that_lacks_the_part_is_named(scing, here):
    model = ("--model", "scing-tiny", "--data", "a", "--data", "people")
    refuse(scing("embed", *model), "people has no image in the split 'gallery'")
    Path("mine.csv").write_text(
        "path,identity,split\n"
        "a/bounding_box_train/0001_c1s1_000001_00.jpg,1,train\na/bounding_box_train/0002_c1s1_000001_00.jpg,2,train\n"
    )
    refuse(scing("train-prompts", "--data", "a", "--data", "mine.csv", *MODEL), "is in two of the data sets")
    assert not Path("gallery.faiss").exists()
    assert not Path("runs").exists()


def test_several_folders_of_images_give_one_index(scing, here):
    done = scing("embed", "--model", "scing-tiny", "--images", "a/query", "--images", "people", "--json")
    assert done.json["count"] == 4 + 6
    again = scing("embed", "--model", "scing-tiny", "--images", "a/query", "--append", "--json")
    assert (again.json["added"], again.json["skipped"]) == (0, 4)


def test_a_settings_file_and_the_library_take_several_too(scing, here):
    Path("own.toml").write_text('[data]\npath = ["a", "people"]\n')
    assert scing("train-prompts", "--config", "own.toml", *MODEL, *SHORT, "--run", "r").code == 0
    settings = PromptSettings(model=MODEL[1], pretrained="random", epochs=1, batch_size=8)
    report = train_prompts(["a", Path("people")], settings, run="library", reporter=Silent())
    assert report.identities == 6
    one, other = (Path(run, "manifest.csv").read_bytes() for run in ("r", "library"))
    assert one == other
    refuse(scing("train-prompts", "--config", "own.toml", *MODEL, *SHORT, "--run", "r"), "r is not empty")


def test_an_interrupted_training_on_several_resumes(scing, here, stop_at):
    command = ("train-prompts", "--data", "a", "--data", "people", *MODEL, *SHORT, "--run")
    assert scing(*command, "whole").code == 0
    for again in ((*command, "r"), ("train-prompts", "--resume", "--run", "r")):
        shutil.rmtree("r", ignore_errors=True)
        stop_at(1)
        assert scing(*command, "r").code == 130
        stop_at(99)
        done = scing(*again)
        assert done.code == 0, done.err
        assert "Resuming the unfinished train-prompts in r" in done.err
        assert Path("r/manifest.csv").read_bytes() == Path("whole/manifest.csv").read_bytes()


@pytest.mark.parametrize(
    "command",
    [
        ("train-prompts", "--data", *MODEL),
        ("embed", "--data", "--model", "scing-tiny"),
        ("embed", "--images", "--model", "scing-tiny"),
        ("evaluate", "--data", "--model", "scing-tiny"),
    ],
)
def test_a_place_that_is_named_twice_is_one_message(scing, here, command):
    name, option, *rest = command
    for spelling in ("a", "./a", here / "b" / ".." / "a"):
        refuse(scing(name, option, "a", option, spelling, *rest), f"{option} {Path(spelling)} was given twice.")


@pytest.mark.parametrize("command", ["train-prompts", "embed"])
def test_copies_of_a_data_set_under_another_name_are_warned_of(scing, here, command):
    shutil.copytree("a", "copy of a")
    rest = (*MODEL, *SHORT, "--run", "r") if command == "train-prompts" else ("--model", "scing-tiny")
    done = scing(command, "--data", "a", "--data", "copy of a", *rest)
    assert done.code == 0
    images = len(list(Path("a").rglob("*.jpg"))) - 2  # junk, and a name of another data set
    assert f"Warning: {images} of {images} images of {here / 'a'} lie in {here / 'copy of a'} too" in done.err
    for number, file in enumerate(sorted(Path("copy of a").rglob("*.jpg"))):
        file.write_bytes(file.read_bytes() + bytes([number]))  # equal sizes, other bytes
    again = scing(command, "--data", "a", "--data", "copy of a", *rest[:-1], "--force" if command == "embed" else "r2")
    assert "as copies" not in again.err
