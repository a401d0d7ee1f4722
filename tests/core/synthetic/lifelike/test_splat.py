"""Points in pixels: covered area, what hides what, shadows, and the direction in which a camera looks."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.dice import dice
from scing_cli.core.synthetic.lifelike.light import Light, shaded
from scing_cli.core.synthetic.lifelike.splat import Eye, Layer, View, reached, splat
from scing_cli.core.synthetic.lifelike.surfaces import Points, ellipsoid

UPRIGHT = np.eye(3, dtype=np.float32)
UNIT = 100.0  # pixels per stature
SIZE = (100, 100)


def ball(x: float, z: float, radius: float, rgb: tuple[int, int, int], part: Part) -> Points:
    middle = np.array([x, 0, z], dtype=np.float32)
    grid = ellipsoid(middle, UPRIGHT, (radius,) * 3, 1.3 / UNIT)
    return grid.points(np.array(rgb, dtype=np.float32), part)


def drawn(points: Points, lit: np.ndarray | None = None) -> Layer:
    light = np.ones(len(points.areas), dtype=np.float32) if lit is None else lit
    pixels = points.places[:, :2] * UNIT + 50
    return splat(points, View(pixels, points.places[:, 2], light, UNIT**2), SIZE)


@pytest.mark.parametrize("radius", [0.1, 0.3])
def test_a_ball_covers_its_disc(radius: float) -> None:
    layer = drawn(ball(0, 0, radius, (200, 0, 0), Part.TOP))
    assert float(layer.cover.sum()) == pytest.approx(math.pi * (radius * UNIT) ** 2, rel=0.08)
    y, x = np.mgrid[:100, :100] + 0.5
    inside = np.hypot(x - 50, y - 50) < radius * UNIT - 2
    assert layer.cover[inside].min() > 0.35  # only the last row before the edge is thin
    assert layer.cover[inside].mean() > 0.97
    assert layer.cover[np.hypot(x - 50, y - 50) > radius * UNIT + 2.5].max() == 0
    np.testing.assert_allclose(layer.colours[inside], np.broadcast_to([200, 0, 0], (inside.sum(), 3)), atol=1)


def test_the_normal_in_the_middle_looks_at_the_camera_and_that_at_the_left_to_the_left() -> None:
    layer = drawn(ball(0, 0, 0.3, (200, 0, 0), Part.TOP))
    np.testing.assert_allclose(layer.normals[50, 50], [0, 0, 1], atol=0.1)
    assert layer.normals[50, 25, 0] < -0.7
    assert layer.normals[25, 50, 1] < -0.7  # y points down


def test_what_is_nearer_hides_what_is_behind() -> None:
    both = Points.joined([ball(0, -0.3, 0.3, (200, 0, 0), Part.TOP), ball(0, 0.3, 0.1, (0, 200, 0), Part.BAG)])
    layer = drawn(both)
    assert layer.parts[50, 50] == Part.BAG
    assert layer.parts[50, 25] == Part.TOP
    np.testing.assert_allclose(layer.colours[50, 50], [0, 200, 0], atol=1)
    assert (layer.parts == Part.SCENE).any()


def test_a_ball_throws_its_shadow_away_from_the_light() -> None:
    small, large = ball(-0.25, 0, 0.1, (1, 1, 1), Part.BAG), ball(0.1, 0, 0.15, (1, 1, 1), Part.TOP)
    points = Points.joined([small, large])
    light = reached(points.places, np.array([-1, 0, 0], dtype=np.float32))
    on_large = points.parts == Part.TOP
    left = points.places[:, 0] < 0.05
    across = np.hypot(points.places[:, 1], points.places[:, 2])
    assert light[on_large & left & (across < 0.07)].mean() < 0.1  # behind the small ball
    assert light[on_large & left & (across > 0.11)].mean() > 0.9  # beside its shadow
    assert light[on_large & (points.places[:, 0] > 0.2)].mean() < 0.1  # its own far side


def test_a_camera_that_looks_down_sees_the_front_lower_and_the_top_of_things() -> None:
    eye = Eye(elevation=0.5, distance=8, roll=0.0)
    turned = eye.turned(0.0)
    front = turned @ np.array([0, 0, 1], dtype=np.float32)
    assert front[1] > 0.4
    assert front[2] > 0.8
    up = turned @ np.array([0, -1, 0], dtype=np.float32)
    assert up[2] > 0.4  # faces the camera
    np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-6)


def test_a_quarter_turn_shows_the_left_side_where_the_front_was() -> None:
    eye = Eye(elevation=0.0, distance=8, roll=0.0)
    left = np.array([1, 0, 0], dtype=np.float32)
    np.testing.assert_allclose(eye.turned(0.0) @ left, [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(eye.turned(-math.pi / 2) @ left, [0, 0, 1], atol=1e-6)


def test_what_is_nearer_looks_larger() -> None:
    eye = Eye(elevation=0.0, distance=4, roll=0.0)
    near, far = eye.project(np.array([[1, 1, 1], [1, 1, -1]], dtype=np.float32))
    np.testing.assert_allclose(near, [4 / 3, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(far, [4 / 5, 4 / 5], rtol=1e-6)


def test_light_from_the_left_brightens_the_left() -> None:
    layer = drawn(ball(0, 0, 0.3, (180, 180, 180), Part.TOP))
    light = Light((-1, 0, 0), (1.0, 1.0, 1.0), (0.2, 0.2, 0.2), (0.1, 0.1, 0.1), 1.0, 0.0)
    up = np.array([0, -1, 0], dtype=np.float32)
    picture = shaded(layer, light, light.vector(), up, dice("none"))
    assert picture[50, 28].mean() > picture[50, 72].mean() + 60
    assert picture[28, 50].mean() > picture[72, 50].mean()  # the sky is brighter than the ground
    unlit = shaded(dataclasses.replace(layer, lit=np.zeros_like(layer.lit)), light, light.vector(), up, dice("none"))
    assert unlit[50, 28].mean() < picture[50, 28].mean() - 60
    assert np.isfinite(picture).all()
