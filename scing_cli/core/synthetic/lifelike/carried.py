"""Bags with their straps."""

from __future__ import annotations

import numpy as np

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.lifelike.garments import draw_gloss
from scing_cli.core.synthetic.lifelike.making import Making
from scing_cli.core.synthetic.lifelike.noise import Floats
from scing_cli.core.synthetic.lifelike.surfaces import Points, ellipsoid, limb


def bag_points(make: Making) -> list[Points]:
    """Return the points of a person's bag, in body axes; none without one."""
    person, bones = make.person, make.bones
    bag = person.bag
    if not bag.kind:
        return []
    left, down, front = bones.trunk
    depth = person.build.girth
    if bag.kind == "backpack":
        middle = bones.chest + down * 0.115 - front * (depth + 0.05 * bag.size)
        half = (0.07 + 0.02 * bag.shape, 0.1 * bag.size, 0.045 + 0.02 * bag.shape)
        clouds = _box(make, middle, bones.trunk, half)
        for side in (1, -1):
            over = left * side * person.build.shoulders * 0.55
            path = (
                bones.chest + over * 0.9 - front * (depth * 0.9),
                bones.chest + over - down * 0.014,
                bones.chest + over + front * (depth * 0.75 + 0.012) + down * 0.03,
                bones.chest + over * 1.25 + front * depth * 0.9 + down * 0.12,
                bones.chest + over * 1.6 + down * 0.17,
            )
            clouds.append(_strap(make, path))
        return clouds
    if bag.kind == "shoulder bag":
        across = bag.shape > 0.4  # worn over the other shoulder
        hip = bones.pelvis + left * bag.side * (person.build.hips + 0.035) - down * 0.01
        half = (0.028, 0.05 * bag.size, 0.07 * bag.size)
        shoulder = bones.chest + left * bag.side * person.build.shoulders * (-0.5 if across else 0.75) - down * 0.012
        ahead, behind = front * (depth + 0.012), -front * (depth + 0.012)
        middle = (shoulder + hip) / 2
        clouds = _box(make, hip, bones.trunk, half)
        clouds += [_strap(make, (hip + side * 0.4, middle + side, shoulder)) for side in (ahead, behind)]
        return clouds
    wrist = bones.arms[0 if bag.side > 0 else 1][2]
    upright = np.eye(3, dtype=np.float32)
    if bag.kind == "handbag":
        half, drop = (0.026, 0.045 * bag.size, 0.065 * bag.size), 0.11
    else:
        half, drop = (0.03, 0.08 * bag.size, 0.07 * bag.size), 0.15
    middle = wrist + np.array([0, drop, 0.0], dtype=np.float32)
    clouds = _box(make, middle, upright, half)
    handle = (
        middle + upright[2] * half[2] * 0.6 - upright[1] * half[1] * 0.9,
        wrist + upright[1] * 0.03,
        middle - upright[2] * half[2] * 0.6 - upright[1] * half[1] * 0.9,
    )
    clouds.append(_strap(make, handle))
    return clouds


def _box(make: Making, middle: Floats, axes: Floats, half: tuple[float, float, float]) -> list[Points]:
    bag, own = make.person.bag, make.own
    body = make.folded(ellipsoid(middle.astype(np.float32), axes, half, make.spacing, power=4.0), 0.003)
    colours = make.dyed(bag.shade.rgb, body)
    pocket = (
        (body.down[:, None] > 0.5) & (body.down[:, None] < 0.85) & (np.abs(np.abs(body.turn) - np.pi)[None, :] < 0.6)
    )
    colours[pocket] = bag.pocket
    colours[(np.abs(body.down - 0.3) < 0.015)] *= 0.6  # a zip
    return [body.points(colours, Part.BAG, gloss=draw_gloss(own))]


def _strap(make: Making, path: tuple[Floats, ...]) -> Points:
    line = np.stack(path).astype(np.float32)
    strap = limb(line, (0.009,) * len(line), make.bones.trunk[2], make.spacing, flat=0.5)
    return strap.points(np.array(make.person.bag.strap), Part.TRIM)
