"""Heads: skull and face, hair, hats, glasses and beards."""

from __future__ import annotations

import numpy as np

from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.lifelike.making import Making
from scing_cli.core.synthetic.lifelike.noise import Floats
from scing_cli.core.synthetic.lifelike.surfaces import Grid, Points, ellipsoid, limb
from scing_cli.core.synthetic.palette import RGB, mixed, scaled
from scing_cli.core.synthetic.people import Head

WIDE, DEEP = 0.046, 0.055  # half-axes of the skull, in statures


def head_points(make: Making) -> list[Points]:
    """Return the points of the head with hair and hat, in body axes."""
    person, bones, spacing = make.person, make.bones, make.spacing
    tall = person.build.head * 0.5
    skull = ellipsoid(bones.head, bones.skull, (WIDE, tall, DEEP), spacing, power=2.15)
    face = _face(person.head, skull)
    bald = (skull.down < 0.35)[:, None] | (np.abs(skull.turn) > 1.3)[None, :]
    scalp = bald & (person.head.hair == "no")
    clouds = [skull.points(face, np.where(scalp, int(Part.SCALP), int(Part.SKIN)).astype(np.uint8))]
    nose = ellipsoid(
        bones.head + bones.skull[2] * DEEP * 0.98 + bones.skull[1] * tall * 0.18,
        bones.skull,
        (0.009, 0.017, 0.012),
        spacing,
    )
    clouds.append(nose.points(np.array(person.head.skin), Part.SKIN))
    for side in (1, -1):
        ear = ellipsoid(
            bones.head + bones.skull[0] * side * WIDE + bones.skull[1] * 0.006,
            bones.skull,
            (0.006, 0.017, 0.011),
            spacing,
        )
        clouds.append(ear.points(np.array(scaled(person.head.skin, 0.92)), Part.SKIN))
    clouds += _hair(make, tall)
    clouds += _hat(make, tall)
    return clouds


def _face(head: Head, skull: Grid) -> Floats:
    """Return the colours of the skull, (rows, columns, 3): skin with eyes, brows, mouth, beard and glasses."""
    found = np.broadcast_to(np.array(head.skin, dtype=np.float32), (*skull.shape, 3)).copy()
    down, turn = np.meshgrid(skull.down, skull.turn, indexing="ij")

    def paint(rgb: RGB, rows: tuple[float, float], sides: tuple[float, float], share: float = 1.0) -> None:
        across = np.abs(turn)
        spot = (down > rows[0]) & (down < rows[1]) & (across > sides[0]) & (across < sides[1])
        found[spot] += (np.array(rgb, dtype=np.float32) - found[spot]) * share

    paint(scaled(head.skin, 0.72), (0.44, 0.54), (0.12, 0.72), 0.8)  # the sockets lie in the shade of the brow
    paint((45, 35, 32), (0.475, 0.515), (0.25, 0.55))
    paint(mixed(head.shade.rgb, head.skin, 0.35), (0.425, 0.45), (0.15, 0.7))
    paint(scaled(head.skin, 0.68), (0.735, 0.765), (0.0, 0.35))
    paint(scaled(head.skin, 0.85), (0.62, 0.65), (0.0, 0.2))
    if head.beard:
        paint(mixed(head.shade.rgb, head.skin, 0.25), (0.66, 1.0), (0.0, 1.5), head.beard)
    if head.glasses:
        paint(head.glasses, (0.455, 0.475), (0.05, 1.6))
        paint(head.glasses, (0.53, 0.545), (0.15, 0.75))
        paint(head.glasses, (0.455, 0.545), (0.72, 0.8))
    return found


