"""Draw arms and legs with sleeves, trousers, socks and shoes."""

from __future__ import annotations

import math

from scing_cli.core.synthetic.canvas import Canvas, Part, Point, along, taper
from scing_cli.core.synthetic.palette import mixed
from scing_cli.core.synthetic.rig import Limb, Rig


def draw_arm(canvas: Canvas, rig: Rig, limb: Limb, *, behind: bool) -> None:
    """Draw an arm in one of two passes: arms well behind the axis of the body if `behind`, else all others."""
    if (limb.near < -0.03) != behind:
        return
    person = rig.person
    thick = person.build.arms
    radii = [rig.size(radius * thick) for radius in (0.031, 0.026, 0.019)]
    canvas.limb(limb.joints, radii, person.head.skin, Part.BARE_ARM)
    hand = along(limb.joints[1], limb.joints[2], 1.14)
    canvas.ellipse(hand, rig.size(0.02), rig.size(0.024), person.head.skin, Part.SKIN)
    if limb.side == rig.pose.raised:  # a raised hand has a phone
        canvas.ellipse(hand, rig.size(0.012), rig.size(0.024), (30, 30, 34), Part.SKIN)
    if person.top.cut.sleeve > 0:
        _draw_sleeve(canvas, rig, limb, [radius + rig.size(0.006 + person.top.cut.ease * 0.6) for radius in radii])


def _draw_sleeve(canvas: Canvas, rig: Rig, limb: Limb, radii: list[float]) -> None:
    top = rig.person.top
    shoulder, elbow, wrist = limb.joints
    share = top.cut.sleeve * 2
    rgb = top.shade.rgb
    if share <= 1:
        end = along(shoulder, elbow, share)
        canvas.limb((shoulder, end), (radii[0], radii[1] * 1.12), rgb, Part.SLEEVE)
    else:
        end = along(elbow, wrist, share - 1)
        canvas.limb((shoulder, elbow, end), radii, rgb, Part.SLEEVE)
    _pattern_sleeve(canvas, rig, (shoulder, elbow, end), radii)
    if "cuffs" in top.trimmed:
        start = along(shoulder if share <= 1 else elbow, end, 0.86)
        canvas.polygon(taper(start, end, radii[-1], radii[-1]), top.trim, Part.SLEEVE)
    if "elbows" in top.trimmed and share > 1:
        canvas.ellipse(elbow, radii[1] * 0.7, radii[1] * 1.1, top.trim, Part.SLEEVE)


def _pattern_sleeve(canvas: Canvas, rig: Rig, joints: tuple[Point, Point, Point], radii: list[float]) -> None:
    """Continue the pattern of the top on the sleeve: bands across, a line along it, dots, or a second colour below."""
    top = rig.person.top
    shoulder, elbow, end = joints
    long = top.cut.sleeve > 0.5
    spans = [(shoulder, elbow, radii[0]), (elbow, end, radii[1])] if long else [(shoulder, end, radii[0])]
    pattern = top.style.pattern
    for one, two, radius in spans:
        if pattern in {"striped", "checked"}:
            _draw_bands(canvas, rig, one, two, radius * 0.92)
        elif pattern == "pinstriped":
            canvas.line((one, two), rig.size(0.01), top.second.rgb, Part.SLEEVE)
        elif pattern == "dotted":
            for share in (0.25, 0.75):
                spot = rig.size(top.period * 0.3)
                canvas.ellipse(along(one, two, share), spot, spot, top.second.rgb, Part.SLEEVE)
    if pattern == "two-tone" and long:
        canvas.limb(joints[1:], radii[1:], top.second.rgb, Part.SLEEVE)


def _draw_bands(canvas: Canvas, rig: Rig, one: Point, two: Point, radius: float) -> None:
    """Draw bands across a piece of sleeve, with the period of the top's pattern."""
    top = rig.person.top
    length = math.dist(one, two)
    if length < 3:
        return
    rgb = mixed(top.shade.rgb, top.second.rgb, 1.0 if top.style.pattern == "striped" else 0.5)
    step = rig.size(top.period) / length
    for number in range(int((1 - step * top.phase) / step) + 1):
        start = step * (number + top.phase)
        stop = min(1.0, start + step * top.duty)
        canvas.polygon(taper(along(one, two, start), along(one, two, stop), radius, radius), rgb, Part.SLEEVE)


