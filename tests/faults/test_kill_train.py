"""`train-prompts` and `train-visual`, killed at any moment: the same command goes on, and ends as an undisturbed run."""

from __future__ import annotations

import json
import shutil

import pytest
from faults.killing import Command, moments, survive
from pipeline.conftest import MODEL

EPOCHS = ("--epochs", "4", "--batch-size", "16", "--lr", "1e-3")
TIMES = {"seconds", "images_per_second"}
RESULTS = {"train-prompts": "prompts/prompts.safetensors", "train-visual": "visual/image_encoder.safetensors"}


def learnt(run, stage):
    """Return a stage's weights, and the course of training without its times."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    course = [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
    return (run / RESULTS[stage]).read_bytes(), course


class Ground:
    """A run through both stages, undisturbed, and what each stage takes."""

    def __init__(self, folder, world):
        self.folder, self.world = folder, world
        self.run = folder / "run"
        self.cost, self.ends = {}, {}
        for stage in RESULTS:
            self.cost[stage] = self.command(stage, self.run).measure()
            self.ends[stage] = learnt(self.run, stage)
            shutil.copytree(self.run, folder / f"after-{stage}")

    def command(self, stage, run):
        given = ("--data", self.world, *MODEL) if stage == "train-prompts" else ()
        return Command((stage, *given, *EPOCHS, "--run", run), self.folder, run)


@pytest.fixture(scope="module")
def ground(tmp_path_factory, world):
    return Ground(tmp_path_factory.mktemp("training"), world)


def killed(ground, folder, stage, kills, seed):
    before = ground.ends["train-prompts"]

    def fresh(number):
        run = folder / str(number) / "run"
        if stage == "train-visual":
            shutil.copytree(ground.folder / "after-train-prompts", run)
        return ground.command(stage, run)

    def between(command, times):
        """Stage 1 is untouched by a killed stage 2; a stage that says it is complete is."""
        run = command.watched
        if stage == "train-visual":
            assert (run / RESULTS["train-prompts"]).read_bytes() == before[0]
        if (run / RESULTS[stage]).with_name("stamp.json").exists():
            assert learnt(run, stage) == ground.ends[stage]

    def finish(command, ended):
        """A command that was killed behind its last write finds a finished stage, and says so."""
        run = command.watched
        assert ended.code == 0 or (run / RESULTS[stage]).with_name("stamp.json").exists(), ended.err
        assert learnt(run, stage) == ground.ends[stage]
        assert not [file for file in run.rglob(".*") if file.name.startswith(".rehearsal")]

    return survive(fresh, moments(*ground.cost[stage], seed=seed), kills=kills, between=between, finish=finish)


@pytest.mark.parametrize("stage", RESULTS)
def test_a_killed_training_goes_on_and_ends_as_an_undisturbed_one(ground, tmp_path, stage):
    assert killed(ground, tmp_path, stage, 3, seed=1) >= 3


def test_what_a_killed_save_left_is_swept(scing, own_run, world):
    """A process that is killed within safetensors leaves `.tmpXXXXXX`, within this program's own writers `.X.part`."""
    shutil.rmtree(own_run / "visual")
    (own_run / "visual").mkdir()
    left = [own_run / "visual" / ".tmpAbCdEf", own_run / ".run.json.01234567.part"]
    for file in left:
        file.touch()
    assert scing("train-visual", *EPOCHS, "--run", own_run).code == 0
    assert not [file for file in left if file.exists()]


@pytest.mark.long
@pytest.mark.parametrize("stage", RESULTS)
def test_thirty_kills_of_each_stage(ground, tmp_path, stage):
    count = killed(ground, tmp_path, stage, 30, seed=2)
    print(f"{stage}: killed {count} times, survived all")
    assert count >= 30
