"""The body of a person with everything that is worn and carried, as points of surfaces in body axes."""

from __future__ import annotations

import numpy as np

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.dice import around, between, dice
from scing_cli.core.synthetic.lifelike.carried import bag_points
from scing_cli.core.synthetic.lifelike.garments import draw_gloss, on_sleeve, on_top
from scing_cli.core.synthetic.lifelike.hair import head_points
from scing_cli.core.synthetic.lifelike.legs import lower_points
from scing_cli.core.synthetic.lifelike.making import COAT, Making, across, ahead, profile, rows
from scing_cli.core.synthetic.lifelike.skeleton import Skeleton
from scing_cli.core.synthetic.lifelike.surfaces import Points, ellipsoid, limb, tube
from scing_cli.core.synthetic.palette import scaled
from scing_cli.core.synthetic.people import Person

SLEEVE_OVERLAP = 0.01


def body_points(
    person: Person, bones: Skeleton, spacing: float, rng: np.random.Generator, *, cloth: bool = True
) -> Points:
    """Return the points of a person, in body axes.

    Args:
        person: The person.
        bones: The joints.
        spacing: Greatest distance of neighbouring points, in statures.
        rng: Decides the folds of cloth in this image.
        cloth: Whether cloth has folds and uneven colours.
    """
    make = Making(person, bones, spacing, dice("lifelike", repr(person)), rng, cloth)
    clouds = [*_trunk(make), *_arms(make), *lower_points(make), *head_points(make)]
    clouds += bag_points(make)
    return Points.joined(clouds)


def _trunk(make: Making) -> list[Points]:
    bones, top = make.bones, make.person.top
    line, wide, deep = profile(make, 0.007 + top.cut.ease * 1.3 + abs(around(make.own, 0.0, 0.004)))
    hem = top.hem
    if hem > COAT:  # a coat: beyond the hips over both legs
        sway = (bones.legs[0][1] + bones.legs[1][1] - bones.legs[0][0] - bones.legs[1][0]) / 2
        length = (hem - 1.0) * 0.32
        end = bones.pelvis + np.array([0, length, 0], dtype=np.float32) + sway * length / 0.25
        spread = np.ptp(np.stack([leg[1] for leg in bones.legs]), axis=0)[2] * min(1.0, length / 0.22) / 2
        flare = between(make.own, 0.0, 0.025)
        line, wide, deep = (
            np.concatenate([line, end[None]]).astype(np.float32),
            np.append(wide, wide[-1] + flare).astype(np.float32),
            np.append(deep, deep[-1] + flare + spread).astype(np.float32),
        )
    power = between(make.own, 2.1, 2.7)
    grid = tube(line, across(bones), (wide, deep), make.spacing, power=power)
    grid = make.folded(grid, between(make.own, 0.0015, 0.007) + 0.25 * top.cut.ease)
    colours, parts = on_top(top, grid)
    lowest = bones.chest[1] + hem * (bones.pelvis[1] - bones.chest[1]) + 0.02
    where = grid.places[..., 1] < lowest if hem <= COAT else None
    clouds = [grid.points(make.dyed(colours, grid), parts, gloss=draw_gloss(make.own), where=where)]
    clouds += _collar(make)
    return clouds


def _collar(make: Making) -> list[Points]:
    """Return the neck, and what stands around it: a collar, a hood, a scarf."""
    person, bones, top = make.person, make.bones, make.person.top
    neck = np.stack([bones.chest, bones.neck, bones.neck + (bones.head - bones.neck) * 0.7]).astype(np.float32)
    clouds = [
        limb(neck, (0.034, 0.03, 0.032), bones.trunk[2], make.spacing).points(np.array(person.head.skin), Part.SKIN)
    ]
    ring = np.stack([bones.neck + bones.trunk[1] * 0.02, bones.neck - bones.trunk[1] * 0.012]).astype(np.float32)
    if top.cut.collar:
        rgb = top.trim if "collar" in top.trimmed else scaled(top.shade.rgb, 0.92)
        clouds.append(limb(ring, (0.045, 0.041), bones.trunk[2], make.spacing).points(np.array(rgb), Part.TOP))
    if top.cut.hood:
        middle = bones.neck - bones.trunk[2] * 0.04 + bones.trunk[1] * 0.014
        hood = ellipsoid(middle, bones.trunk, (0.066, 0.036, 0.036), make.spacing)
        hood = make.folded(hood, 0.005)
        clouds.append(hood.points(make.dyed(top.shade.rgb, hood), Part.TOP))
    if person.scarf:
        ball = ellipsoid(bones.neck + bones.trunk[2] * 0.006, bones.trunk, (0.06, 0.026, 0.055), make.spacing)
        scarf = make.folded(ball, 0.007)
        clouds.append(scarf.points(make.dyed(person.scarf.rgb, scarf), Part.SCARF))
    return clouds


def _arms(make: Making) -> list[Points]:
    person, top = make.person, make.person.top
    thick, ease = person.build.arms, top.cut.ease + 0.004
    folds = between(make.own, 0.002, 0.006)
    clouds: list[Points] = []
    for joints in make.bones.arms:
        front = ahead(joints, make.bones.trunk[2])
        radii = np.array([0.0285, 0.029, 0.0255, 0.024, 0.017]) * thick
        path = np.stack([joints[0], (joints[0] + joints[1]) / 2, joints[1], (joints[1] * 2 + joints[2]) / 3, joints[2]])
        bare = limb(path, radii, front, make.spacing, cap=True)
        hidden = top.cut.sleeve
        if hidden < 0.9:
            clouds.append(
                bare.points(
                    make.dyed(person.head.skin, bare, 0.6),
                    Part.BARE_ARM,
                    where=rows(bare, hidden - SLEEVE_OVERLAP, 1),
                )
            )
        if hidden:
            sleeve = limb(path, radii + ease + (0.006 if hidden < 0.5 else 0.0), front, make.spacing, cap=True)
            sleeve = make.folded(sleeve, folds)
            colours = make.dyed(on_sleeve(top, sleeve), sleeve)
            clouds.append(sleeve.points(colours, Part.SLEEVE, where=rows(sleeve, 0, hidden)))
        way = (joints[2] - joints[1]) / np.linalg.norm(joints[2] - joints[1])
        axes = np.stack([np.cross(way, front), way, front]).astype(np.float32)
        hand = ellipsoid(joints[2] + way * 0.026, axes, (0.012, 0.034, 0.02), make.spacing)
        clouds.append(hand.points(make.dyed(person.head.skin, hand, 0.6), Part.SKIN))
    return clouds
