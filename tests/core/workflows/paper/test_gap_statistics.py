"""The modality gap: equal to plain loops, and right where the geometry is known."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import gap as oracle

from scing_cli.core.errors import DataError
from scing_cli.core.workflows.paper import gap_statistics
from scing_cli.core.workflows.paper.gap_statistics import ModalityGap, modality_gap


def test_the_examples_of_the_docstrings() -> None:
    result = doctest.testmod(gap_statistics)
    assert result.attempted > 0
    assert result.failed == 0


@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 8), st.integers(2, 6))
@settings(deadline=None, max_examples=60)
def test_as_plain_loops_have_it(seed: int, images: int, identities: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    texts = draw.normal(size=(identities, width)) * draw.uniform(0.1, 30, (identities, 1))
    labels = draw.integers(0, identities, images)
    vectors = (texts[labels] + 5 * draw.normal(size=(images, width))).astype(np.float32)
    found = modality_gap(vectors, texts, labels)
    assert (found.distance, found.nearest, found.cosine) == pytest.approx(
        oracle.gap(vectors.tolist(), texts.tolist(), labels.tolist()), abs=1e-12
    )


def test_images_on_their_own_texts_have_no_gap() -> None:
    texts = np.random.default_rng(0).normal(size=(5, 7))
    labels = np.array([4, 4, 0, 2, 1, 4])
    found = modality_gap(texts[labels] * 3, texts, labels)
    assert (found.distance, found.nearest, found.cosine) == pytest.approx((0, 100, 1), abs=1e-12)


def test_orthogonal_and_opposite_centres() -> None:
    images = np.tile([2.0, 0, 0], (4, 1))
    across = modality_gap(images, np.array([[0, 1.0, 0], [0, 0, 5]]), np.zeros(4, np.int64))
    assert across == ModalityGap(distance=math.sqrt(2), nearest=0, cosine=0)  # the other text is as near: no hit
    assert modality_gap(images, -images[:1], np.zeros(4, np.int64)) == ModalityGap(2, 100, -1)  # there is no other text


def test_a_text_counts_for_each_of_its_images() -> None:
    images = np.array([[0, 0, 1.0]] * 4)
    found = modality_gap(images, np.eye(3)[:2], np.array([0, 0, 0, 1]))
    assert found.distance == pytest.approx(math.sqrt(0.75**2 + 0.25**2 + 1))


def test_what_has_no_direction_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 vectors are all zeros"):
        modality_gap(np.ones((1, 3)), np.array([[1.0, 0, 0], [0, 0, 0]]), np.array([0]))
    with pytest.raises(ValueError, match="no images"):
        modality_gap(np.ones((0, 3)), np.ones((1, 3)), np.array([], np.int64))
