"""Worker threads and processes that die: the command ends with a message, and neither hangs nor succeeds."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from faults.killing import Command
from faults.test_full_disk import snapshot
from patience import HANG
from pipeline.conftest import FAST, MODEL

from scing_cli.core import observation_images
from scing_cli.core.embeddings.openvino_embedder import OpenVinoEmbedder
from scing_cli.core.synthetic import worker
from scing_cli.core.workflows.embed import listed_gallery, partial_index


@pytest.fixture
def soon():
    """Fail, instead of hanging, after a while; and see that no thread is left."""

    def hang(number, frame):
        raise TimeoutError(f"hung for {HANG} s")

    before = set(threading.enumerate())
    former = signal.signal(signal.SIGALRM, hang)
    signal.alarm(HANG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("decode")]


def fail_at(number, error):
    """Return a decoder that raises at some image; the others wait a little, so that all threads are at work."""
    read, seen, lock = observation_images.read_image, [], threading.Lock()

    def decode(file):
        with lock:
            seen.append(file)
            place = len(seen)
        time.sleep(0.002)
        if place == number:
            raise error
        return read(file)

    return decode


@pytest.mark.parametrize("number", [1, 17])
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 2, "ran out of memory"),
        (SystemExit(0), 1, "A thread tried to exit, with 0."),
        (SystemExit("bye"), 1, "A thread tried to exit, with 'bye'."),
        (KeyboardInterrupt(), 130, "Interrupted; nothing is kept. Run the same command again. scing embed"),
        (StopIteration(), 1, "StopIteration"),
        (RuntimeError("worse"), 1, "worse"),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else None,
)
def test_a_thread_that_dies_while_embedding(scing, finished, here, soon, monkeypatch, error, code, message, number):
    monkeypatch.setattr(observation_images, "read_image", fail_at(number, error))
    ended = scing("embed", "--run", finished)
    assert ended.code == code, ended.err
    assert message in ended.err
    assert not list(here.iterdir())


def test_ctrl_c_says_what_is_kept_and_with_which_command_to_go_on(scing, finished, here, soon, monkeypatch):
    monkeypatch.setattr(partial_index, "WORTH", 0)
    read = observation_images.read_image
    monkeypatch.setattr(observation_images, "read_image", fail_at(17, KeyboardInterrupt()))
    command = ("embed", "--run", finished, "--batch-size", "4", "--output", "my gallery.faiss")
    ended = scing(*command, "--json")
    assert (ended.code, ended.json["exit_code"]) == (130, 130)
    again = shlex.join(["scing", *map(str, command), "--json"])
    assert ended.json["remedy"] == f"Run the same command again to resume.\n{again}"
    assert "are saved in my gallery.unfinished.faiss. Run the same command again to resume. scing embed" in ended.err
    monkeypatch.setattr(observation_images, "read_image", fail_at(1, KeyboardInterrupt()))
    ended = scing(*command)
    assert "are saved in my gallery.unfinished.faiss." in ended.err
    monkeypatch.setattr(observation_images, "read_image", read)
    monkeypatch.setattr(listed_gallery, "gallery_rows", interrupted)
    assert "Interrupted; nothing new is kept, my gallery.unfinished.faiss is unchanged." in scing(*command).err


def interrupted(*_arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", [1, 30, 60])
def test_a_thread_that_dies_while_training(scing, world, here, soon, monkeypatch, number):
    monkeypatch.setattr(observation_images, "read_image", fail_at(number, SystemExit(0)))
    ended = scing("train-prompts", "--data", world, *MODEL, *FAST, "--run", "run")
    assert (ended.code, "A thread tried to exit" in ended.err) == (1, True), ended.err
    assert not Path("run/prompts/stamp.json").exists()


def test_vectors_that_are_not_finite_are_refused_and_named(scing, finished, here, monkeypatch):
    """By the copy as by torch; an index that is there stays as it is."""
    for file in finished.parent.glob("gallery.*"):
        shutil.copy(file, here)
    before, stream = snapshot(here), OpenVinoEmbedder.stream

    def broken(self, batches, *, unit=True):
        for rows, vectors in stream(self, batches, unit=unit):
            yield rows, np.where(np.array(rows)[:, None] == 7, np.float32("nan"), vectors) if rows else vectors

    monkeypatch.setattr(OpenVinoEmbedder, "stream", broken)
    for more in ("--append", "--force"):
        ended = scing("embed", "--run", finished, "--split", "query", more)
        assert ended.code == 2
        assert "1 vector is not finite, of " in ended.err
        assert "0009_c2s1_000001_00.jpg" in ended.err
    assert snapshot(here) == before


def children(pid):
    """Return the processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("late", [False, True])
def test_a_drawing_process_that_is_killed_ends_the_command(here, late):
    """As soon as it is there, and when the first images are."""
    size = ("--identities", 5 * worker.WORTH_PROCESSES, "--cameras", "4", "--workers", "2")
    process = Command(("prepare", "drawn", "--synthetic", *size), here, here).start()
    end = time.monotonic() + HANG
    while len(found := children(process.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.005)
    while late and not any(here.glob(".drawn*/*/*.jpg")) and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(found[-1], signal.SIGKILL)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 2, err
    assert "A drawing process ended early (exit code -9)" in err
    assert {path.name for path in here.iterdir()} <= {"cache"}
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)
