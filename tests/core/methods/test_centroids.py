"""Moving centroids of stage 2 against plain float64 loops; what moves them, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from built import visual_task_of
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import method as oracle
from tiny import tiny_clip
from torch.nn import functional as F

from scing_cli.core.methods import Batch, Similarity
from scing_cli.core.methods.centroids import start_centroids
from scing_cli.core.settings import VisualSettings

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
D = 16
FEATURES = torch.randn(6, D, generator=torch.Generator().manual_seed(4))


def units(count, seed, width=D):
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 9),
    momentum=st.sampled_from([0.0, 0.2, 0.9]),
    cameras=st.booleans(),
)
def test_losses_and_move_are_those_of_loops(seed, size, momentum, cameras):
    draw = np.random.default_rng(seed)
    labels = torch.from_numpy(np.concatenate([np.arange(4), draw.integers(0, 4, 9)]))
    names = [str(camera) for camera in draw.integers(0, 2, len(labels))] if cameras else None
    features, texts = 3 * torch.randn(len(labels), D, generator=torch.Generator().manual_seed(seed)), units(4, seed + 1)
    ours = start_centroids(features, labels, momentum=momentum, cameras=names)
    keys, expected = oracle.start_prototypes(features.double().numpy(), labels.tolist(), names)
    np.testing.assert_allclose(ours.vectors.numpy(), expected, atol=2e-6)
    for step in range(2):
        rows = torch.from_numpy(draw.choice(len(labels), size, replace=False))
        images = units(size, seed + step)
        own = [(int(labels[row]), names[row] if names else "") for row in rows]
        cosines = ours.cosines(images)
        alone, joint = ours.loss(cosines, labels[rows]), ours.joint_loss(cosines, 100 * images @ texts.T, labels[rows])
        vectors = images.double().numpy()
        assert float(alone) == pytest.approx(oracle.prototype_loss(vectors, own, keys, expected), rel=1e-4, abs=1e-5)
        told = oracle.prototype_loss(vectors, own, keys, expected, texts=texts.double().numpy(), scale=100.0)
        assert float(joint) == pytest.approx(told, rel=1e-4, abs=1e-5)
        ours.move(images, rows)
        expected = oracle.moved_prototypes(vectors, own, keys, expected, momentum)
        np.testing.assert_allclose(ours.vectors.numpy(), expected, atol=2e-6)


def test_the_gradient_is_that_of_centroids_that_stay():
    images, features = units(6, 1).requires_grad_(), units(6, 2)
    ours = start_centroids(features, LABELS, momentum=0.2)
    before = ours.vectors.clone()
    loss = ours.loss(ours.cosines(images), LABELS)
    ours.move(images.detach(), torch.arange(6))
    loss.backward()
    again = images.detach().clone().requires_grad_()
    F.cross_entropy(again @ before.T / 0.05, LABELS).backward()
    torch.testing.assert_close(images.grad, again.grad)
    assert not torch.equal(before, ours.vectors)


def task(**options):
    clip = tiny_clip()
    return visual_task_of(
        "scing",
        VisualSettings(**options),
        encoder=clip.image,
        texts=units(3, 5),
        similarity=Similarity("cosine", 100.0),
        labels=LABELS,
        precision="fp32",
        features=FEATURES,
        camera_names=("a", "b", "a", "a", "b", "a"),
    )


BATCH = Batch(list(range(6)), {"pixels": torch.randn(6, 3, 32, 16, generator=torch.Generator().manual_seed(6))})
KEY = (0, "train-visual", 0, 0)


@pytest.mark.parametrize("loss", ["paper", "clip-reid"])
@pytest.mark.parametrize("softmax", ["separate", "joint"])
def test_the_term_is_added_to_those_of_the_method_or_takes_the_place_of_the_texts(loss, softmax):
    plain = task(stage2_loss=loss)
    with_them = task(stage2_loss=loss, prototype_weight=0.5, prototype_softmax=softmax)
    before, after = plain.losses(BATCH, KEY), with_them.losses(BATCH, KEY)
    text_term = {"paper": "identity", "clip-reid": "image_to_text"}[loss]
    gone = {text_term} if softmax == "joint" else set()
    assert set(after.terms) == set(before.terms) - gone | {"prototype"}
    for name in set(before.terms) - gone:
        assert torch.equal(before.terms[name], after.terms[name])
    images = F.normalize(with_them.encoder(with_them.augmentation(BATCH.pixels, *KEY)).projected, dim=1)
    keys, start = oracle.start_prototypes(FEATURES.double().numpy(), LABELS.tolist(), None)
    vectors, own = images.detach().double().numpy(), [(label, "") for label in LABELS.tolist()]
    texts = {"texts": units(3, 5).double().numpy(), "scale": 100.0} if softmax == "joint" else {}
    expected = oracle.prototype_loss(vectors, own, keys, start, **texts)
    assert float(after.terms["prototype"].detach()) == pytest.approx(0.5 * expected, rel=1e-4)
    moved = oracle.moved_prototypes(vectors, own, keys, start, 0.2)
    np.testing.assert_allclose(with_them.trainable().state_dict()["centroids.vectors"].numpy(), moved, atol=2e-5)
    assert not any("centroids" in name for name, _ in with_them.trainable().named_parameters())


def test_each_camera_that_saw_an_identity_has_a_centroid():
    one = task(prototype_weight=1.0, prototype_cameras=True)
    assert one.prototypes.centroids.owners.tolist() == [0, 0, 1, 2, 2]
    one.losses(BATCH, KEY).total().backward()


@pytest.mark.parametrize("steps", [1, 4])
def test_the_average_of_the_weights_is_that_of_loops(steps):
    one = task(ema=0.3)
    weights = dict(one.encoder.named_parameters())
    expected = {name: value.detach().double().numpy().copy() for name, value in weights.items()}
    optimiser = torch.optim.SGD(one.encoder.parameters(), lr=0.1)
    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        one.losses(BATCH, (0, "train-visual", 0, step)).total().backward()
        optimiser.step()
        share = min(0.3, (3 + step) / (12 + step))  # the start was added first: it is the first of the sum
        for name, value in weights.items():
            expected[name] = share * expected[name] + (1 - share) * value.detach().double().numpy()
    one.finish()
    for name, value in one.encoder.named_parameters():
        np.testing.assert_allclose(value.detach().numpy(), expected[name], atol=1e-6)


def test_without_an_average_the_last_weights_stay():
    one = task()
    before = {name: value.clone() for name, value in one.encoder.state_dict().items()}
    one.finish()
    assert all(torch.equal(value, before[name]) for name, value in one.encoder.state_dict().items())


def test_without_a_weight_there_are_none():
    assert not any("centroids" in name for name in task().trainable().state_dict())


def test_they_need_features_to_start_from():
    with pytest.raises(ValueError, match="need the features"):
        visual_task_of(
            "scing",
            VisualSettings(prototype_weight=1.0),
            encoder=tiny_clip().image,
            texts=units(3, 5),
            similarity=Similarity("cosine", 100.0),
            labels=LABELS,
            precision="fp32",
        )
