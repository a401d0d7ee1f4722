"""Draw head, hair, hat and scarf."""

from __future__ import annotations

from scing_cli.core.synthetic.canvas import Canvas, Part
from scing_cli.core.synthetic.palette import mixed, scaled
from scing_cli.core.synthetic.rig import Rig


def draw_head(canvas: Canvas, rig: Rig) -> None:
    """Draw the top of the hair, the face if it is turned to the camera, the hat and the scarf."""
    head = rig.person.head
    middle = _middle(rig)
    rx, ry = rig.size(0.047), rig.size(rig.build.head * 0.5)
    bald = head.hair == "no"
    cap = head.skin if bald else head.shade.rgb
    part = Part.SCALP if bald else Part.HAIR
    puff = 1.0 if bald else head.volume * (1.18 if head.hair == "curly" else 1.02)
    canvas.ellipse(middle, rx * puff + 1, ry * (1 + (puff - 1) * 0.6) + 1, scaled(cap, 0.75), part)
    canvas.ellipse(middle, rx * puff, ry * (1 + (puff - 1) * 0.6), cap, part)
    if rig.cos > -0.5:
        _draw_face(canvas, rig, rx, ry)
    if head.hair == "curly":
        for curl in (-0.9, -0.4, 0.2, 0.8):
            spot = (middle[0] + rx * curl, middle[1] - ry * (0.75 - 0.35 * abs(curl)))
            canvas.ellipse(spot, rx * 0.42, ry * 0.3, scaled(cap, 0.9 + 0.1 * curl), Part.HAIR)
    _draw_hat(canvas, rig, rx, ry)
    if rig.person.scarf:
        neck = rig.at(0.0, rig.build.head + 0.03, 0.01)
        canvas.ellipse(neck, rig.size(0.062), rig.size(0.026), rig.person.scarf.rgb, Part.SCARF)
        canvas.ellipse(neck, rig.size(0.05), rig.size(0.012), scaled(rig.person.scarf.rgb, 0.8), Part.SCARF)


def _middle(rig: Rig) -> tuple[float, float]:
    return rig.at(0.0, rig.build.head * 0.5, rig.pose.lean)


def _draw_face(canvas: Canvas, rig: Rig, rx: float, ry: float) -> None:
    head = rig.person.head
    x, y = _middle(rig)
    width = rx * (0.55 + 0.4 * max(0.0, rig.cos)) * min(1.0, (rig.cos + 0.55) * 2)
    centre = (x + rig.sin * rx * 0.42, y + ry * (0.16 + 0.25 * head.fringe))
    canvas.ellipse(centre, width, ry * (0.84 - 0.25 * head.fringe), head.skin, Part.SKIN)
    if head.beard:
        jaw = (centre[0], y + ry * 0.72)
        canvas.ellipse(jaw, width * 0.85, ry * 0.34 * head.beard, mixed(head.shade.rgb, head.skin, 0.25), Part.SKIN)
    eye, gap = y + ry * 0.12, width * 0.42
    focus = centre[0] + rig.sin * width * 0.25
    if head.glasses:
        left, right = (focus - width * 0.8, eye), (focus + width * 0.8, eye)
        canvas.line((left, right), rig.size(0.012), head.glasses, Part.SKIN)
    for side in (-1, 1):
        canvas.ellipse((focus + side * gap, eye), 1.2, 1.2, (40, 32, 30), Part.SKIN)
    canvas.line(
        ((focus - gap * 0.6, y + ry * 0.62), (focus + gap * 0.6, y + ry * 0.62)), 1, scaled(head.skin, 0.7), Part.SKIN
    )


def draw_back_hair(canvas: Canvas, rig: Rig) -> None:
    """Draw what hangs down the back: long hair, a ponytail or a knot, and a hood."""
    head = rig.person.head
    if rig.person.top.cut.hood:
        hood = rig.at(0.0, rig.shoulder + 0.02, -0.05)
        canvas.ellipse(hood, rig.size(0.066), rig.size(0.04), scaled(rig.person.top.shade.rgb, 0.8), Part.TOP)
    x, y = rig.at(0.0, rig.build.head * 0.5, rig.pose.lean - 0.03)
    if head.hair == "long":
        low = rig.at(0.0, rig.torso(0.12 + 0.3 * (head.volume - 0.9)), -0.045)
        wide = rig.size(0.05) * head.volume
        points = [(x - wide, y), (x + wide, y), (low[0] + wide * 0.95, low[1]), (low[0] - wide * 0.95, low[1])]
        canvas.polygon(points, head.shade.rgb, Part.HAIR)
        canvas.ellipse(low, wide * 0.95, rig.size(0.02), head.shade.rgb, Part.HAIR)
    elif head.hair == "tied":
        knot = rig.at(0.0, rig.build.head * 0.3, -0.06)
        radius = rig.size(0.024) * head.volume
        canvas.ellipse(knot, radius, radius, scaled(head.shade.rgb, 0.85), Part.HAIR)
        if head.fringe > 0.3:
            tail = rig.at(0.0, rig.torso(0.1), -0.075)
            canvas.limb((knot, tail), (radius * 0.8, radius * 0.5), scaled(head.shade.rgb, 0.95), Part.HAIR)


def _draw_hat(canvas: Canvas, rig: Rig, rx: float, ry: float) -> None:
    hat = rig.person.hat
    if not hat.kind:
        return
    x, y = _middle(rig)
    brim = y - ry * 0.28
    wide = rx * 1.14
    left = [(x - wide, brim), (x - wide * 0.9, y - ry * 0.85), (x - wide * 0.4, y - ry * 1.14)]
    right = [(2 * x - across, down) for across, down in reversed(left)]
    canvas.polygon([*left, *right], hat.shade.rgb, Part.HAT)
    if hat.kind == "cap":
        _draw_peak(canvas, rig, wide, ry)
    elif hat.kind == "woolly hat":
        _draw_hat_band(canvas, rig, wide, (brim - ry * 0.28, brim + 2))
        if hat.detail:
            canvas.ellipse((x, y - ry * 1.22), rx * 0.4, rx * 0.4, hat.band, Part.TRIM)
    else:
        canvas.ellipse((x, brim + 1), wide * 1.7, ry * 0.2, scaled(hat.shade.rgb, 0.85), Part.HAT)
        _draw_hat_band(canvas, rig, wide, (brim - ry * 0.25, brim - 2))


def _draw_hat_band(canvas: Canvas, rig: Rig, wide: float, rows: tuple[float, float]) -> None:
    x, (high, low) = _middle(rig)[0], rows
    canvas.polygon(
        [(x - wide, high), (x + wide, high), (x + wide, low), (x - wide, low)], rig.person.hat.band, Part.TRIM
    )


def _draw_peak(canvas: Canvas, rig: Rig, wide: float, ry: float) -> None:
    """Draw the peak of a cap, which points in the direction of the face, and the badge."""
    hat = rig.person.hat
    x, y = _middle(rig)
    brim = y - ry * 0.28
    tip = x + rig.sin * wide * 0.96
    low = brim + max(rig.cos, 0.0) * ry * 0.25 + 2
    half = wide * abs(rig.cos)
    if rig.cos > -0.6:
        peak = [(x - half, brim), (x + half, brim), (tip + wide * 0.5, low), (tip - wide * 0.5, low)]
        canvas.polygon(peak, scaled(hat.shade.rgb, 0.75), Part.HAT)
    if hat.detail and rig.cos > 0.2:
        canvas.ellipse((x + rig.sin * wide * 0.44, y - ry * 0.65), wide * 0.3, ry * 0.2, hat.band, Part.TRIM)
