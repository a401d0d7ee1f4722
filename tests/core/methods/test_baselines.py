"""CLIP-ReID and CoCoOp: their losses, schedules and prompts against plain float64 loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from built import prompt_task_of, visual_task_of
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import clip_reid as oracle
from oracles import dmpt
from oracles import method as paper
from tiny import tiny_clip

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders.image import ImageFeatures
from scing_cli.core.methods import Similarity
from scing_cli.core.methods.cocoop import MetaNet
from scing_cli.core.methods.losses import batch_hard_triplet, soft_triplet
from scing_cli.core.methods.objectives import build_objective
from scing_cli.core.methods.task import Batch
from scing_cli.core.settings import PromptSettings, VisualSettings, build_settings, read_config
from scing_cli.core.workflows.train.stage import rate_of

CONFIGS = Path(__file__).parents[3] / "examples" / "configs"
LABELS = torch.tensor([0, 0, 1, 1, 2, 0])


def vectors(count, seed, width=16):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) * 1.5


def double(tensor):
    return tensor.detach().double().numpy()


def prompt_task(clip, method, features, **options):
    chosen = PromptSettings(method=method, model="test", pretrained="random", **options)
    return prompt_task_of(method, chosen, clip=clip, features=features, labels=LABELS, precision="fp32")


@pytest.mark.parametrize("method", ["clip-reid", "cocoop", "scing"])
def test_clip_reids_contrast_takes_raw_dot_products_at_temperature_1(method):
    """What `--similarity dot` does to stage 1, for every method: both directions over features as the towers give them."""
    clip = tiny_clip(seed=4)
    features = vectors(6, seed=1)
    task = prompt_task(clip, method, features, similarity="dot", consistency=False)
    with torch.no_grad():
        for value in task.prompts.parameters():
            value.copy_(torch.randn_like(value) * 0.3)
    rows = [3, 0, 4, 1]
    conditions = features[rows] if method == "scing" else torch.nn.functional.normalize(features[rows], dim=1)  # R19
    embeddings, _ = task.prompts(LABELS[rows], conditions)
    texts = double(clip.text(embeddings, task.prompts.end))
    images, labels = double(features[rows]), LABELS[rows].tolist()
    expected = oracle.contrast(images, texts, labels) + oracle.contrast(texts, images, labels)
    found = task.losses(Batch(rows), (0, "train-prompts", 0, 0))
    assert set(found.terms) == {"contrast"}
    assert float(found.total().detach()) == pytest.approx(expected, rel=1e-5)
    assert abs(float(np.linalg.norm(texts[0])) - 1) > 0.1  # raw, so their length counts


def test_clip_reids_identity_texts_are_kept_as_the_tower_gives_them():
    clip = tiny_clip(seed=4)
    raw, unit = (
        prompt_task(clip, "clip-reid", vectors(6, seed=1), similarity=kind).identity_texts()
        for kind in ("dot", "cosine")
    )
    torch.testing.assert_close(torch.nn.functional.normalize(raw, dim=1), unit)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(3))
    assert not torch.allclose(raw, unit)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 8), margin=st.sampled_from([0.0, 0.3, 2.0]))
def test_the_batch_hard_triplet(seed, size, margin):
    features = vectors(size, seed, width=4)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, size))
    labels[0], labels[1] = 0, 1  # at least two identities
    expected = oracle.triplet(double(features), labels.tolist(), margin)
    assert float(batch_hard_triplet(features, labels, margin)) == pytest.approx(expected, rel=1e-5, abs=1e-5)
    soft = float(soft_triplet(features, labels))
    assert soft == pytest.approx(dmpt.soft_triplet(double(features), labels.tolist()), rel=1e-5, abs=1e-5)


def test_the_triplets_gradient_is_finite_where_images_are_equal():
    features = vectors(4, seed=0).requires_grad_(True)
    doubled = torch.cat([features, features])
    for loss in (lambda *given: batch_hard_triplet(*given, 0.3), soft_triplet):
        features.grad = None
        loss(doubled, torch.tensor([0, 0, 1, 1] * 2)).backward(retain_graph=True)
        assert features.grad.isfinite().all()
        assert features.grad.any()


@pytest.mark.parametrize("kind", ["dot", "cosine"])
def test_clip_reids_losses_of_stage_2(kind):
    encoder = tiny_clip(seed=4).image
    texts = vectors(3, seed=2)
    given_settings = VisualSettings(stage2_loss="clip-reid", triplet_weight=0.7)
    assert (given_settings.margin, given_settings.label_smoothing) == (0.3, 0.1)
    similarity = Similarity(kind, 20.0)
    prepared = similarity.prepare(texts)
    objective = build_objective(given_settings, encoder=encoder, texts=prepared, similarity=similarity)
    with torch.no_grad():
        for head in objective.heads.values():
            head.weight.mul_(300)  # from 0.001: the scores have to matter
    features = ImageFeatures(cls=vectors(6, 5, encoder.width), projected=vectors(6, 6), previous=vectors(6, 7, 9))
    found = objective(features, LABELS)
    cls, projected, previous = (double(part) for part in features)
    labels = LABELS.tolist()
    heads = {name: double(head.weight) for name, head in objective.heads.items()}
    identity = oracle.identity_loss(cls, heads["cls"], labels, 0.1)
    identity += oracle.identity_loss(projected, heads["projected"], labels, 0.1)
    triplet = sum(oracle.triplet(part, labels, 0.3) for part in (previous, cls, projected))
    images, named = projected, double(texts)
    if kind == "cosine":
        images = 20.0 * images / np.linalg.norm(images, axis=1, keepdims=True)
        named = named / np.linalg.norm(named, axis=1, keepdims=True)
    expected = {
        "identity": 0.25 * identity,
        "triplet": 0.7 * triplet,
        "image_to_text": oracle.image_to_text(images, named, labels, 0.1),
    }
    assert {name: float(value.detach()) for name, value in found.terms.items()} == pytest.approx(expected, rel=1e-4)


def test_the_heads_start_small_and_the_necks_bias_stays():
    encoder = tiny_clip().image
    options = {"encoder": encoder, "texts": vectors(400, seed=0), "similarity": Similarity("dot", 1.0)}
    objectives = [build_objective(VisualSettings(stage2_loss="clip-reid", seed=seed), **options) for seed in (0, 0, 1)]
    weights = [objective.heads["cls"].weight for objective in objectives]
    assert float(weights[0].detach().std()) == pytest.approx(0.001, rel=0.05)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    learnt = {name for name, value in objectives[0].named_parameters() if value.requires_grad}
    assert learnt == {"heads.cls.weight", "heads.projected.weight", "necks.cls.weight", "necks.projected.weight"}


def test_the_previous_class_token_is_the_one_before_the_last_block():
    encoder = tiny_clip(seed=4).image
    seen = {}
    norm = encoder.transformer.resblocks[-1].ln_1
    norm.register_forward_pre_hook(lambda _, inputs: seen.update(tokens=inputs[0]))
    features = encoder(torch.randn(2, 3, 32, 16, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(features.previous, seen["tokens"][:, 0])


def shipped(name):
    tables = read_config(CONFIGS / f"{name}.toml")
    return (
        build_settings(PromptSettings, tables["train-prompts"], {}),
        build_settings(VisualSettings, tables["train-visual"], {}),
    )


def test_the_shipped_settings_of_clip_reid_are_those_of_its_code():
    prompts, visual = shipped("clip-reid-market1501")
    np.testing.assert_allclose([rate_of(prompts).at(epoch) for epoch in range(120)], oracle.stage_1_rates(), rtol=1e-12)
    np.testing.assert_allclose([rate_of(visual).at(epoch) for epoch in range(60)], oracle.stage_2_rates(), rtol=1e-12)
    assert (prompts.epochs, visual.epochs) == (120, 60)
    assert (prompts.similarity, prompts.sampler, prompts.contrast, prompts.tokens) == ("dot", "random", "supervised", 4)
    assert (prompts.batch_size, visual.batch_size, visual.instances) == (64, 64, 4)
    assert (prompts.weight_decay, visual.weight_decay) == (1e-4, 1e-4)
    assert (visual.stage2_loss, visual.margin, visual.label_smoothing, visual.triplet_weight) == (
        *("clip-reid", 0.3, 0.1),
        1.0,
    )
    assert (prompts.bias_lr_factor, visual.bias_lr_factor) == (1, 2)
    assert (visual.flip, visual.crop, visual.erase, visual.occlusion) == (0.5, 1, 0.5, 0)


@pytest.mark.parametrize("name", ["scing-market1501", "cocoop-market1501"])
def test_the_shipped_settings_of_the_others_are_section_4_2s(name):
    for stage in shipped(name):
        rates = [rate_of(stage).at(epoch) for epoch in range(120)]
        warm = 10 if isinstance(stage, VisualSettings) else 0
        expected = [
            5e-5 * (0.1 + 0.9 * epoch / warm if epoch < warm else 1) * 0.1 ** ((epoch >= 30) + (epoch >= 50))
            for epoch in range(120)
        ]
        np.testing.assert_allclose(rates, expected, rtol=1e-12)
        assert (stage.epochs, stage.batch_size, stage.instances, stage.weight_decay) == (120, 64, 4, 5e-4)
        assert (stage.flip, stage.erase, stage.crop) == (0.5, 0.5, 0.5)
    assert (stage.stage2_loss, stage.margin, stage.triplet_weight) == ("paper", 0.2, 1)
    assert stage.bias_lr_factor == 1


def test_the_meta_net_has_33312_parameters_at_vit_b_16():
    assert sum(value.numel() for value in MetaNet(512, 512, tokens=4).parameters()) == 33_312


def test_equations_3_and_4_the_meta_net_adds_one_vector_to_every_token():
    clip = tiny_clip(seed=4)
    features = vectors(6, seed=1)
    task = prompt_task(clip, "cocoop", features)
    rows = [5, 2]
    conditions = torch.nn.functional.normalize(features[rows], dim=1)
    embeddings, added = task.prompts(LABELS[rows], conditions)
    state = {name: double(value) for name, value in task.prompts.visual.state_dict().items()}
    for place, row in enumerate(rows):
        expected = oracle.meta_net(state, double(conditions[place]))
        tokens = double(task.prompts.tokens[LABELS[row]])
        np.testing.assert_allclose(double(embeddings[place, 5:9]), tokens + expected, atol=1e-6)
        assert np.abs(expected).max() > 0.01  # it starts as torch has it, not at zero
    assert added.shape == (2, 4, 24)


def test_every_method_starts_from_the_same_tokens():
    features = vectors(6, seed=1)
    tokens = [prompt_task(tiny_clip(), method, features, seed=3).prompts.tokens for method in ("clip-reid", "scing")]
    assert torch.equal(*tokens)


@pytest.mark.parametrize("method", ["clip-reid", "cocoop"])
def test_the_baselines_read_no_image_in_stage_1(method):
    assert not prompt_task(tiny_clip(), method, vectors(6, seed=1)).reads


def test_clip_reids_augmentation_pads_and_crops_every_image():
    clip = tiny_clip()
    task = visual_task_of(
        "clip-reid",
        VisualSettings(crop=1.0),
        encoder=clip.image,
        texts=vectors(3, seed=2),
        similarity=Similarity("dot", 1.0),
        labels=LABELS,
        cameras=None,
        precision="fp32",
    )
    assert task.augmentation == Augmentation(crop=1.0, padding=1)


def test_under_dot_products_pdca_still_compares_directions():
    clip = tiny_clip(seed=4)
    task = prompt_task(clip, "scing", vectors(6, seed=1), similarity="dot", consistency_weight=0.7)
    with torch.no_grad():
        for value in task.prompts.parameters():
            value.copy_(torch.randn_like(value) * 0.3)
    pixels = torch.randn(6, 3, 32, 16, generator=torch.Generator().manual_seed(2))
    key = (0, "train-prompts", 0, 0)
    views = task.perturbation(Batch(list(range(6)), {"pixels": pixels}), key)
    triple = [double(task.texts(LABELS, part)[0]) for part in (task.conditions, views[:6], views[6:])]
    found = task.losses(Batch(list(range(6)), {"pixels": pixels}), key).terms["consistency"]
    assert float(found.detach()) == pytest.approx(0.7 * paper.consistency_loss(*triple), rel=1e-4)


def test_under_dot_products_the_papers_stage_2_classifies_by_them_and_keeps_its_cosine_triplet():
    encoder = tiny_clip().image
    texts = vectors(3, seed=2)
    objective = build_objective(
        VisualSettings(triplet_weight=0.3, margin=0.4), encoder=encoder, texts=texts, similarity=Similarity("dot", 50.0)
    )
    features = ImageFeatures(cls=vectors(6, 5, 32), projected=vectors(6, 6), previous=vectors(6, 7, 32))
    found = objective(features, LABELS).terms
    images, named, labels = double(features.projected), double(texts), LABELS.tolist()
    assert float(found["identity"]) == pytest.approx(oracle.image_to_text(images, named, labels, 0.0), rel=1e-5)
    expected = 0.3 * paper.triplet_loss(images, named, labels, 0.4)[0]
    assert float(found["triplet"]) == pytest.approx(expected, rel=1e-4)
