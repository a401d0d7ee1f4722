"""Every command that writes, on a disk that is full at any write: one message, and earlier files are unchanged."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest
from faults.disks import PAGE, Limited, memory_disk
from pipeline.conftest import FAST, MODEL

from scing_cli.core.index import GalleryIndex, commits, files_of, read_stamp
from scing_cli.core.index.flat_file import write_index

TRAIN = (*MODEL, *FAST)
PROMPTS, VISUAL = "prompts/prompts.safetensors", "visual/image_encoder.safetensors"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of which a test says how much room there is; skips where nothing may be mounted."""
    with memory_disk(tmp_path / "disk") as mounted:
        if mounted is None:
            pytest.skip("nothing may be mounted here")
        yield mounted


@pytest.fixture(params=["memory", "limit"])
def disk(request, tmp_path):
    """The same, and a limit to the length of every file, which can be set anywhere."""
    if request.param == "memory":
        return request.getfixturevalue("small_disk")
    (tmp_path / "disk").mkdir()
    return Limited(tmp_path / "disk")


@pytest.fixture
def one_disk(tmp_path):
    """The first of these that can be had: for what is written in the one way as in the other."""
    with memory_disk(tmp_path / "disk") as mounted:
        yield mounted or Limited(tmp_path / "disk")


def snapshot(folder):
    """Return every file below a folder with its bytes, and every folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in Path(folder).rglob("*")}


def refused(ended, *parts):
    """Check for one message: what, where, what to do; and no other output."""
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert ended.err.count("Error:") == 1
    for part in parts:
        assert str(part) in ended.err, ended.err


def fills_up(scing, disk, command, *, growth=1.5):
    """Run a command with ever more room until it succeeds; each failure is told, and changes nothing. Count them."""
    before, pages, failed = snapshot(disk.folder), 0, 0
    while pages < 2000:
        with disk.with_room(pages * PAGE):
            ended = scing(*command)
        if ended.code == 0:
            return failed
        refused(ended, "Cannot write", disk.folder, "ake room there")
        assert any(reason in ended.err for reason in disk.says)
        assert snapshot(disk.folder) == before, pages
        failed += 1
        pages = 1 + int(growth * pages)
    raise AssertionError("so much room was not enough")


def test_prepare_on_a_full_disk(scing, disk, world, here):
    command = ("prepare", world, "--output", disk.folder / "m.csv", "--sheet", disk.folder / "sheet.png")
    assert scing(*command).code == 0
    assert fills_up(scing, disk, command) >= 1


def test_a_drawn_world_on_a_full_disk(scing, disk, here):
    size = ("--identities", "2", "--cameras", "2", "--images-per-camera", "1")
    command = ("prepare", disk.folder / "drawn", "--synthetic", *size, "--output", "drawn.csv")
    assert fills_up(scing, disk, command) >= 1


def test_embed_and_append_on_a_full_disk(scing, disk, finished, here):
    shutil.copytree(finished, here / "run")
    command = ("embed", "--run", here / "run", "--output", disk.folder / "gallery.faiss")
    assert fills_up(scing, disk, command) >= 1
    assert fills_up(scing, disk, (*command, "--append", "--split", "query")) >= 1
    assert fills_up(scing, disk, (*command, "--force", "--split", "all")) >= 1


@pytest.mark.parametrize(("kind", "links"), [("flat", True), ("flat", False), ("ivf", True), ("hnsw", True)])
def test_an_append_to_a_large_index_on_a_full_disk(scing, disk, finished, here, monkeypatch, kind, links):
    """The first makes an index of two segments out of one of two files, the second adds to its segments."""

    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(commits, "LARGE", 0)
    monkeypatch.setattr(commits, "WORTH", {kind: 0})
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    shutil.copytree(finished, here / "run")
    command = ("embed", "--run", here / "run", "--output", disk.folder / "gallery.faiss")
    assert scing(*command, "--split", "train", "--index-type", kind).code == 0
    for split in ("gallery", "query"):
        before = len(GalleryIndex.read(command[-1]))
        assert fills_up(scing, disk, (*command, "--append", "--split", split)) >= 1
        assert len(read_stamp(command[-1]).segments) >= 2
        assert len(GalleryIndex.read(command[-1])) > before


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_a_compaction_on_a_full_disk(scing, disk, finished, here, monkeypatch, kind):
    """Of an index of several segments, some of whose rows are removed."""
    monkeypatch.setattr(commits, "LARGE", 0)
    monkeypatch.setattr(commits, "WORTH", {kind: 0})
    shutil.copytree(finished, here / "run")
    output = ("--output", disk.folder / "gallery.faiss")
    for split, more in (("gallery", ("--index-type", kind)), ("query", ("--append",))):
        assert scing("embed", "--run", here / "run", *output, "--split", split, *more).code == 0
    index = GalleryIndex.read(output[1])
    index.remove([3])
    index.write(output[1])
    rows, vectors = index.rows(), index.vectors()
    assert len(read_stamp(output[1]).segments) == 2
    assert fills_up(scing, disk, ("embed", *output, "--compact")) >= 1
    assert not read_stamp(output[1]).segments
    compacted = GalleryIndex.read(output[1])
    assert (compacted.rows(), compacted.vectors().tobytes()) == (rows, vectors.tobytes())


@pytest.mark.parametrize("more", [(), ("--force",)], ids=["new", "force"])
def test_a_merge_on_a_full_disk(scing, disk, finished, here, more):
    """The shards stay as they are, and so does the index that is to be replaced."""
    shutil.copytree(finished, here / "run")
    output = ("--output", disk.folder / "gallery.faiss")
    command = ("embed", "--run", here / "run", "--batch-size", "4")
    assert scing(*command, "--output", "once.faiss").code == 0
    if more:
        assert scing(*command, *output, "--split", "query").code == 0
    assert scing(*command, *output, "--shards", "3", *more).code == 0
    assert fills_up(scing, disk, ("embed", *output, "--merge", *more)) >= 1
    once, merged = (GalleryIndex.read(path) for path in (here / "once.faiss", output[1]))
    assert (merged.rows(), merged.vectors().tobytes()) == (once.rows(), once.vectors().tobytes())
    assert {file.name for file in disk.folder.iterdir()} == {file.name for file in files_of(output[1])}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("count", [10, 5000])
def test_bytes_that_are_lost_on_closing_a_file_are_told(count):
    """faiss's own writer says nothing where the last few of them do not fit."""
    index = faiss.IndexFlatIP(16)
    index.add(np.ones((count, 16), np.float32))
    with pytest.raises(OSError, match="No space left on device"):
        commits._write(Path("/dev/full"), lambda stream: write_index(stream, index))


