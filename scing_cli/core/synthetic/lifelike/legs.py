"""Legs with trousers or a skirt, and feet with shoes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.dice import around, between
from scing_cli.core.synthetic.lifelike.garments import on_leg
from scing_cli.core.synthetic.lifelike.making import COAT, Making, across, ahead, profile, rows
from scing_cli.core.synthetic.lifelike.surfaces import Points, limb, tube


def lower_points(make: Making) -> list[Points]:
    """Return the points of legs, trousers or skirt, and shoes; a coat hides the hips."""
    hips = _waist(make) if make.person.top.hem <= COAT else []
    return [*hips, *_legs(make), *_feet(make)]


def _waist(make: Making) -> list[Points]:
    """Return trousers at the hips, and a skirt."""
    bones, bottom = make.bones, make.person.bottom
    line, wide, deep = profile(make, -0.002)
    grid = tube(line[5:], across(bones), (wide[5:], deep[5:]), make.spacing, power=2.2)
    colours = make.dyed(bottom.shade.rgb, grid)
    if bottom.belt:
        colours[grid.down < 0.12] = bottom.belt
    clouds = [grid.points(colours, Part.LEGS)]
    if "skirt" in bottom.kind:
        clouds.append(_skirt(make))
    return clouds


def _skirt(make: Making) -> Points:
    bones, bottom = make.bones, make.person.bottom
    line, wide, deep = profile(make, 0.0)
    length = bottom.length * 0.46
    knees = (bones.legs[0][1] + bones.legs[1][1]) / 2 - (bones.legs[0][0] + bones.legs[1][0]) / 2
    end = (
        bones.pelvis
        + np.array([0, length, 0], dtype=np.float32)
        + knees * min(1.5, length / 0.24) * np.array([1, 0, 1])
    )
    flare = between(make.own, 0.0, 0.07)
    spread = abs(float(bones.legs[0][1][2] - bones.legs[1][1][2])) * 0.5 * min(1.3, length / 0.24)
    path = np.concatenate([line[5:7], end[None]]).astype(np.float32)
    halves = np.append(wide[5:7], wide[6] + flare), np.append(deep[5:7], deep[6] + flare * 0.8 + spread)
    grid = tube(path, across(bones), halves, make.spacing)
    waves = (
        around(make.own, 0.0, 0.012) * np.cos(grid.turn * int(make.own.integers(6, 16)))[None, :] * grid.down[:, None]
    )
    grid = make.folded(grid.displaced(waves.astype(np.float32)), 0.004)
    return grid.points(make.dyed(bottom.shade.rgb, grid), Part.LEGS)


def _legs(make: Making) -> list[Points]:
    person, bottom = make.person, make.person.bottom
    girth = person.build.girth / 0.07
    length = bottom.length if "skirt" not in bottom.kind else 0.0
    folds = between(make.own, 0.002, 0.006)
    ease = np.array([0.004, 0.006, 0.008, 0.012, 0.016]) * (bottom.width * 1.3 - 0.75)
    clouds = []
    for joints, side in zip(make.bones.legs, (1, -1), strict=True):
        front = ahead(joints, np.array([0, 0, 1], dtype=np.float32))
        radii = np.array([0.054 * girth, 0.047 * girth, 0.034, 0.033, 0.021])
        path = np.stack(
            [joints[0], joints[0] * 0.55 + joints[1] * 0.45, joints[1], joints[1] * 0.65 + joints[2] * 0.35, joints[2]]
        )
        bare = limb(path, radii, front, make.spacing)
        if length < 0.9:
            part = Part.BARE_LEG
            socks = 1 - person.shoes.sock_height * 0.25
            clouds.append(
                bare.points(
                    make.dyed(person.head.skin, bare, 0.6), part, where=rows(bare, max(0.0, length - 0.03), socks)
                )
            )
            clouds.append(bare.points(np.array(person.shoes.sock), Part.TRIM, where=rows(bare, socks, 1)))
        if length:
            leg = limb(path, radii + ease + 0.003, front, make.spacing)
            leg = make.folded(leg, folds)
            share = dataclasses.replace(leg, down=leg.down / min(1.0, length))
            colours = make.dyed(on_leg(bottom, share, side), leg)
            clouds.append(leg.points(colours, Part.LEGS, where=rows(leg, 0, length)))
    return clouds


def _feet(make: Making) -> list[Points]:
    shoes = make.person.shoes
    clouds = []
    for joints in make.bones.legs:
        shank = joints[2] - joints[1]
        pitch = math.atan2(float(shank[2]), float(shank[1])) * 0.6  # the heel lifts behind
        toe = np.array([0, math.sin(-pitch) * 1.0, math.cos(pitch)], dtype=np.float32)
        down = np.array([0, math.cos(pitch), math.sin(pitch)], dtype=np.float32)
        heel = joints[2] + down * 0.018 - toe * 0.012
        path = np.stack([heel, heel + toe * 0.035, heel + toe * 0.075, heel + toe * 0.115]).astype(np.float32)
        shoe = limb(path, (0.024, 0.025, 0.023, 0.014), down, make.spacing)
        colours = np.broadcast_to(np.array(shoes.shade.rgb, dtype=np.float32), (*shoe.shape, 3)).copy()
        colours[:, np.abs(shoe.turn) < 1.0] = shoes.sole
        gloss = between(make.own, 0.0, 0.2)
        clouds.append(shoe.points(colours, Part.SHOES, gloss=gloss))
        if shoes.kind == "boots":
            shaft = np.stack([joints[1] * 0.25 + joints[2] * 0.75, joints[2], joints[2] + down * 0.015]).astype(
                np.float32
            )
            boot = limb(shaft, (0.033, 0.027, 0.028), toe, make.spacing)
            clouds.append(boot.points(np.array(shoes.shade.rgb), Part.SHOES, gloss=gloss))
    return clouds