def _hair(make: Making, tall: float) -> list[Points]:
    head, bones, spacing = make.person.head, make.bones, make.spacing
    if head.hair == "no":
        return []
    puff = head.volume * {"curly": 1.2, "long": 1.1}.get(head.hair, 1.06)
    middle = bones.head - bones.skull[1] * tall * 0.05 - bones.skull[2] * 0.006
    cap = ellipsoid(middle, bones.skull, (WIDE * puff, tall * (1 + (puff - 1) * 0.7), DEEP * puff), spacing)
    rough = {"curly": 0.008, "long": 0.002}.get(head.hair, 0.0025)
    cap = make.folded(cap, rough)
    line = 0.24 + 0.22 * head.fringe  # of the fringe; it falls to the ears and the nape
    low = np.interp(np.abs(cap.turn), (0.0, 0.9, 1.5, 2.2, np.pi), (line, line + 0.05, 0.56, 0.78, 0.84))
    clouds = [cap.points(_strands(make, cap), Part.HAIR, gloss=0.06, where=cap.down[:, None] < low[None, :])]
    if head.hair == "long":
        length = 0.1 + 0.18 * max(0.0, head.volume - 0.9) / 0.3
        fall = np.stack(
            [
                bones.head - bones.skull[2] * 0.02,
                bones.neck - bones.trunk[2] * 0.035,
                bones.neck - bones.trunk[2] * 0.05 + bones.trunk[1] * length,
            ]
        )
        lock = limb(
            fall.astype(np.float32), (0.05 * head.volume, 0.054 * head.volume, 0.038), bones.skull[2], spacing, flat=0.6
        )
        lock = make.folded(lock, 0.004)
        clouds.append(lock.points(_strands(make, lock), Part.HAIR, gloss=0.06))
    elif head.hair == "tied":
        knot = bones.head - bones.skull[2] * (DEEP + 0.01) - bones.skull[1] * 0.02
        if head.fringe > 0.3:
            tail = np.stack([knot, knot + bones.trunk[1] * 0.05 - bones.skull[2] * 0.015, knot + bones.trunk[1] * 0.13])
            lock = limb(tail.astype(np.float32), (0.016, 0.02, 0.008), bones.skull[2], spacing)
        else:
            lock = ellipsoid(knot, bones.skull, (0.024, 0.022, 0.02), spacing)
        clouds.append(lock.points(_strands(make, lock), Part.HAIR, gloss=0.06))
    return clouds


def _strands(make: Making, grid: Grid) -> Floats:
    return make.dyed(make.person.head.shade.rgb, grid, 2.5)


def _hat(make: Making, tall: float) -> list[Points]:
    hat, bones, spacing = make.person.hat, make.bones, make.spacing
    if not hat.kind:
        return []
    middle = bones.head - bones.skull[1] * tall * 0.1
    dome = ellipsoid(middle, bones.skull, (WIDE * 1.16, tall * 1.08, DEEP * 1.14), spacing, power=2.3)
    if hat.kind == "woolly hat":
        dome = make.folded(dome, 0.004)
    colours = make.dyed(hat.shade.rgb, dome, 0.7)
    if hat.kind != "cap":
        colours[(dome.down > 0.3) & (dome.down < 0.42)] = hat.band
    clouds = [dome.points(colours, Part.HAT, where=np.broadcast_to((dome.down < 0.42)[:, None], colours.shape[:2]))]
    edge = middle - bones.skull[1] * tall * 0.16
    if hat.kind == "cap":
        tip = edge + bones.skull[2] * (DEEP + 0.022) + bones.skull[1] * 0.006
        peak = ellipsoid(tip, bones.skull, (0.042, 0.005, 0.042), spacing)
        clouds.append(peak.points(np.array(scaled(hat.shade.rgb, 0.85)), Part.HAT))
    elif hat.kind == "sun hat":
        brim = ellipsoid(edge, bones.skull, (WIDE * 1.9, 0.006, DEEP * 1.8), spacing)
        clouds.append(brim.points(make.dyed(hat.shade.rgb, brim, 0.7), Part.HAT))
    elif hat.detail:
        knob = ellipsoid(middle - bones.skull[1] * (tall * 1.12), bones.skull, (0.018, 0.018, 0.018), spacing)
        clouds.append(knob.points(np.array(hat.band), Part.TRIM))
    return clouds
