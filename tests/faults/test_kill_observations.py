"""Rows of three images under SIGKILL: a training of `dmpt` ends as an undisturbed one, an index is the old or the new."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults.killing import Command, moments, survive
from faults.test_kill_embed import append_killed, content
from faults.test_kill_train import EACH_STEP, learnt
from observed import read_table, spectral_run, write_observations, write_table
from pipeline.conftest import MODEL

KILLS = 3
SCHEDULE = ("--epochs", "3", "--batch-size", "8", "--instances", "2", "--lr", "1e-3")  # 9 steps


@pytest.fixture(scope="module")
def table(tmp_path_factory, world):
    """All rows are for training and in the gallery: the training reads each of them, and so does an index."""
    folder = tmp_path_factory.mktemp("observed")
    found = write_observations(folder / "data", world)
    write_table(found, [(*row[:3], "train", *row[4:]) for row in read_table(found)])
    return found


def test_a_killed_training_of_prompts_ends_as_an_undisturbed_one(tmp_path, table):
    def begin(run):
        given = ("--data", table, "--method", "dmpt", *MODEL, *SCHEDULE, "--warmup-epochs", "0", *EACH_STEP)
        return Command(("train-prompts", *given, "--run", run), tmp_path, run)

    undisturbed = begin(tmp_path / "undisturbed")
    cost = undisturbed.measure()
    whole = learnt(undisturbed.watched, "train-visual")

    def between(command, ended):
        assert (
            not (command.watched / "prompts" / "stamp.json").exists()
            or learnt(command.watched, "train-visual") == whole
        )

    def finish(command, ended):
        assert ended.code == 0 or (command.watched / "prompts" / "stamp.json").exists(), ended.err
        assert learnt(command.watched, "train-visual") == whole

    drawn = moments(*cost, changes=15, seed=4)
    assert survive(lambda n: begin(tmp_path / str(n)), drawn, kills=KILLS, between=between, finish=finish) >= KILLS


def test_a_killed_append_of_observations_leaves_the_state_before_or_after(tmp_path, table, finished):
    data = Path(shutil.copytree(table.parent, tmp_path / "data")) / table.name
    run, rows = spectral_run(finished, tmp_path / "run"), read_table(data)

    def command(index, *more):
        given = ("--run", run, "--data", data, "--split", "train", "--output", index)
        return Command(("embed", *given, *more), tmp_path, index.parent)

    before, after = (tmp_path / name / "gallery.faiss" for name in ("before", "after"))
    before.parent.mkdir()
    write_table(data, rows[:16])
    assert command(before).run().code == 0
    write_table(data, [("", *rows[0][1:]), *rows[1:]])  # one row loses its visible image, eight are new
    shutil.copytree(before.parent, after.parent)
    cost = command(after, "--append").measure()
    assert [len(content(index)[0]) for index in (before, after)] == [16, len(rows)]
    ground = SimpleNamespace(before=before, after=after, command=command, append_cost=cost)
    assert append_killed(ground, tmp_path / "killed", KILLS, seed=5) >= KILLS
