"""PDCA in stage 2 against plain float64 loops; what its views are, and what it leaves as it is."""

from __future__ import annotations

import pytest
import torch
from built import visual_task_of
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import method as oracle
from tiny import tiny_clip
from torch.nn import functional as F

from scing_cli.core.methods import Batch, Similarity
from scing_cli.core.methods.visual_consistency import view_loss
from scing_cli.core.settings import VisualSettings

KEY = (0, "train-visual", 0, 3)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 6), kind=st.sampled_from(["cosine", "dot"]))
def test_the_loss_is_that_of_loops(seed, size, kind):
    draw = torch.Generator().manual_seed(seed)
    images, views, texts = (torch.randn(count, 8, generator=draw) for count in (size, size, 5))
    similarity = Similarity(kind, 20.0)
    texts = similarity.prepare(texts)
    found = view_loss(images, views, texts, similarity)
    arrays = (each.double().numpy() for each in (images, views, texts))
    assert float(found) == pytest.approx(oracle.view_loss(*arrays, similarity.scale, kind), rel=1e-4, abs=1e-5)


def test_the_image_s_own_distribution_is_a_target_without_a_gradient():
    draw = torch.Generator().manual_seed(1)
    images, views, texts = (torch.randn(3, 8, generator=draw) for _ in range(3))
    images.requires_grad_()
    similarity = Similarity("cosine", 20.0)
    view_loss(images, views, similarity.prepare(texts), similarity).backward()
    found, images.grad = images.grad.clone(), None
    (1 - F.cosine_similarity(images, views)).mean().backward()
    torch.testing.assert_close(found, images.grad)


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_stage_2_with_and_without_it(weight):
    clip = tiny_clip(seed=3)
    options = VisualSettings(view_weight=weight, flip=0, crop=0, erase=0)
    labels = torch.tensor([0, 1, 2, 0])
    similarity = Similarity("cosine", clip.logit_scale)
    texts = similarity.prepare(torch.randn(3, clip.image.embed_dim, generator=torch.Generator().manual_seed(5)))
    task = visual_task_of(
        "scing", options, encoder=clip.image, texts=texts, similarity=similarity, labels=labels, precision="fp32"
    )
    pixels = torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(2))
    found = task.losses(Batch([0, 1, 2, 3], {"pixels": pixels}), KEY)
    assert ("view" in found.terms) == (weight > 0)
    with torch.no_grad():
        encoded = task.encoder(pixels)
        plain = task.objective(encoded, labels)
    for name, value in plain.terms.items():
        assert float(found.terms[name].detach()) == pytest.approx(float(value), rel=1e-5)
    if weight:
        perturbed = task.consistency.perturb(pixels, *KEY, "view")
        assert not torch.equal(perturbed, pixels)  # half of the views are occluded, as in stage 1
        with torch.no_grad():
            views = task.encoder(perturbed).projected
        arrays = (each.double().numpy() for each in (encoded.projected, views, texts))
        expected = weight * oracle.view_loss(*arrays, similarity.scale, "cosine")
        assert float(found.terms["view"].detach()) == pytest.approx(expected, rel=1e-3)
