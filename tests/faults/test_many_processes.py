"""One writer, many readers: real commands that write one index at the same time as searches."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from faults.killing import Command
from faults.test_kill_embed import read_plainly
from patience import HANG

from scing_cli.core.index import Entry, GalleryIndex, index_lock, write_lock

HOLD = "import sys, time; from pathlib import Path; from scing_cli.core.index import write_lock\n"
HOLD += "with write_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(1800)"
GROW = """
import sys
from pathlib import Path
import numpy as np
from scing_cli.core.index import Entry, GalleryIndex, commits, write_lock
if sys.argv[3:]:  # every append is a segment, now and then merged with others
    commits.LARGE = 0
path, dice = Path(sys.argv[1]), np.random.default_rng(1)
for number in range(int(sys.argv[2])):
    with write_lock(path, patience=30):
        index = GalleryIndex.read(path)
        vectors = dice.normal(size=(3, 16)).astype("f4")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        index.add(vectors, [Entry(f"/{len(index) + i}.jpg") for i in range(3)])
        index.write(path, locked=True)
"""


@pytest.fixture
def index(finished, here):
    """An index of 18 rows."""
    for file in finished.parent.glob("gallery.*"):
        shutil.copy(file, here)
    return here / "gallery.faiss"


@pytest.fixture
def folders(world, here):
    """Four folders of nine images each, which the index does not hold."""
    crops = [crop for part in ("query", "bounding_box_train") for crop in sorted((world / part).iterdir())]
    for number, crop in enumerate(crops):
        folder = here / f"new{number % 4}"
        folder.mkdir(exist_ok=True)
        shutil.copy(crop, folder)
    return [here / f"new{number}" for number in range(4)]


@pytest.fixture
def holder(index):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(index)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def append(finished, index, folder):
    return Command(
        ("embed", "--run", finished, "--images", folder, "--output", index, "--append", "--json"), index.parent, index
    )


@pytest.mark.parametrize("count", [2, 4])
def test_appends_at_once_lose_and_double_nothing(finished, index, folders, count):
    """Whoever had no patience left names who writes; run again, it goes on."""
    commands = {folder: append(finished, index, folder) for folder in folders[:count]}
    running = {folder: command.start() for folder, command in commands.items()}
    pids = {process.pid for process in running.values()}
    for folder, process in running.items():
        out, err = process.communicate(timeout=HANG)
        if process.returncode == 2:
            assert any(f"(process {pid} on " in err for pid in pids - {process.pid}), err
            out = commands[folder].run().out
        assert json.loads(out)["added"] == 9, err
    rows = GalleryIndex.read(index).rows()
    assert [row.id for row in rows] == list(range(18 + 9 * count))
    new = {str(file) for folder in folders[:count] for file in folder.iterdir()}
    assert {row.path for row in rows[18:]} == new
    ids, beside = read_plainly(index)
    assert ids == beside
    assert len(list(index.parent.glob("*gallery*"))) == 2


def test_a_second_writer_waits_for_the_first(finished, index, folders):
    with write_lock(index):
        process = append(finished, index, folders[0]).start()
        time.sleep(2)
        assert process.poll() is None
        assert len(GalleryIndex.read(index)) == 18
    out, err = process.communicate(timeout=HANG)
    assert (process.returncode, json.loads(out)["count"]) == (0, 27), err


def test_who_has_no_patience_left_is_told_who_writes(scing, finished, index, folders, holder, monkeypatch):
    monkeypatch.setattr(index_lock, "PATIENCE", 0.2)
    command = ("embed", "--run", finished, "--images", folders[0], "--output", index, "--append")
    told = scing(*command)
    assert told.code == 2
    assert f"Another process is writing {index} (process {holder.pid} on " in told.err
    assert "Run the command again when that process has ended." in told.err
    index.with_name(".gallery.faiss.lock").write_bytes(b"\xff\xfe nonsense")
    assert f"Another process is writing {index}. Run" in scing(*command).err
    holder.kill()
    holder.wait()
    assert scing(*command).code == 0


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"process 1 on earth, since 2020-01-01 00:00:00", b"1" * 5000])
def test_a_lock_file_that_nobody_holds_does_not_block(scing, finished, index, folders, content):
    left = index.with_name(".gallery.faiss.lock")
    left.write_bytes(content)
    assert scing("embed", "--run", finished, "--images", folders[0], "--output", index, "--append").code == 0
    assert not left.exists()


def test_a_search_beside_appends_sees_the_state_before_or_after_one(finished, index, folders, world):
    """Searches as processes of their own, one after another, while four folders are appended."""
    photo = next(iter(sorted((world / "query").iterdir())))
    search = Command(("search", photo, "--index", index, "-k", "100", "--json"), index.parent, index)
    counts, done = [], threading.Event()

    def look():
        while not done.is_set():
            ended = search.run()
            assert ended.code == 0, ended.err
            counts.append(len(json.loads(ended.out)["results"][0]["hits"]))

    looking = threading.Thread(target=look)
    looking.start()
    for folder in folders:
        assert append(finished, index, folder).run().code == 0
        ended = len(counts)
        while len(counts) == ended and looking.is_alive():  # a search has ended behind this append, the next may begin
            time.sleep(0.01)
    done.set()
    looking.join()
    counts.append(len(json.loads(search.run().out)["results"][0]["hits"]))
    assert set(counts) <= {18, 27, 36, 45, 54}
    assert counts == sorted(counts)
    assert counts[-1] == 54
    assert len(set(counts)) > 2


@pytest.mark.parametrize("segments", [False, True], ids=["two files", "segments"])
@pytest.mark.parametrize("commits", [40, pytest.param(2000, marks=pytest.mark.long)])
def test_readers_beside_a_writer_never_see_a_state_between(tmp_path, commits, segments):
    """Vector, id and row of every answer belong together, and their number is that of some commit."""
    dice = np.random.default_rng(1)
    vectors = dice.normal(size=(3, 16)).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    path = tmp_path / "gallery.faiss"
    entries = [Entry(f"/{number}.jpg") for number in range(3)]
    GalleryIndex.create(vectors, entries, model_digest="a", model={}, descriptor="projected").write(path)
    writer = subprocess.Popen([sys.executable, "-c", GROW, str(path), str(commits), *["segments"] * segments])
    seen = []
    while writer.poll() is None or len(seen) < 2:
        index = GalleryIndex.read(path)
        hits = index.search(vectors, len(index))
        assert len(index) % 3 == 0
        for own in hits:
            assert sorted(hit.row.id for hit in own) == list(range(len(index)))
            assert all(hit.row.path == f"/{hit.row.id}.jpg" for hit in own)
        seen.append(len(index))
    assert writer.returncode == 0
    assert seen == sorted(seen)
    last = GalleryIndex.read(path)
    assert len(last) == 3 + 3 * commits
    assert (last.stamp.generation, len(last.stamp.segments) > 1) == (1 + commits, segments)
    print(f"{len(seen)} searches beside {commits} commits saw {len(set(seen))} states, none between")
