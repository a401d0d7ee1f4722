"""Folders and files that cannot be written: data sets, caches, targets, and standard output."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults.disks import read_only
from faults.test_full_disk import refused, snapshot
from patience import HANG
from pipeline.conftest import FAST, MODEL


@pytest.fixture
def locked(tmp_path):
    """Makes folders read-only until the end of a test; skips where that is not possible."""
    with contextlib.ExitStack() as stack:

        def lock(folder):
            if not stack.enter_context(read_only(folder)):
                pytest.skip("nothing can be made read-only here")
            return folder

        yield lock


def test_the_whole_road_with_a_read_only_data_set(scing, own_world, here, locked):
    before = snapshot(own_world)
    locked(own_world)
    assert scing("prepare", own_world).code == 0
    assert scing("train-prompts", "--data", own_world, *MODEL, *FAST, "--run", "run").code == 0
    assert scing("train-visual", *FAST, "--run", "run").code == 0
    assert scing("embed", "--run", "run").code == 0
    assert scing("embed", "--run", "run", "--append", "--split", "query").code == 0
    assert scing("evaluate", "--run", "run", "--output", "report").code == 0
    photo = next(iter(sorted((own_world / "query").iterdir())))
    assert scing("search", photo, "--index", "gallery.faiss", "--montage", "hits.png", "--csv", "hits.csv").code == 0
    assert snapshot(own_world) == before


def test_from_inside_a_read_only_data_set(scing, own_world, tmp_path, locked, monkeypatch):
    """The manifest would be written to where one stands."""
    monkeypatch.chdir(locked(own_world))
    ended = scing("prepare", own_world)
    refused(ended, "Cannot write", "Choose another path")
    assert "Read-only file system" in ended.err or "Permission denied" in ended.err
    assert scing("prepare", own_world, "--output", tmp_path / "m.csv").code == 0


def test_targets_that_cannot_be_written_are_refused(scing, finished, world, here, locked):
    shutil.copytree(finished, here / "run")
    (here / "locked").mkdir()
    shutil.copytree(finished, here / "locked" / "run", ignore=shutil.ignore_patterns("visual", "embeddings"))
    for file in finished.parent.glob("gallery.*"):
        shutil.copy(file, here / "locked")
    photo = next(iter(sorted((world / "query").iterdir())))
    before = snapshot(locked(here / "locked"))
    run, index = ("--run", "run"), ("--index", "locked/gallery.faiss")
    for command in (
        ("prepare", world, "--output", "locked/m.csv"),
        ("prepare", world, "--output", "m.csv", "--sheet", "locked/sheet.png"),
        ("prepare", "locked/drawn", "--synthetic", "--identities", "2"),
        ("train-prompts", "--data", world, *MODEL, *FAST, "--run", "locked/new"),
        ("train-visual", *FAST, "--run", "locked/run"),
        ("embed", *run, "--output", "locked/new.faiss"),
        ("embed", *run, "--output", "locked/gallery.faiss", "--append", "--split", "query"),
        ("embed", *run, "--output", "locked/gallery.faiss", "--force"),
        ("evaluate", *run, "--output", "locked/report"),
        ("search", photo, *index, "--csv", "locked/hits.csv"),
        ("search", photo, *index, "--montage", "locked/hits.png"),
    ):
        ended = scing(*command)
        refused(ended, "locked")
        assert "writ" in ended.err, ended.err
        assert any(word in ended.err for word in ("another", "Choose", "Name")), ended.err
    assert snapshot(here / "locked") == before
    assert scing("search", photo, *index).code == 0


def test_a_read_only_run_and_cache_cost_only_time(scing, own_run, world, here, locked, monkeypatch):
    shutil.rmtree(own_run / "visual" / "inference")
    (here / "cache").mkdir()
    monkeypatch.setenv("SCING_CACHE", str(locked(here / "cache")))
    before = snapshot(locked(own_run))
    assert scing("embed", "--run", own_run).code == 0
    assert scing("evaluate", "--run", own_run).code == 0
    photo = next(iter(sorted((world / "query").iterdir())))
    assert scing("search", photo, "--index", "gallery.faiss").code == 0
    assert snapshot(own_run) == before
    assert snapshot(here / "cache") == {}


def test_whoever_may_read_a_runs_stamps_may_read_its_weights(finished):
    modes = {file.name: file.stat().st_mode for file in finished.rglob("*") if file.is_file()}
    assert {"prompts.safetensors", "image_encoder.safetensors"} <= set(modes)
    assert set(modes.values()) == {modes["stamp.json"]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("more", [("--json",), (), ("--csv", "-")])
def test_a_standard_output_that_is_full(finished, world, here, more):
    """As with `scing search --json > hits.json` on a full disk."""
    photo = next(iter(sorted((world / "query").iterdir())))
    command = ["search", photo, "--index", finished.parent / "gallery.faiss", *more]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "scing_cli", *map(str, command)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ},
            timeout=HANG,
        )
    assert ended.returncode == 2, ended.stderr
    assert "Standard output cannot be written: No space left on device" in " ".join(ended.stderr.split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", [("--help",), ("embed", "--help"), ("--version",)])
def test_help_that_finds_no_room_is_one_message(command):
    with Path("/dev/full").open("w") as full:
        started = [sys.executable, "-m", "scing_cli", *command]
        ended = subprocess.run(started, stdout=full, stderr=subprocess.PIPE, text=True, timeout=HANG)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("Error: Cannot write: No space left on device.")
    assert "Traceback" not in ended.stderr
