"""What all parts of one body are made with."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from scing_cli.core.synthetic.dice import chance
from scing_cli.core.synthetic.lifelike.noise import FIELDS, Floats, around_tube, creases, natural
from scing_cli.core.synthetic.lifelike.skeleton import Skeleton
from scing_cli.core.synthetic.lifelike.surfaces import Bytes, Grid
from scing_cli.core.synthetic.palette import RGB
from scing_cli.core.synthetic.people import Person

COAT = 1.12  # a hem below this height, where the hip is 1, is that of a coat


@dataclasses.dataclass(frozen=True, slots=True)
class Making:
    """What all parts of one body are made with.

    Args:
        person: The person.
        bones: The joints.
        spacing: Greatest distance of neighbouring points, in statures.
        own: Generator of what belongs to the person: equal in all images.
        rng: Generator of this image: folds.
        cloth: Whether cloth has folds and uneven colours.
    """

    person: Person
    bones: Skeleton
    spacing: float
    own: np.random.Generator
    rng: np.random.Generator
    cloth: bool

    def folded(self, grid: Grid, depth: float) -> Grid:
        """Return a tube of cloth with folds of about this depth, in statures; other folds at every call."""
        field = around_tube(creases(int(self.rng.integers(FIELDS))), grid.shape, grid.spacing, self.rng)
        if chance(self.rng, 0.5):
            more = around_tube(creases(int(self.rng.integers(FIELDS))), grid.shape, grid.spacing, self.rng)
            field = (field + more) * 0.7
        return grid.displaced(np.float32(depth) * field) if self.cloth else grid

    def dyed(self, rgb: Floats | Bytes | RGB, grid: Grid, strength: float = 1.0) -> Floats:
        """Return the colour of cloth, skin or leather with uneven dye and wear, (rows, columns, 3)."""
        field = around_tube(natural(int(self.own.integers(FIELDS))), grid.shape, grid.spacing, self.own)
        spread = strength * float(self.own.gamma(1.5, 0.04)) if self.cloth else 0.0
        found: Floats = np.asarray(rgb, dtype=np.float32) * (1 + np.float32(spread) * np.clip(field, -2, 2))[..., None]
        return found


def across(bones: Skeleton) -> tuple[Floats, Floats]:
    """Return the directions of width and depth of the trunk."""
    return bones.trunk[0], bones.trunk[2]


def profile(make: Making, ease: float) -> tuple[Floats, Floats, Floats]:
    """Return points down the trunk from neck to crotch, and half-widths and half-depths there."""
    build, bones = make.person.build, make.bones
    waist = bones.pelvis - bones.trunk[1] * (np.linalg.norm(bones.pelvis - bones.chest) * 0.38)
    down = bones.trunk[1]
    spine = bones.trunk[2]
    line = [
        bones.neck - down * 0.004,
        bones.chest - down * 0.012,
        bones.chest + down * 0.012,
        bones.chest + down * 0.06 + spine * 0.008,
        bones.chest + down * 0.12 + spine * 0.008,
        waist,
        bones.pelvis - down * 0.02 - spine * 0.004,
        bones.pelvis + np.array([0, 0.025, 0], dtype=np.float32),
    ]
    shoulders, hips, girth = build.shoulders, build.hips, build.girth
    wide = [
        0.036,
        shoulders * 0.55,
        shoulders * 0.86,
        shoulders * 0.92,
        (shoulders + girth) * 0.46 + 0.006,
        girth * 1.12,
        hips,
        hips * 0.98,
    ]
    deep = [
        0.036,
        0.042,
        0.05 + girth * 0.12,
        girth * 0.86 + 0.006,
        girth * 0.9,
        girth * 0.84,
        girth * 0.98,
        girth * 0.96,
    ]
    return (
        np.stack(line).astype(np.float32),
        np.array(wide, dtype=np.float32) + ease * np.array([0.3, 0.6, 1, 1, 1, 1.2, 1, 1], dtype=np.float32),
        np.array(deep, dtype=np.float32) + ease,
    )


def ahead(joints: Floats, front: Floats) -> Floats:
    """Return a direction across a limb, near `front`."""
    way = joints[2] - joints[0]
    way = way / np.linalg.norm(way)
    across = front - way * float(front @ way)
    length = float(np.linalg.norm(across))
    if length < 0.1:
        return np.array([1, 0, 0], dtype=np.float32)
    found: Floats = (across / length).astype(np.float32)
    return found


def rows(grid: Grid, first: float, last: float) -> npt.NDArray[np.bool_]:
    """Return which points of a tube lie between two shares of its length."""
    inside = (grid.down >= first) & (grid.down <= last)
    return np.broadcast_to(inside[:, None], grid.shape)
