"""Shards whose processes are killed: the others go on, and the merged index has the bytes of one undisturbed process."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time

import pytest
from faults.killing import Command, Moment, moments, survive
from faults.test_kill_embed import content
from patience import HANG

from scing_cli.core.index import GalleryIndex
from scing_cli.core.workflows.embed.shard_plan import read_plan


class Work:
    """Images, each a batch of its own, and the index that one process makes of them."""

    def __init__(self, folder, finished, world, count):
        folder.mkdir(exist_ok=True)
        self.folder, self.run, self.images = folder, folder / "run", folder / "images"
        shutil.copytree(finished, self.run)
        self.images.mkdir()
        crops = sorted(world.glob("*/*.jpg"))
        for number in range(count):
            shutil.copy2(crops[number % len(crops)], self.images / f"{number:04d}.jpg")
        self.once = folder / "once" / "g.faiss"
        self.once.parent.mkdir()
        assert self.command(self.once).run().code == 0

    def command(self, index, *more):
        given = ("embed", "--run", self.run, "--images", self.images, "--output", index, "--batch-size", "1", *more)
        return Command(given, self.folder, index.parent)

    def check(self, index):
        """Merge the shards and compare the files with those of one process."""
        ended = Command(("embed", "--merge", "--output", index), self.folder, index.parent).run()
        assert ended.code == 0, ended.err
        assert sorted(file.name for file in index.parent.iterdir()) == ["g.faiss", "g.rows-1"]
        for file in index.parent.iterdir():
            assert file.read_bytes() == (self.once.parent / file.name).read_bytes()


@pytest.fixture(scope="module")
def work(tmp_path_factory, finished, world):
    return Work(tmp_path_factory.mktemp("work"), finished, world, 24)


def killed_alone(work, kills, seed):
    """Kill the one process again and again."""

    def fresh(number):
        index = work.folder / f"alone {seed}.{number}" / "g.faiss"
        index.parent.mkdir()
        return work.command(index, "--shards", "6", *([], ["--save-minutes", "0"])[number % 2])

    def between(command, killed):
        assert not (command.watched / "g.faiss").exists()

    def finish(command, ended):
        assert ended.code == 0, ended.err
        work.check(command.watched / "g.faiss")

    cost = fresh(99).measure()
    return survive(fresh, moments(*cost, seed=seed), kills=kills, between=between, finish=finish)


def killed_among_others(work, workers, shards, kills, seed):
    """Start many at once, kill some at drawn moments of the common work, and start one for what they left."""
    dice, folder = random.Random(seed), work.folder / f"others {seed}"
    index = folder / "g.faiss"
    command = work.command(index, "--shards", shards)
    folder.mkdir()
    running = [command.start() for _ in range(workers)]
    for process, done in zip(running, sorted(dice.sample(range(shards - 1), kills)), strict=False):
        end = time.monotonic() + HANG
        while len(list(folder.glob("g.shards/*[0-9].json"))) < done and time.monotonic() < end:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
    for process in running:
        _, err = process.communicate(timeout=HANG)
        assert process.returncode in {0, -signal.SIGKILL}, err
    assert sum(process.returncode < 0 for process in running) == kills
    left = read_plan(folder / "g.shards").missing()
    if left:
        assert command.run().code == 0
    work.check(index)
    return len(left)


def test_a_process_that_is_killed_goes_on_where_it_was(work):
    assert killed_alone(work, 3, seed=1) >= 3


def test_others_do_the_work_of_one_that_is_killed(work):
    killed_among_others(work, workers=3, shards=24, kills=1, seed=2)


def ready_to_merge(work, name):
    """Make all shards of an index; return it, and the command that merges them."""
    index = work.folder / f"merge {name}" / "g.faiss"
    index.parent.mkdir()
    assert work.command(index, "--shards", "4").run().code == 0
    return index, Command(("embed", "--merge", "--output", index), work.folder, index.parent)


def merge_killed(work, step):
    """Kill a merge at a step of its work, and merge again; return whether it lived to that step."""
    index, merge = ready_to_merge(work, step)
    killed = merge.run(Moment(step=step)).killed
    if not killed:
        return False
    if index.exists():
        assert GalleryIndex.read(index).stamp.count == 24
    again = merge.run()
    assert again.code == 0 or "is there already" in again.err or "There are no shards" in again.err, again.err
    if index.with_name(
        "g.shards"
    ).exists():  # it was killed after the rename, and its left-overs are for the next worker
        assert "is there already" in work.command(index, "--shards", "4").run().err
    assert content(index) == content(work.once)
    for file in work.once.parent.iterdir():
        assert file.read_bytes() == (index.parent / file.name).read_bytes()
    assert again.code or sorted(file.name for file in index.parent.iterdir()) == ["g.faiss", "g.rows-1"]
    return True


def test_a_merge_that_is_killed_leaves_the_shards_or_the_index(work):
    _, steps = ready_to_merge(work, "measured")[1].measure()
    for part in (0.15, 0.5, 0.9):
        assert merge_killed(work, int(part * steps))


@pytest.mark.long
def test_a_kill_at_every_step_of_a_merge(work):
    steps = next(step for step in range(1, 1000) if not merge_killed(work, step))
    print(f"embed --merge: killed at each of {steps - 1} steps, survived all")
    assert steps > 50


@pytest.mark.long
def test_a_kill_at_every_step_of_a_shard(work):
    for step in range(1, 1000):
        index = work.folder / f"step {step}" / "g.faiss"
        index.parent.mkdir()
        command = work.command(index, "--shards", "2", "--shard", "1")
        if not command.run(Moment(step=step)).killed:
            break
        assert command.run().code == 0
        assert read_plan(index.with_name("g.shards")).missing() == [0]
        assert work.command(index, "--shards", "2", "--shard", "0").run().code == 0
        work.check(index)
    print(f"embed --shards 2 --shard 1: killed at each of {step - 1} steps, survived all")
    assert step > 30


@pytest.mark.long
def test_thirty_kills_of_one_process(work):
    assert killed_alone(work, 30, seed=3) >= 30


@pytest.mark.long
def test_eight_processes_two_hundred_shards_two_kills(tmp_path, finished, world):
    work = Work(tmp_path / "work", finished, world, 216)
    for seed in range(3):
        left = killed_among_others(work, workers=8, shards=200, kills=2, seed=seed)
        print(f"seed {seed}: two of eight processes killed, {left} shards left for another one, the same bytes")
