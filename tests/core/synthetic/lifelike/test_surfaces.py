"""Surfaces of bodies: areas and normals of ellipsoids, tubes and limbs against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.dice import dice
from scing_cli.core.synthetic.lifelike.noise import SIDE, around_tube, creases, natural, spectral
from scing_cli.core.synthetic.lifelike.surfaces import Grid, Points, ellipsoid, limb, tube

UPRIGHT = np.eye(3, dtype=np.float32)
NOWHERE = np.zeros(3, dtype=np.float32)


def white(grid: Grid) -> Points:
    return grid.points(np.full(3, 255.0, dtype=np.float32), Part.TOP)


@pytest.mark.parametrize("radius", [0.05, 0.2])
def test_a_ball_has_the_area_and_the_normals_of_a_ball(radius: float) -> None:
    points = white(ellipsoid(NOWHERE, UPRIGHT, (radius,) * 3, radius / 40))
    assert float(points.areas.sum()) == pytest.approx(4 * math.pi * radius**2, rel=0.03)
    np.testing.assert_allclose(np.linalg.norm(points.places, axis=1), radius, rtol=0.02)
    outward = points.places / np.linalg.norm(points.places, axis=1, keepdims=True)
    cosines = np.einsum("ni,ni->n", outward, points.normals)
    assert float(np.average(cosines, weights=points.areas)) > 0.99


@given(
    half=st.tuples(*[st.floats(0.02, 0.3)] * 3),
    turn=st.floats(-3, 3),
)
def test_all_normals_of_an_ellipsoid_point_outwards(half: tuple[float, float, float], turn: float) -> None:
    cos, sin = math.cos(turn), math.sin(turn)
    axes = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], dtype=np.float32)
    points = white(ellipsoid(NOWHERE, axes, half, min(half) / 5))
    assert (np.einsum("ni,ni->n", points.places, points.normals) > 0).mean() > 0.99
    np.testing.assert_allclose(np.linalg.norm(points.normals, axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("spacing", [0.004, 0.01])
def test_neighbours_on_a_tube_are_no_farther_apart_than_asked(spacing: float) -> None:
    line = np.array([[0, 0, 0], [0, 0.3, 0]], dtype=np.float32)
    halves = np.full(2, 0.05, dtype=np.float32), np.full(2, 0.05, dtype=np.float32)
    grid = tube(line, (UPRIGHT[0], UPRIGHT[2]), halves, spacing)
    around = np.linalg.norm(grid.places - np.roll(grid.places, 1, axis=1), axis=-1)
    along = np.linalg.norm(np.diff(grid.places, axis=0), axis=-1)
    assert max(around.max(), along.max()) <= spacing * 1.05
    assert float(white(grid).areas.sum()) == pytest.approx(2 * math.pi * 0.05 * 0.3, rel=0.04)


def test_a_limb_keeps_its_radius_at_every_joint_and_its_front() -> None:
    joints = np.array([[0, 0, 0], [0, 0.2, 0], [0, 0.4, 0]], dtype=np.float32)
    grid = limb(joints, (0.03, 0.03, 0.03), UPRIGHT[2], 0.004)
    np.testing.assert_allclose(np.hypot(grid.places[..., 0], grid.places[..., 2]), 0.03, rtol=1e-3)
    middle = int(np.argmin(np.abs(grid.turn)))
    assert (grid.places[:, middle, 2] > 0.029).all()


def test_a_cap_closes_a_limb() -> None:
    joints = np.array([[0, 0, 0], [0, 0.2, 0]], dtype=np.float32)
    open_end, closed = (limb(joints, (0.03, 0.03), UPRIGHT[2], 0.004, cap=cap) for cap in (False, True))
    assert open_end.places[..., 1].min() >= -1e-6
    assert closed.places[..., 1].min() == pytest.approx(-0.03, abs=0.002)


def test_folds_move_the_surface_and_turn_its_normals() -> None:
    ball = ellipsoid(NOWHERE, UPRIGHT, (0.1, 0.1, 0.1), 0.004)
    rough = ball.displaced(around_tube(creases(3), ball.shape, 0.004, dice("folds")) * np.float32(0.004))
    assert 0.001 < np.linalg.norm(rough.places - ball.places, axis=-1).mean() < 0.01
    assert white(rough).areas.sum() > white(ball).areas.sum()


def test_points_can_be_left_out_and_joined() -> None:
    ball = ellipsoid(NOWHERE, UPRIGHT, (0.1, 0.1, 0.1), 0.01)
    upper = ball.points(np.zeros(3, dtype=np.float32), Part.HAT, where=(ball.down < 0.5)[:, None])
    lower = ball.points(np.ones(3, dtype=np.float32), Part.SKIN, where=(ball.down >= 0.5)[:, None])
    both = Points.joined([upper, lower])
    assert len(both.areas) == ball.shape[0] * ball.shape[1]
    assert both.places[both.parts == Part.HAT][:, 1].max() < both.places[both.parts == Part.SKIN][:, 1].min() + 0.02


@pytest.mark.parametrize("exponent", [1.0, 1.7])
def test_a_field_has_the_spectrum_that_was_asked_for(exponent: float) -> None:
    field = spectral(dice("spectrum"), exponent)
    assert (float(field.mean()), float(field.std())) == pytest.approx((0, 1), abs=1e-3)
    power = np.abs(np.fft.fft2(field)) ** 2
    length = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE, 1 / SIDE)] * 2, indexing="ij"))
    bands = [(length >= low) & (length < 2 * low) for low in (4, 8, 16, 32)]
    slope = np.polyfit(
        np.log([length[band].mean() for band in bands]), np.log([power[band].mean() for band in bands]), 1
    )
    assert slope[0] == pytest.approx(-2 * exponent, abs=0.25)


def test_a_field_around_a_tube_has_no_seam() -> None:
    field = around_tube(natural(2), (60, 90), 0.005, dice("seam"))
    steps = np.abs(np.diff(field, axis=1)).mean()
    assert np.abs(field[:, 0] - field[:, -1]).mean() < 2 * steps
