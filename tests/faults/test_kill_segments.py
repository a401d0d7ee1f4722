"""A large index that changes, killed at each step: the former state is whole or the new one, and the next write tidies up."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from core.index.test_gallery import entries, gallery, unit

from scing_cli.core.index import GalleryIndex, commits, files_of, read_stamp
from scing_cli.core.index.index_files import _needed

WORK = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from core.index.test_gallery import entries, unit
from scing_cli.core.index import GalleryIndex, commits

commits.LARGE = 0
left = [int(sys.argv[3])]

def step(real):
    def work(*given, **named):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return work

index = GalleryIndex.read(Path(sys.argv[1]))
if sys.argv[2] == "append":
    index.add(unit(10, seed=5), entries(10, start=index.stamp.next_id))
elif sys.argv[2] == "prune":
    index.remove([3, 4, 101])
else:
    index.relabel({{7: ("anna", "door")}})
Path.replace, Path.unlink = step(Path.replace), step(Path.unlink)
os.link, os.fsync = step(os.link), step(os.fsync)
index.write(Path(sys.argv[1]), compact=sys.argv[2] == "compact")
"""


def state(path):
    index = GalleryIndex.read(path)
    return index.rows(), index.vectors().tobytes(), index.stamp.next_id


@pytest.mark.parametrize("work", ["append", "prune", "relabel", "compact"])
def test_a_killed_write_leaves_one_of_two_states(tmp_path, monkeypatch, work):
    monkeypatch.setattr(commits, "LARGE", 0)
    script = WORK.format(tests=str(next(place for place in sys.path if place.endswith("tests"))))
    start = tmp_path / "start" / "gallery.faiss"
    gallery(unit(100)).write(start)
    index = GalleryIndex.read(start)
    index.add(unit(30, seed=3), entries(30, start=100))
    index.remove([50])
    index.write(start)
    former, seen = state(start), set()
    for number in range(1, 60):
        folder = tmp_path / str(number)
        shutil.copytree(start.parent, folder)
        path = folder / "gallery.faiss"
        done = subprocess.run([sys.executable, "-c", script, path, work, str(number)], capture_output=True, text=True)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        found = state(path)
        seen.add(found == former)
        if done.returncode == 0:
            assert number > 5
            assert found != former
            break
        again = GalleryIndex.read(path)
        again.add(unit(1, seed=8), entries(1, start=again.stamp.next_id))
        again.write(path)
        assert set(folder.iterdir()) == set(files_of(path)) == {path, *_needed(path, read_stamp(path))}
        assert len(files_of(path)) <= 3 + 2 * max(1, len(read_stamp(path).segments))
        assert np.array_equal(GalleryIndex.read(path).vectors()[-1], unit(1, seed=8)[0])
        shutil.rmtree(folder)
    else:
        pytest.fail("the work has more steps than that")
    assert seen == {True, False}
