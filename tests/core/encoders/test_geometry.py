"""Patch grids, and position embeddings that are carried from one grid to another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.positions import resize_by_loops

from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.position import resize_positions, source_grid, square_grid
from scing_cli.core.errors import SettingError, WeightsError


@pytest.mark.parametrize(("stride", "grid"), [(16, (16, 8)), (12, (21, 10)), (8, (31, 15))])
def test_grid_of_person_crops(stride, grid):
    assert Geometry(stride=stride).grid == grid


@given(height=st.integers(8, 300), width=st.integers(8, 300), patch=st.integers(1, 8), data=st.data())
@settings(deadline=None, max_examples=40)
def test_grid_is_what_a_convolution_makes(height, width, patch, data):
    stride = data.draw(st.integers(1, patch))
    made = torch.nn.Conv2d(1, 1, patch, stride)(torch.zeros(1, 1, height, width))
    assert Geometry(height, width, patch, stride).grid == tuple(made.shape[2:])


def test_geometry_survives_json():
    geometry = Geometry(stride=12, mean=(0.1, 0.2, 0.3), interpolation="bilinear")
    assert Geometry.from_dict(geometry.as_dict()) == geometry


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stride": 17}, "--stride 17"),
        ({"stride": 0}, "--stride 0"),
        ({"height": 8}, "8x128 pixels are smaller than a patch of 16x16"),
        ({"std": (0.0, 1.0, 1.0)}, "std above 0"),
        ({"interpolation": "nearest"}, "'nearest' is unknown"),
    ],
)
def test_geometry_refuses(fields, message):
    with pytest.raises(SettingError, match=message):
        Geometry(**fields)


@pytest.mark.parametrize(
    "content", [{"height": "256"}, {"mean": 3}, {"mean": [0.5]}, {"std": ["a", "b", "c"]}, {"colour": 1}]
)
def test_from_dict_refuses(content):
    with pytest.raises(SettingError):
        Geometry.from_dict(content)


@given(source=st.tuples(st.integers(1, 6), st.integers(1, 6)), target=st.tuples(st.integers(1, 9), st.integers(1, 9)))
@settings(deadline=None, max_examples=60)
def test_resizing_equals_a_loop(source, target):
    embedding = torch.randn(1 + source[0] * source[1], 3, generator=torch.Generator().manual_seed(1))
    resized = resize_positions(embedding, source, target)
    np.testing.assert_allclose(resized.numpy(), resize_by_loops(embedding.numpy(), source, target), atol=1e-5)
    assert torch.equal(resized[0], embedding[0])


def test_equal_grids_change_nothing():
    embedding = torch.randn(1 + 6, 4)
    assert resize_positions(embedding, (3, 2), (3, 2)) is embedding


def test_resizing_refuses_another_shape():
    with pytest.raises(WeightsError, match=r"\(10, 4\) do not fit a grid of 3x2 patches: 7 rows"):
        resize_positions(torch.randn(10, 4), (3, 2), (6, 4))


def test_source_grid_prefers_the_models_own():
    assert source_grid(197, (14, 14), (16, 8)) == (14, 14)
    assert source_grid(129, (14, 14), (16, 8)) == (16, 8)  # weights saved after resizing
    assert source_grid(50, (14, 14), (16, 8)) == (7, 7)  # pretrained at another square size
    assert source_grid(37, (9, 4), (6, 6)) == (9, 4)


@pytest.mark.parametrize("count", [0, 1, 3, 130])
def test_no_grid_names_all_shapes(count):
    with pytest.raises(WeightsError, match=rf"{count} position rows.*14x14 patches or the requested 16x8 patches"):
        source_grid(count, (14, 14), (16, 8))
    with pytest.raises(WeightsError, match="do not fit a square grid"):
        square_grid(count)
