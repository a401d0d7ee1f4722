"""The same commands with the same seed, versions, threads and device write the same bytes, except for times."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults.test_full_disk import snapshot
from pipeline.conftest import FAST, MODEL

TIMES = {  # all that may differ, by file: times, what names a run by its time, and digests over them
    "run.json": ("made", "self_digest"),
    "prompts/stamp.json": ("run", "self_digest"),
    "visual/stamp.json": ("run", "self_digest"),
    "metrics.jsonl": ("seconds", "images_per_second"),
    "report.json": ("written", "self_digest"),
}
SIZE = ("--identities", "4", "--cameras", "3", "--images-per-camera", "1", "--seed", "7")
ROAD = (
    ("prepare", "drawn", "--synthetic", *SIZE, "--sheet", "out/sheet.png", "--output", "out/drawn.csv"),
    ("prepare", "drawn", "--output", "out/again.csv"),
    ("train-prompts", "--data", "drawn", *MODEL, *FAST, "--seed", "3", "--run", "out/run"),
    ("train-visual", *FAST, "--seed", "3", "--run", "out/run"),
    ("embed", "--run", "out/run", "--output", "out/gallery.faiss"),
    ("embed", "--run", "out/run", "--output", "out/gallery.faiss", "--append", "--split", "query"),
    ("embed", "--run", "out/run", "--output", "out/graph.faiss", "--index-type", "hnsw", "--precision", "fp32"),
    ("evaluate", "--run", "out/run", "--output", "out/report"),
    ("search", "drawn/query", "--index", "out/graph.faiss", "--montage", "out/hits.png", "--csv", "out/hits.csv"),
)


def without_times(path, content):
    """Return a file's bytes with the values of its times taken out."""
    names = [names for end, names in TIMES.items() if path.as_posix().endswith(end)]
    for name in sum(names, ()):
        pattern = rb'"%s": ("[^"]*"|[0-9.e+-]+)' % name.encode()
        content, found = re.subn(pattern, b"", content)
        assert found, (path, name)
    return content


def written(folder):
    """Return all files below a folder by their names in it, times aside."""
    files = {path: content for path, content in snapshot(folder).items() if content is not None}
    return {path.relative_to(folder).as_posix(): without_times(path, content) for path, content in files.items()}


def walk(run_command, here):
    """Go the whole road in a folder; return all that it wrote, and move that away. The data set stays what it was."""
    if Path("drawn").exists():
        Path("drawn").rename("first")
    for command in ROAD:
        run_command(*command)
        if command[0] == "prepare" and Path("first").exists():
            assert written("drawn") == written("first")
            shutil.rmtree("drawn")
            Path("first").rename("drawn")
    files = written("out")
    shutil.rmtree("out")
    return files


def test_the_same_commands_write_the_same_files(scing, here):
    def run(*arguments):
        ended = scing(*arguments)
        assert ended.code == 0, ended.err

    first, second = walk(run, here), walk(run, here)
    assert set(first) == set(second)
    assert len(first) > 20
    assert [name for name in first if first[name] != second[name]] == []


def test_times_are_told_from_figures():
    """What is taken out is the times alone: a figure that differs would show."""
    row = json.dumps({"loss": 1.5, "seconds": 0.25, "images_per_second": 584.4}).encode()
    assert without_times(Path("metrics.jsonl"), row) == b'{"loss": 1.5, , }'
    with pytest.raises(AssertionError):
        without_times(Path("run.json"), b"{}")


@pytest.mark.long
def test_across_processes_and_threads(here):
    """Processes of their own write the same with as many threads; with others, what differs is printed."""

    def walked(threads):
        def run(*arguments):
            command = [sys.executable, "-m", "scing_cli", *map(str, arguments)]
            subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": threads}, check=True, capture_output=True)

        return walk(run, here)

    one, again, two = walked("1"), walked("1"), walked("2")
    assert one == again
    print("\n1 and 2 threads differ in:", [name for name in one if one[name] != two[name]] or "nothing")
