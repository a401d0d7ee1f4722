"""SCING as a whole: parameters, gradients, random draws, and the identity texts."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from built import prompt_task_of, visual_task_of
from oracles import method as oracle
from tiny import tiny_clip
from torch.nn import functional as F

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.methods import Similarity
from scing_cli.core.methods.perturbed_views import FreshViews, Perturbation, ViewEncoder
from scing_cli.core.methods.prompts import PromptLearner
from scing_cli.core.methods.scing import SelectiveVisualPrompt
from scing_cli.core.methods.task import Batch
from scing_cli.core.methods.visual_condition import Condition
from scing_cli.core.settings import PromptSettings, VisualSettings

SVIP = functools.partial(SelectiveVisualPrompt, fused_tokens=2, gate="channel")
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
KEY = (0, "test", 0, 0)


def count(module):
    return sum(value.numel() for value in module.parameters())


def pixels(size=6, seed=0):
    return torch.randn(size, 3, 32, 16, generator=torch.Generator().manual_seed(seed))


def features(size=6, seed=1):
    return F.normalize(torch.randn(size, 16, generator=torch.Generator().manual_seed(seed)), dim=1)


def prompt_task(clip, precision="fp32", **options):
    settings = PromptSettings(model="test", pretrained="random", **options)
    given = {"clip": clip, "features": features(), "labels": LABELS, "precision": precision}
    return prompt_task_of("scing", settings, **given)


def visual_task(clip, precision="fp32", **options):
    texts = features(3, seed=2)
    return visual_task_of(
        "scing",
        VisualSettings(**options),
        encoder=clip.image,
        texts=texts,
        similarity=Similarity("cosine", 100.0),
        labels=LABELS,
        cameras=None,
        precision=precision,
    )


@pytest.mark.parametrize(("gate", "expected"), [("channel", 394_368), ("token", 395_522)])
def test_svip_has_the_papers_number_of_parameters_at_vit_b_16(gate, expected):
    assert count(SelectiveVisualPrompt(512, 512, fused_tokens=2, gate=gate)) == expected


def test_svip_starts_as_plain_prompts():
    module = SelectiveVisualPrompt(16, 24, fused_tokens=2)
    assert not module(features()).any()


def test_tokens_start_small_and_follow_the_seed():
    tokens = [prompt_task(tiny_clip(), seed=seed).prompts.tokens for seed in (0, 0, 1)]
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[0], tokens[2])
    assert float(tokens[0].detach().std()) == pytest.approx(0.02, rel=0.15)


def train_two_steps(task, with_pixels=True):
    optimiser = torch.optim.Adam(task.trainable().parameters(), lr=1e-3)
    for step in range(2):
        optimiser.zero_grad(set_to_none=True)
        batch = Batch(list(range(6)), {"pixels": pixels()} if with_pixels else {})
        task.losses(batch, (0, "test", 0, step)).total().backward()
        optimiser.step()


def test_stage_1_gradients_reach_exactly_the_tokens_and_svip():
    clip = tiny_clip()
    towers = {"image": clip.image, "text": clip.text}
    before = {key: {name: value.clone() for name, value in tower.state_dict().items()} for key, tower in towers.items()}
    task = prompt_task(clip)
    train_two_steps(task)
    assert {
        name for name, value in task.prompts.named_parameters() if value.grad is None or not value.grad.any()
    } == set()
    assert {name.partition(".")[0] for name, _ in task.prompts.named_parameters()} == {"tokens", "visual"}
    for key, tower in towers.items():
        for name, value in tower.named_parameters():
            assert value.grad is None, name
            assert not value.requires_grad
            assert torch.equal(value, before[key][name]), name


def test_stage_2_gradients_reach_exactly_the_image_encoder():
    clip = tiny_clip()
    task = visual_task(clip)
    texts = task.objective.texts.clone()
    train_two_steps(task)
    assert {
        name for name, value in clip.image.named_parameters() if value.grad is None or not value.grad.any()
    } == set()
    assert all(value.grad is None for value in clip.text.parameters())
    assert torch.equal(task.objective.texts, texts)
    assert not task.objective.texts.requires_grad


@pytest.mark.parametrize("options", [{"consistency_weight": 0.0}, {"consistency": False}])
def test_without_consistency_no_image_is_read(options):
    task = prompt_task(tiny_clip(), **options)
    assert not task.reads
    train_two_steps(task, with_pixels=False)
    assert set(task.losses(Batch([0, 1, 2]), KEY).terms) == {"contrast"}


def views_of(task, key):
    return task.perturbation(Batch(list(range(6)), {"pixels": pixels()}), key)


def test_views_are_two_fresh_draws_of_the_key_alone():
    task = prompt_task(tiny_clip())
    first, second = views_of(task, KEY).split(6)
    assert not torch.allclose(first, second)
    assert torch.equal(views_of(task, KEY), torch.cat([first, second]))
    assert not torch.allclose(views_of(task, (0, "test", 0, 1))[:6], first)
    assert (first.norm(dim=1) - 1).abs().min() > 1e-3  # the default leaves V as it is (R19)
    unit, _ = views_of(prompt_task(tiny_clip(), condition="unit"), KEY).split(6)
    torch.testing.assert_close(unit, F.normalize(first, dim=1))


def test_views_leave_no_graph_and_v_is_not_perturbed():
    task = prompt_task(tiny_clip())
    assert not views_of(task, KEY).requires_grad
    torch.testing.assert_close(task.conditions, features(), rtol=0, atol=1e-7)


def test_dropout_drops_its_share_and_keeps_the_mean():
    views = FreshViews(ViewEncoder(tiny_clip().image, Augmentation(), "fp32"))
    perturbation = Perturbation(views, 0.5, 1.0, Condition(1.0))
    dropped = perturbation.drop(torch.ones(400, 64), KEY)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.03)
    assert torch.equal(Perturbation(views, 0.0, 1.0, Condition(1.0)).drop(torch.ones(3, 4), KEY), torch.ones(3, 4))


@pytest.mark.parametrize("condition", ["raw", "unit"])
@pytest.mark.parametrize("kind", ["mean-condition", "mean-text"])
def test_identity_texts_follow_reading_6(kind, condition):
    task = prompt_task(tiny_clip(), condition=condition)
    with torch.no_grad():
        for value in task.prompts.parameters():
            value.copy_(torch.randn_like(value) * 0.2)
    found = task.identity_texts(kind=kind, block=2)
    for identity in range(3):
        own = features()[identity * 2 : identity * 2 + 2]
        label = torch.tensor([identity])
        if kind == "mean-condition":
            mean = own.double().numpy().mean(0)
            scaled = torch.from_numpy(mean if condition == "raw" else oracle.unit(mean)).float()
            expected = task.texts(label, scaled[None])[0][0]
        else:
            texts = torch.stack([task.texts(label, one[None])[0][0] for one in own])
            expected = F.normalize(texts.mean(0), dim=0)
        np.testing.assert_allclose(found[identity].numpy(), expected.detach().numpy(), atol=2e-6)
    assert not found.requires_grad


def test_the_triplets_active_share_is_logged():
    figures = visual_task(tiny_clip()).losses(Batch(list(range(6)), {"pixels": pixels()}), KEY).figures
    assert 0 <= float(figures["active_share"]) <= 1


def test_prompts_are_made_where_the_text_tower_is():
    clip = tiny_clip()
    clip.text.to("meta")
    with torch.device("meta"):
        prompts = PromptLearner(clip=clip, identities=2, tokens=4, visual=SVIP)
    assert {value.device.type for value in (*prompts.parameters(), *prompts.buffers())} == {"meta"}


def test_padding_is_ten_pixels_at_256_and_follows_the_height():
    small = prompt_task(tiny_clip()).perturbation.views.encode.image.padding
    full = prompt_task(tiny_clip(size=(256, 128))).perturbation.views.encode.image.padding
    assert (small, full) == (1, 10)


@pytest.mark.parametrize("build", [prompt_task, visual_task])
def test_outside_the_towers_everything_is_float32_under_bf16(build):
    """R17: the losses of a bf16 run are float32, and near those of float32."""
    totals = []
    for precision in ("fp32", "bf16"):
        task = build(tiny_clip(), precision=precision)
        losses = task.losses(Batch(list(range(6)), {"pixels": pixels()}), KEY)
        assert {term.dtype for term in losses.terms.values()} == {torch.float32}
        totals.append(float(losses.total().detach()))
    assert totals[0] != totals[1]
    assert totals[1] == pytest.approx(totals[0], rel=0.1)


def test_stage_2_occludes_only_where_asked():
    """The published augmentation has no occlusion; with it, flip, crop and erase stay as they were drawn."""
    usual, asked = (visual_task(tiny_clip(), **given).augmentation for given in ({}, {"occlusion": 1.0}))
    assert usual == visual_task(tiny_clip(), occlusion=0.0).augmentation
    draws = [each.draw(6, 32, 16, *KEY) for each in (usual, asked)]
    assert not draws[0].occluded.any()
    assert (draws[1].occluded[:, 2:].prod(axis=1) > 0).all()
    assert (draws[0].flip == draws[1].flip).all()
    assert (draws[0].erased == draws[1].erased).all()


def test_the_tokens_gradient_has_the_same_bits_every_time():
    """Many images add to the same tokens: on several threads too, the order of the sums must be fixed."""
    clip = tiny_clip()
    labels = torch.arange(3).repeat(400)
    prompts = PromptLearner(clip=clip, identities=3, tokens=4, visual=SVIP)
    weights = torch.randn(1200, prompts.end + 1, 24, generator=torch.Generator().manual_seed(5))
    found = set()
    for _ in range(20):
        prompts.zero_grad(set_to_none=True)
        (prompts(labels, features(1200))[0] * weights).sum().backward()
        found.add(prompts.tokens.grad.numpy().tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("objects", ["person", "vehicle"])
def test_prompts_end_with_the_word_for_what_the_data_show(objects):
    clip = tiny_clip()
    prompts = PromptLearner(clip=clip, identities=2, tokens=3, visual=None, objects=objects)
    words, _ = prompts(torch.tensor([1]), torch.zeros(1, clip.image.embed_dim))
    start, *before, _ = clip.tokenizer("A photo of a")
    _, *after, stop = clip.tokenizer(f"{objects}.")
    expected = clip.text.embed(torch.tensor([[start, *before, *[0] * 3, *after, stop]]))
    given = [place for place in range(words.shape[1]) if not 1 + len(before) <= place < 4 + len(before)]
    assert torch.equal(words[:, given], expected[:, given])
    assert prompts.end == words.shape[1] - 1
