"""A large index that changes, killed at each step: the former state is whole or the new one, and the next write tidies up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from core.index.test_gallery import entries, gallery, unit
from patience import HANG

from scing_cli.core.index import GalleryIndex, commits, files_of, read_stamp
from scing_cli.core.index.index_files import _needed

WORK = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from core.index.test_gallery import entries, unit
from scing_cli.core.index import GalleryIndex, commits

commits.LARGE = commits.WORTH_APPROXIMATE = 0

def write(path, work, left):
    def step(real):
        def done(*given, **named):
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **named)
        return done

    index = GalleryIndex.read(path)
    if work == "append":
        index.add(unit(10, seed=5), entries(10, start=index.stamp.next_id))
    elif work == "prune":
        index.remove([3, 4, 101])
    else:
        index.relabel({{7: ("anna", "door")}})
    Path.replace, Path.unlink = step(Path.replace), step(Path.unlink)
    os.link, os.fsync = step(os.link), step(os.fsync)
    index.write(path, compact=work == "compact")

for number, folder in enumerate(sys.argv[2:], 1):
    process = os.fork()
    if not process:
        write(Path(folder, "gallery.faiss"), sys.argv[1], number)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(code, flush=True)
    if code != -signal.SIGKILL:
        break
"""
STEPS = 30  # more than any of the works has


def state(path):
    index = GalleryIndex.read(path)
    return index.rows(), index.vectors().tobytes(), index.stamp.next_id


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
@pytest.mark.parametrize("work", ["append", "prune", "relabel", "compact"])
def test_a_killed_write_leaves_one_of_two_states(tmp_path, monkeypatch, work, kind):
    monkeypatch.setattr(commits, "LARGE", 0)
    monkeypatch.setattr(commits, "WORTH_APPROXIMATE", 0)
    start = tmp_path / "start" / "gallery.faiss"
    gallery(unit(100), kind=kind).write(start)
    index = GalleryIndex.read(start)
    index.add(unit(30, seed=3), entries(30, start=100))
    index.remove([50])
    index.write(start)
    assert len(read_stamp(start).segments) == 2
    former, seen = state(start), set()
    folders = [tmp_path / str(number) for number in range(1, STEPS)]
    for folder in folders:
        shutil.copytree(start.parent, folder)
    script = WORK.format(tests=str(next(place for place in sys.path if place.endswith("tests"))))
    done = subprocess.run(
        [sys.executable, "-c", script, work, *folders],
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # it forks
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    codes = list(map(int, done.stdout.split()))
    assert codes[5:], done.stderr
    assert codes == [-signal.SIGKILL] * (len(codes) - 1) + [0], done.stderr  # the last one had no more steps
    for folder, code in zip(folders, codes, strict=False):
        path = folder / "gallery.faiss"
        found = state(path)
        seen.add(found == former)
        assert code or found != former
        again = GalleryIndex.read(path)
        again.add(unit(1, seed=8), entries(1, start=again.stamp.next_id))
        again.write(path)
        assert set(folder.iterdir()) == set(files_of(path)) == {path, *_needed(path, read_stamp(path))}
        assert len(files_of(path)) <= 3 + 2 * max(1, len(read_stamp(path).segments))
        assert np.array_equal(GalleryIndex.read(path).vectors()[-1], unit(1, seed=8)[0])
        assert read_stamp(path).kind == kind
    assert seen == {True, False}