def draw_leg(canvas: Canvas, rig: Rig, limb: Limb) -> None:
    """Draw a leg with its shoe, its sock and, unless the person wears a skirt, its trouser leg."""
    bottom = rig.person.bottom
    _, knee, ankle = limb.joints
    _draw_shoe(canvas, rig, limb)
    girth = rig.build.hips / 0.088
    radii = [rig.size(radius * girth) for radius in (0.05, 0.035, 0.022)]
    canvas.limb(limb.joints, radii, rig.person.head.skin, Part.BARE_LEG)
    shoes = rig.person.shoes
    reach = 0.75 if shoes.kind == "boots" else 0.1 + 0.3 * shoes.sock_height
    cover = shoes.shade.rgb if shoes.kind == "boots" else shoes.sock
    part = Part.SHOES if shoes.kind == "boots" else Part.SKIN
    canvas.limb((along(ankle, knee, reach), ankle), (radii[2] * 1.25, radii[2] * 1.05), cover, part)
    if bottom.kind in {"trousers", "jeans", "shorts"}:
        _draw_trouser(canvas, rig, limb, radii)


def _draw_trouser(canvas: Canvas, rig: Rig, limb: Limb, radii: list[float]) -> None:
    bottom = rig.person.bottom
    hip, knee, ankle = limb.joints
    upper, middle = radii[0] * 1.08, radii[1] * (0.75 + 0.4 * bottom.width)
    joints: tuple[Point, ...] = (hip, along(hip, knee, bottom.length * 2))
    widths: tuple[float, ...] = (upper, middle * 1.12)
    if bottom.length > 0.56:
        joints = (hip, knee, along(knee, ankle, min(bottom.length, 1.0) * 2 - 1))
        widths = (upper, middle, radii[2] * (0.6 + 0.75 * bottom.width))
    canvas.limb(joints, widths, bottom.shade.rgb, Part.LEGS)
    if bottom.fade:
        washed = mixed(bottom.shade.rgb, (235, 238, 242), bottom.fade)
        canvas.line((along(hip, knee, 0.25), along(hip, joints[1], 0.95)), middle * 0.9, washed, Part.LEGS)
    if bottom.side and rig.nearness(limb.side, 0.0) > -0.45:
        _draw_side_stripe(canvas, rig, limb, joints, widths)
    if bottom.patch and bottom.patch[1] == limb.side and rig.cos > -0.2:
        spot = along(hip, joints[1], bottom.patch[2] + 0.2)
        canvas.ellipse(spot, middle * 0.6, middle * 0.8, bottom.patch[0], Part.LEGS)
    if bottom.cuff:
        start = along(joints[-2], joints[-1], 0.88)
        canvas.polygon(taper(start, joints[-1], widths[-1], widths[-1]), bottom.cuff, Part.LEGS)


def _draw_side_stripe(
    canvas: Canvas, rig: Rig, limb: Limb, joints: tuple[Point, ...], widths: tuple[float, ...]
) -> None:
    """Draw the stripe on the outer side of a trouser leg."""
    stripe = rig.person.bottom.side
    if stripe is None:
        return
    shift = limb.side * rig.cos * 0.75
    points = [(x + shift * width, y) for (x, y), width in zip(joints, widths, strict=True)]
    canvas.line(points, rig.size(0.013), stripe, Part.LEGS)


def _draw_shoe(canvas: Canvas, rig: Rig, limb: Limb) -> None:
    shoes = rig.person.shoes
    x, y = limb.joints[2]
    forward = rig.size(0.095) * rig.sin * rig.placement.stretch
    lower = rig.size(0.095) * rig.cos * rig.placement.elevation
    heel = (x - forward * 0.25, y + rig.size(0.016) - lower * 0.25)
    toe = (x + forward * 0.8, y + rig.size(0.022) + lower * 0.8)
    wide = rig.size(0.02)
    sole = rig.size(0.014)
    canvas.limb(((heel[0], heel[1] + sole), (toe[0], toe[1] + sole)), (wide, wide * 0.9), shoes.sole, Part.SHOES)
    canvas.limb(((x, y - rig.size(0.008)), heel, toe), (wide, wide * 1.05, wide * 0.92), shoes.shade.rgb, Part.SHOES)
    if shoes.kind == "trainers":
        canvas.line((along(heel, toe, 0.35), along(heel, toe, 0.75)), rig.size(0.008), shoes.sole, Part.SHOES)
