"""`train-prompts` and `train-visual`, killed at any moment: the same command resumes, and ends like an undisturbed run."""

from __future__ import annotations

import concurrent.futures
import json
import re
import shutil

import pytest
from faults.killing import Command, moments, survive
from pipeline.conftest import MODEL

SCHEDULE = ("--epochs", "20", "--batch-size", "4", "--instances", "2", "--lr", "1e-3")  # 5 to 6 steps an epoch
EACH_STEP, SOME_EPOCHS = ("--save-minutes", "0"), ()
EARLY = {EACH_STEP: 90, SOME_EPOCHS: 12}  # changes of `state`: of some 300, and of 25 or more, in a whole run
TIMES = {"seconds", "images_per_second"}
RESULTS = {"train-prompts": "prompts/prompts.safetensors", "train-visual": "visual/image_encoder.safetensors"}
RESUMING = re.compile(r"Resuming after (\d+) epochs? and (\d+) steps?\.")


def learnt(run, stage):
    """Return a stage's weights, and the course of training without its times."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    course = [{name: value for name, value in row.items() if name not in TIMES} for row in rows]
    return (run / RESULTS[stage]).read_bytes(), course


class Ground:
    """Both stages undisturbed: what they take while each step is saved, and what they end with."""

    def __init__(self, folder, world):
        self.folder, self.world = folder, world
        self.costs, self.ends = {}, {}
        for stage in RESULTS:
            command = self.begin(stage, folder / stage, EACH_STEP)
            self.costs[stage, EACH_STEP] = command.measure()
            self.ends[stage] = learnt(command.watched, stage)

    def begin(self, stage, run, saves):
        """Return the command that trains a stage in a run of its own."""
        given = ("--data", self.world, *MODEL)
        if stage == "train-visual":
            shutil.copytree(self.folder / "train-prompts", run)
            given = ()
        return Command((stage, *given, *SCHEDULE, *saves, "--run", run), self.folder, run)


@pytest.fixture(scope="module")
def ground(tmp_path_factory, world):
    return Ground(tmp_path_factory.mktemp("training"), world)


def killed(ground, folder, stage, saves, **options):
    """Kill a stage again and again.

    Returns:
        How many kills it took, and per try the (epochs, steps) that its later starts went on after.
    """
    whole, tries = ground.ends[stage], []

    def fresh(number):
        tries.append([])
        return ground.begin(stage, folder / str(number), saves)

    def hear(ended):
        tries[-1] += [tuple(map(int, place)) for place in RESUMING.findall(" ".join(ended.err.split()))]

    def between(command, ended):
        """Stage 1 is untouched by a killed stage 2; a stage that says it is complete is."""
        hear(ended)
        run = command.watched
        if stage == "train-visual":
            assert (run / RESULTS["train-prompts"]).read_bytes() == ground.ends["train-prompts"][0]
        if (run / RESULTS[stage]).with_name("stamp.json").exists():
            assert learnt(run, stage) == whole

    def finish(command, ended):
        """A command that was killed behind its last write finds a finished stage, and says so."""
        hear(ended)
        run = command.watched
        assert ended.code == 0 or (run / RESULTS[stage]).with_name("stamp.json").exists(), ended.err
        assert learnt(run, stage) == whole
        assert not [file for file in run.rglob(".*") if file.name.startswith(".dry-run")]

    if (stage, saves) not in ground.costs:
        undisturbed = ground.begin(stage, folder / "undisturbed", saves)
        ground.costs[stage, saves] = undisturbed.measure()
        assert learnt(undisturbed.watched, stage) == whole
    drawn = moments(*ground.costs[stage, saves], changes=EARLY[saves], seed=1)
    return survive(fresh, drawn, between=between, finish=finish, **options), tries


def gone_on(tries):
    """Count the tries that went on from within the training."""
    return sum(max(places, default=(0, 0)) > (0, 0) for places in tries)


def test_a_killed_training_goes_on_and_ends_as_an_undisturbed_one(ground, tmp_path):
    """Three kills of each stage; both stages at once, as the starts take most of the time."""

    def thrice(stage):
        return killed(ground, tmp_path / stage, stage, EACH_STEP, kills=3, each=(3,))

    with concurrent.futures.ThreadPoolExecutor() as both:
        for count, tries in both.map(thrice, RESULTS):
            assert count >= 3
            assert gone_on(tries) >= 1


def test_what_a_killed_save_left_is_swept(scing, own_run, world):
    """A process that is killed within safetensors leaves `.tmpXXXXXX`, within this program's own writers `.X.part`."""
    shutil.rmtree(own_run / "visual")
    (own_run / "visual").mkdir()
    left = [own_run / "visual" / ".tmpAbCdEf", own_run / ".run.json.01234567.part"]
    for file in left:
        file.touch()
    assert scing("train-visual", "--epochs", "1", "--batch-size", "16", "--run", own_run).code == 0
    assert not [file for file in left if file.exists()]


@pytest.mark.long
@pytest.mark.parametrize("stage", RESULTS)
def test_thirty_kills_of_each_stage(ground, tmp_path, stage):
    """Half of them while each step is saved, half while some ends of epochs are."""
    everything = []
    for name, saves in (("each step", EACH_STEP), ("some epochs", SOME_EPOCHS)):
        count, tries = killed(ground, tmp_path / name, stage, saves, kills=15)
        places = [place for started in tries for place in started if place > (0, 0)]
        print(
            f"\n{stage}, {name} saved: survived {count} kills in {len(tries)} tries; {gone_on(tries)} of them went on, "
            f"after (epochs, steps) {places}"
        )
        assert count >= 15
        assert saves != EACH_STEP or any(steps for _, steps in places)
        everything += tries
    assert gone_on(everything) >= len(everything) / 3
