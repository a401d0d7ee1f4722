"""One vector per image from every form of output."""

from __future__ import annotations

import numpy as np
import pytest

from scing_cli.core.encoders.graph_files.engines import output_index
from scing_cli.core.encoders.graph_files.graph_facts import GraphError
from scing_cli.core.encoders.graph_files.pooling import pool

SIZE = (64, 32)
VALUES = np.random.default_rng(0).normal(size=(2, 8, 4, 6))


@pytest.mark.parametrize("shape", [(2, 8), (2, 8, 1), (2, 1, 8), (2, 8, 1, 1), (2, 1, 1, 8), (2, 1, 8, 1, 1)])
def test_a_vector_stays_as_it_is(shape: tuple[int, ...]) -> None:
    values = VALUES[:, :, 0, 0]
    found = pool(values.reshape(shape).astype(np.float16), SIZE, channels_last=False)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float16))


def test_a_map_is_averaged_over_its_places() -> None:
    expected = np.array([[VALUES[row, channel].mean() for channel in range(8)] for row in range(2)])
    np.testing.assert_allclose(pool(VALUES, SIZE, channels_last=False), expected, rtol=1e-5)
    last = VALUES.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(pool(last, SIZE, channels_last=True), expected, rtol=1e-5)


@pytest.mark.parametrize("tokens", [1 + 8, 2 + 8, 5 + 8, 1 + 32, 1 + 128])  # patches of 16, 8 and 4 pixels
def test_the_class_token_is_the_first_one(tokens: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, tokens, 5)).astype(np.float32)
    np.testing.assert_array_equal(pool(values, SIZE, channels_last=False), values[:, 0])


@pytest.mark.parametrize("shape", [(2, 8, 5), (2, 128, 5), (2, 20, 5), (2, 3, 4, 5, 6), (4,), ()])
def test_other_outputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match="its output"):
        pool(np.zeros(shape), SIZE, channels_last=False)


def test_one_of_several_outputs_is_chosen() -> None:
    outputs, shapes = [("map", "features"), ("vector",), ("logits",)], [(1, 8, 4, 2), (1, 8), (1, 751)]
    assert output_index(outputs[:2], shapes[:2], None) == 1
    assert output_index(outputs[:1], shapes[:1], None) == 0
    assert output_index(outputs, shapes, "features") == 0
    assert output_index(outputs, shapes, "logits") == 2
    with pytest.raises(GraphError, match=r"several outputs, and nothing states which one to use: 'map' \(1, 8, 4, 2\)"):
        output_index(outputs, shapes, None)
    with pytest.raises(GraphError, match="it has no output 'other'; it has 'map'"):
        output_index(outputs, shapes, "other")