def test_a_report_on_a_full_disk(scing, one_disk, finished, here):
    disk = one_disk
    shutil.copytree(finished, here / "run")
    command = ("evaluate", "--run", here / "run", "--output", disk.folder / "report", "--precision", "fp32")
    assert scing(*command).code == 0
    assert fills_up(scing, disk, command, growth=40) >= 2


def test_what_a_search_writes_on_a_full_disk(scing, one_disk, finished, world, here):
    disk = one_disk
    photo = next(iter(sorted((world / "query").iterdir())))
    index = finished.parent / "gallery.faiss"
    for name, option in (("hits.csv", "--csv"), ("hits.png", "--montage"), ("hits.jpg", "--saliency")):
        command = ("search", photo, "--index", index, option, disk.folder / name)
        assert fills_up(scing, disk, command, growth=8) >= 1
        former = command[-1].read_bytes()
        with disk.with_room(0):
            refused(scing(*command), "Cannot write", command[-1])
        assert command[-1].read_bytes() == former


def learns_when_there_is_room(scing, disk, command, run):
    """Repeat a training with ever more room until it succeeds; no failure passes for a finished stage."""
    start = {path: content for path, content in snapshot(run).items() if content is not None}
    pages = failed = 0
    while pages < 2000:
        with disk.with_room(pages * PAGE):
            ended = scing(*command, "--run", run)
        if ended.code == 0:
            return failed
        refused(ended, "Cannot write", run)
        assert any(reason in ended.err for reason in disk.says)
        left = snapshot(run)
        assert not [path for path in left if path.name.startswith(".")]
        assert not [path for path in left if path.name == "stamp.json" and path not in start]
        assert all(left[path].startswith(content) for path, content in start.items())  # metrics.jsonl may have grown
        failed += 1
        pages = 1 + 2 * pages
    raise AssertionError("so much room was not enough")


def test_stage_1_on_a_full_disk(scing, disk, finished, world, here):
    run = disk.folder / "run"
    assert learns_when_there_is_room(scing, disk, ("train-prompts", "--data", world, *TRAIN), run) >= 2
    assert (run / PROMPTS).read_bytes() == (finished / PROMPTS).read_bytes()


def test_stage_2_on_a_full_disk(scing, disk, finished, here):
    run = disk.folder / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("visual", "embeddings", "report.json"))
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(line for line in lines if '"train-visual"' not in line))
    assert learns_when_there_is_room(scing, disk, ("train-visual", *FAST), run) >= 2
    assert (run / VISUAL).read_bytes() == (finished / VISUAL).read_bytes()


def test_what_a_run_keeps_for_later_costs_only_time(scing, small_disk, finished, here):
    """Vectors, thresholds and the inference copy: a run on a full disk is used without them, and one is told so."""
    disk, run = small_disk, small_disk.folder / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("inference", "embeddings", "report.json"))
    before = snapshot(run)
    for pages in (0, 1, 3, 9):
        with disk.with_room(pages * PAGE):
            ended = scing("embed", "--run", run, "--force")
            assert (ended.code, "torch embeds instead" in ended.err) == (0, True), ended.err
            assert snapshot(run) == before
    with disk.with_room(0):
        ended = scing("evaluate", "--run", run, "--output", "report", "--precision", "fp32", "--json")
        assert (ended.code, ended.json["queries"]) == (0, 18), ended.err
        assert ended.err.count("could not") == 3, ended.err
        assert {path.name for path in snapshot(run)} - {path.name for path in before} <= {"embeddings"}


@pytest.mark.parametrize("pages", [0, 1])
def test_a_full_cache_costs_only_time(scing, small_disk, finished, world, here, monkeypatch, pages):
    monkeypatch.setenv("SCING_CACHE", str(small_disk.folder / "cache"))
    photo = next(iter(sorted((world / "query").iterdir())))
    shutil.copytree(finished, here / "run", ignore=shutil.ignore_patterns("inference"))
    with small_disk.with_room(pages * PAGE):
        for command in (("embed",), ("search", photo, "--index", "gallery.faiss"), ("evaluate",)):
            ended = scing(*command, *(("--run", here / "run") if command[0] != "search" else ()))
            assert ended.code == 0, ended.err
            assert "Cannot write" not in ended.err
