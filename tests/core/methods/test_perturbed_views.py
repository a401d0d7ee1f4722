"""Fresh views and a bank of them: the same perturbation and encoder, counted, and draws that follow their keys."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
import torch
from built import prompt_task_of
from oracles.augment import augment
from tiny import tiny_clip

from scing_cli.core.batches import random_batches
from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.methods import perturbed_views
from scing_cli.core.methods.perturbed_views import FreshViews, Perturbation, ViewBank, ViewEncoder
from scing_cli.core.methods.task import Batch
from scing_cli.core.methods.visual_condition import Condition
from scing_cli.core.runtime import Silent, generator
from scing_cli.core.settings import PromptSettings

IMAGES, SEED = 7, 5
EVERYTHING = Augmentation(occlusion=0.5, padding=2, black=(-1.0, -0.5, 0.5))
LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 2])
ALL = Batch(list(range(IMAGES)))


def pixels():
    return torch.randn(IMAGES, 3, 32, 16, generator=torch.Generator().manual_seed(1))


def batches_of(plan):
    return (Batch(rows, {"pixels": pixels()[rows]}) for rows in plan)


def bank(clip, count=3, precision="fp32", batch_size=3, reporter=None):
    source = ViewBank(ViewEncoder(clip.image, EVERYTHING, precision), views=count, batch_size=batch_size, seed=SEED)
    source.prepare(batches_of, IMAGES, reporter or Silent())
    return source


def stage1(clip, **options):
    settings = PromptSettings(model="test", pretrained="random", batch_size=4, instances=2, **options)
    features = torch.randn(IMAGES, 16, generator=torch.Generator().manual_seed(2))
    return prompt_task_of("scing", settings, clip=clip, features=features, labels=LABELS, precision="fp32")


def one_by_one(clip, count, batch_size):
    """Perturb pixel by pixel and encode each image alone: (N, n, D)."""
    found = np.zeros((IMAGES, count, 16), np.float32)
    for view in range(count):
        order = random_batches(IMAGES, size=batch_size, key=(SEED, "train-prompts", "bank", view, "shuffle"))
        for number, rows in enumerate(order):
            key = (SEED, "train-prompts", "bank", view, number)
            draws = EVERYTHING.draw(len(rows), 32, 16, *key)
            noise = torch.randn(3 * int(draws.erased[:, 2:].prod(axis=1).sum()), generator=generator(*key, "noise"))
            perturbed = augment(
                pixels()[rows].numpy(),
                **dataclasses.asdict(draws),
                noise=noise.numpy(),
                padding=EVERYTHING.padding,
                black=EVERYTHING.black,
            )
            for row, image in zip(rows, perturbed, strict=True):
                with torch.no_grad():
                    found[row, view] = clip.image(torch.from_numpy(image)[None]).projected[0].numpy()
    return found


@pytest.mark.parametrize("batch_size", [3, 7])
def test_a_bank_holds_each_perturbed_image_encoded_alone(batch_size):
    clip = tiny_clip()
    features = bank(clip, batch_size=batch_size).features
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features.numpy(), one_by_one(clip, 3, batch_size), atol=2e-6)
    assert len(torch.unique(features.flatten(0, 1).round(decimals=4), dim=0)) > 2 * IMAGES  # the views do differ


def test_both_kinds_of_views_are_one_perturbation_and_one_encoder():
    """The same images under the same keys have the same features; in bf16 too (R17)."""
    clip = tiny_clip()
    for precision in ("fp32", "bf16"):
        encode = ViewEncoder(clip.image, EVERYTHING, precision)
        fresh = FreshViews(encode).pair(Batch(ALL.rows, {"pixels": pixels()}), (0, "test", 0, 0))
        alone = [encode(pixels(), (0, "test", 0, 0, view)) for view in (1, 2)]
        torch.testing.assert_close(fresh, torch.cat(alone), atol=2e-6 if precision == "fp32" else 2e-2, rtol=0)
        assert fresh.dtype == torch.float32
        assert not fresh.requires_grad
    assert not torch.equal(bank(clip, precision="bf16").features, bank(clip).features)


def test_a_view_is_occluded_by_other_images_than_the_next_view():
    orders = [random_batches(IMAGES, size=3, key=(SEED, "train-prompts", "bank", view, "shuffle")) for view in range(3)]
    assert len({tuple(map(tuple, order)) for order in orders}) == 3


@pytest.mark.parametrize("count", [2, 3, 8])
def test_each_step_draws_two_different_views_and_every_pair_comes(count):
    source = bank(tiny_clip(), count)
    source.features = torch.arange(IMAGES * count, dtype=torch.float32).view(IMAGES, count, 1)  # row * n + view
    rows = [2, 5, 2, 0]
    pairs = set()
    for step in range(400):
        first, second = source.pair(Batch(rows), (0, "test", 0, step)).view(2, len(rows)).long()
        assert (first // count).tolist() == (second // count).tolist() == rows
        assert (first != second).all()
        pairs |= set(zip((first % count).tolist(), (second % count).tolist(), strict=True))
    assert len(pairs) == count * (count - 1)


def test_views_and_dropout_are_fresh_at_each_step_and_follow_the_key_alone():
    perturbation = Perturbation(bank(tiny_clip(), 2), 0.5, 1.0, Condition(1.0))
    here, again, later = (perturbation(ALL, (0, "test", 0, step)) for step in (3, 3, 4))
    assert torch.equal(here, again)
    assert not torch.equal(here == 0, later == 0)  # which entries are dropped
    torch.testing.assert_close(here.norm(dim=1), torch.ones(2 * IMAGES))
    assert float((here == 0).float().mean()) == pytest.approx(0.5, abs=0.15)
    kept = Perturbation(perturbation.views, 0.0, 1.0, Condition(1.0))
    assert not torch.equal(kept(ALL, (0, "test", 0, 3)), kept(ALL, (0, "test", 0, 4)))  # which views


def test_a_bank_follows_the_seed():
    clip = tiny_clip()
    source = ViewBank(ViewEncoder(clip.image, EVERYTHING, "fp32"), views=3, batch_size=3, seed=SEED + 1)
    source.prepare(batches_of, IMAGES, Silent())
    assert torch.equal(bank(clip).features, bank(clip).features)
    assert not torch.allclose(source.features, bank(clip).features, atol=1e-3)


def test_with_a_bank_the_image_tower_runs_before_training_alone():
    clip = tiny_clip()
    sizes = []
    clip.image.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    task = stage1(clip, views="bank:3")
    assert not task.reads
    assert sizes == []
    task.prepare(batches_of, Silent())
    assert sizes == [4, 3] * 3
    for step in range(3):
        losses = task.losses(ALL, (0, "train-prompts", 0, step))
        assert set(losses.terms) == {"contrast", "consistency"}
        losses.total().backward()
    assert len(sizes) == 6


def test_fresh_views_run_the_image_tower_once_a_step():
    clip = tiny_clip()
    sizes = []
    clip.image.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    task = stage1(clip)
    task.prepare(batches_of, Silent())
    assert sizes == []
    for step in range(3):
        task.losses(Batch(ALL.rows, {"pixels": pixels()}), (0, "train-prompts", 0, step))
    assert sizes == [2 * IMAGES] * 3


def test_fresh_views_have_keys_of_their_step_and_number():
    clip = tiny_clip()
    task = stage1(clip)
    image = task.perturbation.views.encode.image
    key = (0, "train-prompts", 2, 9)
    expected = torch.cat([clip.image(image(pixels(), *key, view)).projected for view in (1, 2)])
    torch.testing.assert_close(
        task.perturbation.views.pair(Batch(ALL.rows, {"pixels": pixels()}), key), expected, atol=2e-6, rtol=0
    )


class Heard(Silent):
    def __init__(self):
        self.notes, self.bars, self.steps = [], [], 0

    def note(self, text):
        self.notes.append(text)

    @contextlib.contextmanager
    def progress(self, description, total):
        self.bars.append((description, total))
        yield self.advance

    def advance(self, steps, text=""):
        self.steps += steps


def test_what_is_encoded_once_is_told_and_its_progress_shown(monkeypatch):
    heard = Heard()
    bank(tiny_clip(), 4, reporter=heard)
    assert heard.notes == ["4 perturbed views of each of 7 images are encoded once."]
    assert heard.bars == [("encode views", 28)]
    assert heard.steps == 28
    monkeypatch.setattr(perturbed_views, "LARGE", 28 * 16 * 4)
    bank(tiny_clip(), 4, reporter=heard)
    assert heard.notes[1].endswith("are encoded once, 0 MB on the training device.")


@pytest.mark.parametrize(("kind", "message"), [("fresh", "need pixels"), ("bank:2", "call prepare first")])
def test_what_is_missing_is_told(kind, message):
    task = stage1(tiny_clip(), views=kind)
    with pytest.raises(ValueError, match=message):
        task.losses(ALL, (0, "train-prompts", 0, 0))
    if kind != "fresh":
        with pytest.raises(ValueError, match="needs pixels"):
            task.prepare(lambda plan: [Batch(rows) for rows in plan], Silent())
