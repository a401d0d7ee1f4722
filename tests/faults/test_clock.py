"""Clocks that jump, and files from the past or the future: nothing is lost, removed or confused."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import time
from pathlib import Path

import pytest
from artifacts import edit_run
from faults.hostile import deadline
from pipeline.conftest import FAST, MODEL

from scing_cli.core.artifacts import run as runs
from scing_cli.core.embeddings import openvino_embedder
from scing_cli.core.index import GalleryIndex, write_lock

DAY = 86_400 * 10**9  # ns
PAST, FUTURE, FAR = -3650 * DAY, 3650 * DAY, 15 * 10**18  # before 1970; ten years ahead; the year 2445, beyond int64


@pytest.fixture
def images(world, here):
    folder = here / "images"
    shutil.copytree(world / "query", folder)
    return folder


def dated(folder, nanoseconds):
    for file in folder.iterdir():
        os.utime(file, ns=(nanoseconds, nanoseconds))


@pytest.mark.parametrize("moment", [PAST, FUTURE, FAR])
def test_images_of_any_time_are_embedded_once(scing, finished, images, moment):
    try:
        dated(images, moment)
    except OverflowError:
        pytest.skip("this system knows no such time")
    command = ("embed", "--run", finished, "--images", images, "--append", "--json")
    assert scing(*command).json["added"] == 18
    again = scing(*command).json
    assert (again["added"], again["skipped"]) == (0, 18)


@pytest.mark.parametrize("jump", [-30 * DAY, -1, 1, 30 * DAY])
def test_an_image_that_changes_while_the_clock_jumps_is_found_changed(scing, finished, images, world, jump):
    command = ("embed", "--run", finished, "--images", images, "--append", "--json")
    assert scing(*command).json["added"] == 18
    first, *others = sorted(images.iterdir())
    shutil.copyfile(min((world / "bounding_box_train").iterdir()), first)
    for file in (first, *others[:5]):
        moment = file.stat().st_mtime_ns + jump
        os.utime(file, ns=(moment, moment))
    grown = scing(*command).json
    assert (grown["added"], grown["replaced"], grown["skipped"]) == (0, 1, 17)
    rows = GalleryIndex.read(Path("gallery.faiss")).rows()
    assert [row.id for row in rows] == list(range(1, 19))
    assert rows[-1].path == str(first)


def test_runs_are_taken_by_the_time_they_say_and_named(scing, own_run, world, here, monkeypatch):
    """A run made while the clock was ahead stays the newest: which one is taken is told, another one can be named."""
    for name, made in (("ahead", "2099-01-01T00:00:00+00:00"), ("behind", "1970-01-01T00:00:00+00:00")):
        shutil.copytree(own_run, here / "runs" / name)
        edit_run(here / "runs" / name, lambda info, made=made: info.update(made=made))
    monkeypatch.setattr(runs, "_now", lambda: dt.datetime(1969, 12, 31, tzinfo=dt.UTC))
    assert scing("train-prompts", "--data", world, *MODEL, *FAST).code == 0
    assert scing("train-prompts", "--data", world, *MODEL, *FAST).code == 0
    names = sorted(path.name for path in (here / "runs").iterdir())
    assert len(names) == 4, "a name is never given twice, whatever the clock says"
    ended = scing("embed", "--json")
    assert (ended.code, ended.json["model"]) == (0, "runs/ahead")
    assert scing("embed", "--run", "runs/behind", "--output", "other.faiss", "--json").json["model"] == "runs/behind"


@pytest.mark.parametrize("jump", [-2 * openvino_embedder.ABANDONED, 2 * openvino_embedder.ABANDONED])
def test_a_maker_of_a_copy_survives_another_whose_clock_jumped(scing, own_run, here, monkeypatch, jump):
    """At worst the other one takes the work away that is half done: then torch embeds, and the next makes a copy."""
    shutil.rmtree(own_run / "visual" / "inference")
    write, now = openvino_embedder._write, time.time

    def interrupted(folder, encoder, digest):
        monkeypatch.setattr(openvino_embedder.time, "time", lambda: now() + jump)
        openvino_embedder.sweep_temporary(own_run / "visual" / "inference")
        monkeypatch.setattr(openvino_embedder.time, "time", now)
        write(folder, encoder, digest)

    monkeypatch.setattr(openvino_embedder, "_write", interrupted)
    ended = scing("embed", "--run", own_run)
    assert ended.code == 0, ended.err
    assert (own_run / "visual" / "image_encoder.safetensors").is_file()
    monkeypatch.setattr(openvino_embedder, "_write", write)
    assert "torch embeds" not in scing("embed", "--run", own_run, "--force").err
    assert (own_run / "visual" / "inference" / "stamp.json").is_file()
    assert not list((own_run / "visual").glob(".*"))


def test_waiting_for_a_lock_does_not_ask_the_clock(here, monkeypatch):
    """A clock set back by a day would otherwise make a day of five seconds."""
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with (
        write_lock(here / "g.faiss"),
        deadline(),
        pytest.raises(Exception, match="Another process is writing"),
        write_lock(here / "g.faiss", patience=0.2),
    ):
        pass
