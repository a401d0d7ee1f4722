"""Surfaces of bodies and things as dense points with normals, areas and colours.

A surface is a grid of points (rows, columns, 3): rows go along a tube, columns around it. Lengths are statures.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.lifelike.noise import Floats

Bytes = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, slots=True)
class Points:
    """N points of surfaces.

    Args:
        places: (N, 3), statures.
        normals: (N, 3), unit length, outwards.
        areas: (N,), square statures.
        colours: (N, 3), reflectance as sRGB, 0 to 255.
        parts: (N,) uint8, values of `Part`.
        gloss: (N,), share of light that is mirrored.
    """

    places: Floats
    normals: Floats
    areas: Floats
    colours: Floats
    parts: Bytes
    gloss: Floats

    @staticmethod
    def joined(clouds: Sequence[Points]) -> Points:
        """Return the points of all clouds."""
        fields = [field.name for field in dataclasses.fields(Points)]
        return Points(*(np.concatenate([getattr(cloud, name) for cloud in clouds]) for name in fields))


@dataclasses.dataclass(slots=True)
class Grid:
    """A tube of points.

    Args:
        places: The points, (rows, columns, 3); columns close around the tube.
        outwards: Directions in which cloth stands off, of unit length, (rows, columns, 3).
        down: (rows,), the way along the tube, 0 to 1.
        turn: (columns,), the angle around it, -pi to pi; 0 is the front.
        spacing: Greatest distance of neighbouring points.
    """

    places: Floats
    outwards: Floats
    down: Floats
    turn: Floats
    spacing: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.places.shape[0], self.places.shape[1]

    def displaced(self, by: Floats) -> Grid:
        """Return the tube with each point moved outwards; by: (rows, columns)."""
        return dataclasses.replace(self, places=self.places + self.outwards * by[..., None])

    def points(
        self,
        colours: Floats | Bytes,
        parts: Bytes | Part,
        *,
        gloss: float = 0.0,
        where: npt.NDArray[np.bool_] | None = None,
    ) -> Points:
        """Return the points with their colours, (rows, columns, 3) or (3,), and parts; `where` leaves some out."""
        rgb = np.broadcast_to(np.clip(colours, 0, 255).astype(np.float32), (*self.shape, 3))
        kinds = np.broadcast_to(
            np.asarray(int(parts) if isinstance(parts, Part) else parts, dtype=np.uint8), self.shape
        )
        normals, areas = self._facing()
        shine = np.full(self.shape, gloss, dtype=np.float32)
        if where is None:
            count = self.shape[0] * self.shape[1]
            three = (count, 3)
            return Points(
                self.places.reshape(three),
                normals.reshape(three),
                areas.reshape(count),
                rgb.reshape(three),
                kinds.reshape(count),
                shine.reshape(count),
            )
        keep = np.broadcast_to(where, self.shape)
        return Points(self.places[keep], normals[keep], areas[keep], rgb[keep], kinds[keep], shine[keep])

    def _facing(self) -> tuple[Floats, Floats]:
        """Return the outward normals of the points, of unit length, and the area that each stands for."""
        wide = np.concatenate([self.places[:, -1:], self.places, self.places[:, :1]], axis=1)
        across = (wide[:, 2:] - wide[:, :-2]) * np.float32(0.5)
        along = np.empty_like(self.places)
        along[1:-1] = (self.places[2:] - self.places[:-2]) * np.float32(0.5)
        along[0], along[-1] = self.places[1] - self.places[0], self.places[-1] - self.places[-2]
        ax, ay, az = (along[..., axis] for axis in range(3))
        bx, by, bz = (across[..., axis] for axis in range(3))
        normal = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
        areas = np.sqrt(np.einsum("rci,rci->rc", normal, normal))
        sign = np.where(np.einsum("rci,rci->rc", normal, self.outwards) < 0, np.float32(-1), np.float32(1))
        normal *= (sign / np.maximum(areas, 1e-12))[..., None]
        return normal, areas


def tube(
    centres: Floats,
    axes: tuple[Floats, Floats],
    halves: tuple[Floats, Floats],
    spacing: float,
    *,
    power: float = 2.0,
) -> Grid:
    """Return a tube around a line, with elliptic cross-sections.

    Args:
        centres: (n, 3), the line.
        axes: The directions of width and depth, (3,) or (n, 3) each.
        halves: Half-widths and half-depths, (n,) each.
        spacing: Greatest distance of neighbouring points.
        power: 2 for ellipses; larger is more like a box.
    """
    widths, depths = halves
    growth = np.maximum(np.abs(np.diff(widths)), np.abs(np.diff(depths)))
    steps = np.hypot(np.linalg.norm(np.diff(centres, axis=0), axis=1), growth)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    rows = max(4, math.ceil(along[-1] / spacing))
    down = np.linspace(0, 1, rows)
    columns = max(8, math.ceil(2 * math.pi * max(float(np.hypot(widths, depths).max() / math.sqrt(2)), 1e-4) / spacing))
    turn = (np.arange(columns) + 0.5) / columns * 2 * math.pi - math.pi
    tables = [centres, *(np.broadcast_to(axis, centres.shape) for axis in axes), widths[:, None], depths[:, None]]
    fine = _between(down * along[-1], along, np.concatenate(tables, axis=1))
    line, left, front, wide, deep = fine[:, :3], fine[:, 3:6], fine[:, 6:9], fine[:, 9], fine[:, 10]
    sin, cos = (
        (np.sign(wave) * np.abs(wave) ** (2 / power)).astype(np.float32) for wave in (np.sin(turn), np.cos(turn))
    )
    spread = wide[:, None, None] * sin[None, :, None] * left[:, None]
    spread = spread + deep[:, None, None] * cos[None, :, None] * front[:, None]
    length = np.sqrt(np.einsum("rci,rci->rc", spread, spread))[..., None]
    outwards = spread / np.maximum(length, 1e-9)
    return Grid(line[:, None] + spread, outwards, down.astype(np.float32), turn.astype(np.float32), spacing)


def _between(at: npt.NDArray[np.float64], along: npt.NDArray[np.float64], table: Floats) -> Floats:
    """Interpolate the columns of a table (n, k) that is known at `along`, at places in the same order: (m, k)."""
    row = np.clip(np.searchsorted(along, at, "right") - 1, 0, len(along) - 2)
    share = ((at - along[row]) / np.maximum(along[row + 1] - along[row], 1e-12)).astype(np.float32)[:, None]
    found: Floats = (table[row] * (1 - share) + table[row + 1] * share).astype(np.float32)
    return found


def limb(
    joints: Floats,
    radii: Sequence[float] | Floats,
    front: Floats,
    spacing: float,
    *,
    flat: float = 1.0,
    cap: bool = False,
) -> Grid:
    """Return a tube along joints (n, 3), round at its bends, with these radii.

    The depth is `flat` times the width; a `cap` closes the first end with a half-ball, as at a shoulder.
    """
    line, wide = _rounded(joints, np.asarray(radii, dtype=np.float64))
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    left = np.cross(along, front)
    left /= np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-6)
    ahead = np.cross(left, along)
    if cap:
        ball = np.linspace(0.05, math.pi / 2, 5)[:-1]
        back = line[:1] - along[:1] * (np.cos(ball) * wide[0])[:, None]
        line, wide = np.concatenate([back, line]), np.concatenate([np.sin(ball) * wide[0], wide])
        left, ahead = (np.concatenate([np.repeat(axis[:1], 4, axis=0), axis]) for axis in (left, ahead))
    return tube(line, (left, ahead), (wide, wide * flat), spacing)


def _rounded(joints: Floats, radii: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return a smooth line near the joints, (m, 3), and its radii (m,)."""
    share = np.linspace(0, len(joints) - 1, 8 * (len(joints) - 1) + 1)
    table = np.column_stack([joints, radii])
    fine = np.stack([np.interp(share, np.arange(len(joints)), column) for column in table.T], axis=1)
    soft = fine.copy()
    for _ in range(2):
        soft[1:-1] = (soft[:-2] + 2 * soft[1:-1] + soft[2:]) / 4
    return soft[:, :3].astype(np.float32), soft[:, 3].astype(np.float32)


def ellipsoid(
    middle: Floats, axes: Floats, half: tuple[float, float, float], spacing: float, *, power: float = 2.0
) -> Grid:
    """Return an ellipsoid; `axes` has the directions left, down and front as rows, `half` the half-axes.

    With a `power` above 2 it is more like a box.
    """
    around = np.linspace(0, math.pi, 13)
    along = -np.sign(np.cos(around)) * np.abs(np.cos(around)) ** (2 / power)
    round_ = np.maximum(np.sin(around), 1e-3) ** (2 / power)
    line = middle + axes[1] * (along * half[1])[:, None]
    halves = (round_ * half[0]).astype(np.float32), (round_ * half[2]).astype(np.float32)
    return tube(line.astype(np.float32), (axes[0], axes[2]), halves, spacing, power=power)
