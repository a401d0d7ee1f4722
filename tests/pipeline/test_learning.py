"""Training works: the loss of stage 1 falls, PDCA makes the views' texts similar, and both stages improve the ranking."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from built import prompt_task_of
from devices import needs_gpu
from tiny import FROM_NOTHING, TINY_MODEL

from scing_cli.core.batches import ImageLoader, identity_batches, normalise, sequential
from scing_cli.core.datasets import read_data
from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.manifest import labels as classes_of
from scing_cli.core.methods import Batch
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import PromptSettings

HELD_OUT = [(0, "held-out", epoch, 0) for epoch in range(20)]


class Ground:
    """A world's training part as pixels, and stage 1 on it without the files around it."""

    def __init__(self, world, **settings):
        part = read_data(world).manifest.part("train")
        self.settings = PromptSettings(model=TINY_MODEL, pretrained="random", **settings)
        self.clip = load_clip(TINY_MODEL, "random")
        size = self.clip.image.geometry
        loader = ImageLoader(part.files(), height=size.height, width=size.width, interpolation="bicubic", workers=2)
        pixels = np.concatenate([batch.pixels for batch in loader.batches(sequential(len(part), 64))])
        self.pixels = normalise(torch.from_numpy(pixels), size.mean, size.std)
        self.labels = torch.tensor(classes_of(part, part.identities()))
        with torch.no_grad():
            self.features = torch.nn.functional.normalize(self.clip.image(self.pixels).projected, dim=1)

    def task(self, **changes):
        settings = self.settings.model_validate({**self.settings.model_dump(), **changes})
        return prompt_task_of(
            "scing", settings, clip=self.clip, features=self.features, labels=self.labels, precision="fp32"
        )

    def train(self, task, steps, key):
        task.prepare(lambda plan: (Batch(rows, {"pixels": self.pixels[rows]}) for rows in plan), Silent())
        optimiser = torch.optim.Adam(task.trainable().parameters(), lr=3e-3)
        contrast = []
        for step in range(steps):
            rows = identity_batches(self.labels.tolist(), identities=4, instances=4, key=(key, step))[0]
            losses = task.losses(Batch(rows, {"pixels": self.pixels[rows]}), (0, key, 0, step))
            optimiser.zero_grad(set_to_none=True)
            losses.total().backward()
            optimiser.step()
            contrast.append(float(losses.terms["contrast"].detach()))
        return contrast

    @torch.no_grad()
    def views_cosine(self, task):
        """Mean cos(w', w'') over views whose draws no training step has seen."""
        cosines = []
        for key in HELD_OUT:
            first, second = (
                task.texts(self.labels, part)[0]
                for part in task.perturbation(Batch(range(len(self.pixels)), {"pixels": self.pixels}), key).split(
                    len(self.pixels)
                )
            )
            cosines.append((first * second).sum(1).mean())
        return float(torch.stack(cosines).mean())


@pytest.fixture(scope="module")
def ground(world):
    return Ground(world)


def test_stage_1s_loss_falls(ground):
    contrast = ground.train(ground.task(consistency_weight=1.0), 60, "falls")
    assert np.mean(contrast[-10:]) < np.mean(contrast[:10]) - 0.1


@pytest.mark.parametrize("views", ["fresh", "bank:8"])
def test_consistency_raises_the_cosine_of_held_out_views(ground, views):
    """SVIP starts at zero (R2), where all views have one text: the cosine starts at 1 and falls as the condition grows.

    From prompts that learnt without PDCA, PDCA raises it again; and learnt with PDCA, it is higher than without. The
    views that it is measured on are fresh, wherever the training's come from.
    """
    plain = ground.task(consistency_weight=1e-9)
    assert ground.views_cosine(plain) == pytest.approx(1, abs=1e-6)
    ground.train(plain, 60, "without")
    without = ground.views_cosine(plain)
    assert without < 1 - 1e-4

    resumed = ground.task(consistency_weight=20.0, views=views)
    resumed.trainable().load_state_dict(plain.trainable().state_dict())
    ground.train(resumed, 40, "after")
    together = ground.task(consistency_weight=20.0, views=views)
    ground.train(together, 60, "without")
    for learnt in (resumed, together):
        plain.trainable().load_state_dict(learnt.trainable().state_dict())
        assert ground.views_cosine(plain) > without + 0.3 * (1 - without)


