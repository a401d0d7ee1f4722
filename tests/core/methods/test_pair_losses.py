"""The losses over pairs of image and text: slow float64 loops, exact cases, and batches at the extremes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import pairs
from torch import Tensor

from scing_cli.core.methods.losses import itc, sdm, shared_identity, single_contrast

OURS: dict[str, Callable[..., Tensor]] = {"sdm": sdm, "itc": itc}
every_loss = pytest.mark.parametrize("name", OURS)
labels_of_a_batch = st.lists(st.integers(0, 3), min_size=1, max_size=6)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@every_loss
@settings(deadline=None, max_examples=25)
@given(labels_of_a_batch, st.integers(0, 99), st.sampled_from([1.0, 50.0]))
def test_losses_and_gradients_are_those_of_plain_loops(name: str, labels: list[int], seed: int, scale: float) -> None:
    images, texts = (3 * drawn(seed + offset, len(labels), 5) for offset in (0, 100))
    ours, plain = ([each.clone().requires_grad_() for each in (images, texts)] for _ in range(2))
    found = OURS[name](ours[0].float(), ours[1].float(), torch.tensor(labels), scale)
    expected = getattr(pairs, name)(plain[0], plain[1], labels, scale)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)
    found.backward()
    expected.backward()
    for own, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-4 * scale, rtol=1e-3)


@settings(deadline=None, max_examples=25)
@given(labels_of_a_batch, st.integers(0, 99))
def test_the_identity_loss_is_that_of_plain_loops(labels: list[int], seed: int) -> None:
    images, texts = (drawn(seed + offset, len(labels), 5) for offset in (0, 100))
    weight, bias = drawn(seed, 4, 5), drawn(seed, 4)
    found = shared_identity(images @ weight.T + bias, texts @ weight.T + bias, torch.tensor(labels))
    torch.testing.assert_close(
        found.double(), pairs.identity(images, texts, labels, weight, bias), atol=1e-5, rtol=1e-5
    )


@every_loss
@pytest.mark.parametrize("labels", [[0], [0, 0, 0], [0, 1, 2], [0, 0, 1]])
@pytest.mark.parametrize("vectors", ["equal", "opposite", "zero", "large"])
def test_extreme_batches_give_finite_losses_and_gradients(name: str, labels: list[int], vectors: str) -> None:
    images = torch.ones(len(labels), 4)
    if vectors == "zero":
        images = torch.zeros(len(labels), 4)
    elif vectors == "large":
        images = 1e15 * drawn(0, len(labels), 4).float()
    texts = (-images if vectors == "opposite" else images).clone().requires_grad_()
    images.requires_grad_()
    loss = OURS[name](images, texts, torch.tensor(labels))
    loss.backward()
    assert bool(loss.isfinite())
    assert images.grad is not None
    assert texts.grad is not None
    assert bool(images.grad.isfinite().all() and texts.grad.isfinite().all())


def test_one_identity_alone_wants_equal_shares() -> None:
    """Equal vectors of one identity are what is wanted: SDM is 0, the contrast is its least, ln n."""
    same, labels = torch.ones(4, 3), torch.zeros(4, dtype=torch.long)
    assert abs(float(sdm(same, same, labels))) < 1e-5
    assert abs(float(itc(same, same, labels)) - math.log(4)) < 1e-5
    assert abs(float(sdm(same[:1], same[:1], labels[:1]))) < 1e-5
    assert float(itc(same[:1], same[:1], labels[:1])) == 0


def test_sdm_of_wrong_pairs_is_limited_by_its_constant() -> None:
    """Each image is sure of the other identity's text: all of p lies where q is 0."""
    images, labels = torch.eye(2), torch.tensor([0, 1])
    loss = float(sdm(images, images.flip(0), labels))
    assert abs(loss - 2 * math.log(1e8)) < 1e-3


def test_with_one_pair_per_identity_the_contrast_is_clips() -> None:
    images, texts = (torch.nn.functional.normalize(drawn(seed, 5, 8).float(), dim=1) for seed in (1, 2))
    usual = (single_contrast(images, texts, 50.0) + single_contrast(texts, images, 50.0)) / 2
    torch.testing.assert_close(itc(images, texts, torch.arange(5)), usual)
