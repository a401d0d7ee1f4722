"""Draw points of surfaces into pixels: which are visible, how much of a pixel they cover, and where light reaches."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.lifelike.noise import Floats
from scing_cli.core.synthetic.lifelike.surfaces import Points

Bytes = npt.NDArray[np.uint8]
NEAR = 0.012  # statures; what is hardly farther than the nearest point of a pixel is visible, too
COVERED = 0.5  # share from which on a pixel shows a surface
MOST = 5  # of eight neighbours
CELL = 0.011  # statures, of the map of shadows
BIAS = 0.03  # statures; nothing throws a shadow on what is nearer to it


@dataclasses.dataclass(frozen=True, slots=True)
class Eye:
    """Where a camera looks from.

    Args:
        elevation: Angle by which it looks down, radians.
        distance: From the person, in statures.
        roll: Turn of the picture, radians.
    """

    elevation: float
    distance: float
    roll: float

    def turned(self, yaw: float) -> Floats:
        """Return the matrix (3, 3) from body axes to view axes: right, down, towards the camera."""
        cos, sin = math.cos(yaw), math.sin(yaw)
        about = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        cos, sin = math.cos(self.elevation), math.sin(self.elevation)
        tilt = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        roll = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        found: Floats = (roll @ tilt @ about).astype(np.float32)
        return found

    def project(self, places: Floats) -> Floats:
        """Return positions on the picture, (N, 2) in statures at the person's distance, of places in view axes."""
        found: Floats = places[:, :2] * (self.distance / (self.distance - places[:, 2:]))
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """What points give for each pixel, arrays of (H, W, ...).

    Args:
        cover: Share of the pixel that they cover, 0 to 1.
        colours: Mean reflectance, sRGB, 0 to 255.
        normals: Mean normal in view axes, shorter than 1 where it varies.
        lit: Share of points that the light reaches.
        gloss: Mean share of light that is mirrored.
        parts: uint8, the part of a point among those that are nearest, or hardly farther.
    """

    cover: Floats
    colours: Floats
    normals: Floats
    lit: Floats
    gloss: Floats
    parts: Bytes


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """Where points are on a picture.

    Args:
        pixels: (N, 2), position (x, y), in pixels.
        depths: (N,), towards the camera, in statures.
        lit: (N,), 1 where light reaches.
        area: Square pixels per square stature, of a surface that faces the camera.
    """

    pixels: Floats
    depths: Floats
    lit: Floats
    area: float


def splat(points: Points, view: View, size: tuple[int, int]) -> Layer:
    """Return what points give for each pixel of a picture.

    Args:
        points: N points; normals in view axes.
        view: Where they are on the picture.
        size: Height and width of the picture.
    """
    height, width = size
    x, y = (np.floor(view.pixels[:, axis]).astype(np.int32) for axis in (0, 1))
    facing = points.normals[:, 2]
    seen = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (facing > 0.01)
    cells = (y * width + x)[seen]
    near = view.depths[seen].astype(np.float32)
    nearest = np.full(height * width, -np.inf, dtype=np.float32)
    np.maximum.at(nearest, cells, near)
    nearest = _without_holes(nearest.reshape(height, width)).reshape(-1)
    kept = near > nearest[cells] - NEAR
    rows = np.flatnonzero(seen)[kept]
    weights = points.areas[rows] * facing[rows] * view.area
    where = cells[kept]
    values = np.concatenate(
        [points.colours[rows].T, points.normals[rows].T, view.lit[rows][None], points.gloss[rows][None]], axis=0
    )
    sums = np.stack(
        [
            np.bincount(where, weights, height * width),
            *(np.bincount(where, weights * one, height * width) for one in values),
        ]
    )
    soft = _softened(sums.reshape(-1, height, width).astype(np.float32))
    mean = soft[1:] / np.maximum(soft[0], 1e-4)
    cover = np.clip(soft[0] * 1.8 - 0.1, 0, 1)
    parts = np.full(height * width, int(Part.SCENE), dtype=np.uint8)
    parts[where] = points.parts[rows]
    by_pixel = mean.transpose(1, 2, 0)
    told = _told(parts.reshape(height, width), cover)
    return Layer(cover, by_pixel[..., :3], by_pixel[..., 3:6], mean[6], mean[7], told)


def _told(parts: Bytes, cover: Floats) -> Bytes:
    """Return the parts, with those of a neighbour where a pixel is covered although no point lies in it."""
    padded = np.pad(parts, 1)
    height, width = parts.shape
    beside = [padded[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))]
    found: Bytes = np.where((parts == Part.SCENE) & (cover > COVERED), np.maximum.reduce(beside), parts)
    return found


def _without_holes(nearest: Floats) -> Floats:
    """Return depths in which a pixel that most of its neighbours lie before has the depth of the nearest of them."""
    padded = np.pad(nearest, 1, constant_values=-np.inf)
    height, width = nearest.shape
    around = [padded[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y]
    before = sum((one > nearest + NEAR).astype(np.int8) for one in around)
    return np.where(before >= MOST, np.maximum.reduce(around), nearest)


def _softened(fields: Floats) -> Floats:
    """Spread every pixel a little over its neighbours, so that a surface has no holes: (C, H, W)."""
    rows = 0.5 * fields
    rows[:, 1:] += 0.25 * fields[:, :-1]
    rows[:, :-1] += 0.25 * fields[:, 1:]
    found = 0.5 * rows
    found[:, :, 1:] += 0.25 * rows[:, :, :-1]
    found[:, :, :-1] += 0.25 * rows[:, :, 1:]
    return found


def reached(places: Floats, towards: Floats) -> Floats:
    """Return 1 for each place (N, 3) that light from a direction (3,) reaches, 0 where another place is before it."""
    helper = np.array([0, 1, 0]) if abs(towards[1]) < 0.9 else np.array([1, 0, 0])
    across = np.cross(towards, helper)
    across /= np.linalg.norm(across)
    up = np.cross(across, towards)
    cells = np.stack([places @ across, places @ up], axis=1)
    cells = np.floor((cells - cells.min(axis=0)) / CELL).astype(np.int64)
    row = cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1]
    depths = (places @ towards).astype(np.float32)
    first = np.full(int(row.max()) + 1, -np.inf, dtype=np.float32)
    np.maximum.at(first, row, depths)
    found: Floats = (depths > first[row] - BIAS).astype(np.float32)
    return found