@pytest.mark.long
def test_both_stages_lift_the_ranking_of_people_never_seen(scing, tmp_path, monkeypatch, capsys):
    """Three seeds, each with its own world and weights: 128 people to train on, 64 others, occluded queries."""
    monkeypatch.chdir(tmp_path)
    gains = []
    for seed in (0, 1, 2):
        world, run = f"world-{seed}", f"run-{seed}"
        drawn = ("--identities", 128, "--test-identities", 64, "--cameras", 4, "--images-per-camera", 3)
        assert scing("prepare", world, "--synthetic", *drawn, "--occluded-queries", "--seed", seed).code == 0
        model = ("--model", FROM_NOTHING, "--pretrained", "random", "--seed", seed)
        before = scing("evaluate", *model, "--data", world, "--json").json["mAP"]
        first = scing(
            "train-prompts", "--data", world, *model, "--run", run, "--epochs", 3, "--lr", "1e-4", "--json"
        ).json
        assert first["last_epoch"]["loss"] < first["first_epoch"]["loss"]
        stage2 = ("--epochs", 64, "--lr", "1e-3", "--milestones", "45,58", "--warmup-epochs", 2, "--seed", seed)
        assert scing("train-visual", "--run", run, *stage2).code == 0
        after = scing("evaluate", "--run", run, "--json").json["mAP"]
        gains.append(after - before)
        with capsys.disabled():
            print(json.dumps({"seed": seed, "untrained": before, "stage 2": after, "stage 1": first["last_epoch"]}))
    assert min(gains) > 0
    assert np.mean(gains) >= 10


SMALL = ("--config", Path(__file__).parents[2] / "examples" / "configs" / "scing-small.toml")
TINY = ("--epochs", 4, "--lr", "3e-3")
TINY_2 = ("--epochs", 12, "--lr", "5e-4", "--milestones", "8,11", "--warmup-epochs", 1, "--batch-size", 128)


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("name", "most", "options", "options2"),
    [("scing-tiny", 65, TINY, TINY_2), ("scing-small", 80, SMALL, SMALL)],
    ids=["scing-tiny", "scing-small"],
)
def test_training_closes_much_of_the_gap_that_a_shipped_model_leaves(
    scing, tmp_path, monkeypatch, capsys, name, most, options, options2, seed
):
    """1,024 people to train on, half of their images occluded; 128 others, plain and occluded queries, before and after."""
    monkeypatch.chdir(tmp_path)
    drawn = ("--synthetic", "--identities", 1024, "--test-identities", 128, "--occluded-training", 0.5, "--seed", seed)
    assert scing("prepare", "plain", *drawn).code == 0
    assert scing("prepare", "occluded", *drawn, "--occluded-queries").code == 0
    worlds, model = ("plain", "occluded"), ("--model", name)
    before = {world: scing("evaluate", *model, "--data", world, "--json").json["mAP"] for world in worlds}
    assert scing("train-prompts", "--data", "plain", *model, "--run", "run", *options, "--seed", seed).code == 0
    assert scing("train-visual", "--run", "run", *options2, "--seed", seed).code == 0
    after = {world: scing("evaluate", "--run", "run", "--data", world, "--json").json["mAP"] for world in worlds}
    closed = {world: (after[world] - before[world]) / (100 - before[world]) for world in worlds}
    with capsys.disabled():
        print(json.dumps({"model": name, "seed": seed, "zero-shot": before, "stage 2": after, "closed": closed}))
    assert 25 <= before["occluded"] < before["plain"] <= most  # something is known, and much is left to learn
    assert min(closed.values()) >= 0.3


def trained_map(scing, run, device, seed):
    """Return the mAP of people never seen after both stages on a device, from scing-tiny."""
    common = ("--device", device, "--seed", seed)
    stage1 = ("--model", "scing-tiny", "--epochs", 3, "--lr", "3e-3", *common)
    assert scing("train-prompts", "--data", "world", "--run", run, *stage1).code == 0
    stage2 = ("--epochs", 10, "--lr", "5e-4", "--milestones", "7,9", "--warmup-epochs", 1, *common)
    assert scing("train-visual", "--run", run, *stage2).code == 0
    return scing("evaluate", "--run", run, "--device", device, "--json").json["mAP"]


@needs_gpu
@pytest.mark.long
def test_a_gpu_learns_as_much_as_the_cpu(scing, tmp_path, monkeypatch, capsys):
    """Three seeds on each: means that are no farther apart than seeds are, and well above scing-tiny."""
    monkeypatch.chdir(tmp_path)
    drawn = ("--identities", 192, "--test-identities", 64, "--occluded-training", 0.5, "--occluded-queries")
    assert scing("prepare", "world", "--synthetic", *drawn).code == 0
    before = scing("evaluate", "--model", "scing-tiny", "--data", "world", "--json").json["mAP"]
    found = {
        device: [trained_map(scing, f"{device}-{seed}", device, seed) for seed in (0, 1, 2)]
        for device in ("cpu", "cuda")
    }
    with capsys.disabled():
        print(json.dumps({"untrained": before, **found}))
    means = {device: np.mean(values) for device, values in found.items()}
    spread = max(np.ptp(values) for values in found.values())
    assert min(means.values()) > before + 5
    assert abs(means["cpu"] - means["cuda"]) <= max(spread, 0.5)
