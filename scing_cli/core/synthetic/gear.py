"""Draw bags on the back, over the shoulder or in the hand."""

from __future__ import annotations

from scing_cli.core.synthetic.canvas import Canvas, Part
from scing_cli.core.synthetic.palette import scaled
from scing_cli.core.synthetic.rig import Rig


def draw_worn_behind(canvas: Canvas, rig: Rig) -> None:
    """Draw the backpack of a person who faces the camera; the body, drawn later, leaves only its edges visible."""
    if rig.person.bag.kind == "backpack" and rig.cos >= 0:
        _draw_pack(canvas, rig)


def draw_worn_in_front(canvas: Canvas, rig: Rig) -> None:
    """Draw what hides the body: a backpack seen from behind, its straps seen from the front, or a chest strap."""
    bag = rig.person.bag
    if bag.kind == "backpack":
        if rig.cos < 0:
            _draw_pack(canvas, rig)
        else:
            for side in (-1, 1):
                one = rig.at(side * rig.build.shoulders * 0.55, rig.shoulder + 0.005, rig.build.girth * 0.6)
                two = rig.at(side * rig.build.shoulders * 0.66, rig.torso(0.5), rig.build.girth * 0.8)
                canvas.line((one, two), rig.size(0.02), bag.strap, Part.TRIM)
    elif bag.kind == "shoulder bag":
        front = rig.build.girth * (0.9 if rig.cos >= 0 else -0.9)
        one = rig.at(-bag.side * rig.build.shoulders * 0.6, rig.shoulder + 0.005, front * 0.4)
        two = rig.at(bag.side * rig.build.hips * 0.9, rig.torso(0.95), front * 0.6)
        canvas.line((one, two), rig.size(0.014), bag.strap, Part.TRIM)


def _draw_pack(canvas: Canvas, rig: Rig) -> None:
    bag = rig.person.bag
    side, depth = 0.085 * bag.size, 0.055 * bag.size
    wide = rig.width(side, depth)
    top, low = rig.torso(0.02), rig.torso(0.62 + 0.2 * bag.size * bag.shape)
    behind = -rig.build.girth - depth
    x, high = rig.at(0.0, top, behind)
    deep = rig.at(0.0, low, behind)[1]
    canvas.ellipse((x, high + wide * 0.4), wide, wide * 0.5, bag.shade.rgb, Part.BAG)
    canvas.polygon(
        [(x - wide, high + wide * 0.4), (x + wide, high + wide * 0.4), (x + wide, deep), (x - wide, deep)],
        bag.shade.rgb,
        Part.BAG,
    )
    if rig.cos < 0.3:
        middle = high + (deep - high) * (0.5 + 0.15 * bag.shape)
        inner = wide * (0.5 + 0.35 * bag.shape)
        canvas.polygon(
            [(x - inner, middle), (x + inner, middle), (x + inner, deep - 3), (x - inner, deep - 3)],
            bag.pocket,
            Part.TRIM,
        )
        canvas.line(
            ((x - wide * 0.8, high + wide * 0.5), (x + wide * 0.8, high + wide * 0.5)),
            1,
            scaled(bag.shade.rgb, 0.6),
            Part.BAG,
        )
    canvas.line(
        ((x - wide, high + wide * 0.4), (x - wide, deep), (x + wide, deep), (x + wide, high + wide * 0.4)),
        1,
        scaled(bag.shade.rgb, 0.6),
        Part.BAG,
    )


def draw_carried(canvas: Canvas, rig: Rig) -> None:
    """Draw a bag at the hip or in the hand, unless the body hides it."""
    bag = rig.person.bag
    if bag.kind == "shoulder bag":
        if rig.nearness(bag.side * 1.0, 0.0) < -0.8:
            return
        _draw_box(canvas, rig, rig.at(bag.side * (rig.build.hips + 0.03), rig.torso(1.0), 0.0), 0.055, 0.075)
    elif bag.kind in {"handbag", "shopping bag"}:
        if rig.nearness(bag.side * 1.0, 0.0) < -0.9:
            return
        arm = next(limb for limb in rig.arms if limb.side == bag.side)
        x, y = arm.joints[2] if rig.pose.raised != bag.side else arm.joints[1]
        grip = (x, y + rig.size(0.02))
        tall = 0.08 if bag.kind == "handbag" else 0.13
        drop = rig.size(0.045)
        for shift in (-1, 1):
            canvas.line((grip, (x + shift * rig.size(0.03), y + drop)), rig.size(0.008), bag.strap, Part.TRIM)
        _draw_box(canvas, rig, (x, y + drop), 0.05, tall)


def _draw_box(canvas: Canvas, rig: Rig, hook: tuple[float, float], half: float, tall: float) -> None:
    """Draw a bag that hangs from the pixel `hook`; half its width and its height are in statures."""
    bag = rig.person.bag
    wide = rig.width(half * bag.size * 0.6, half * bag.size)
    deep = rig.size(tall * bag.size)
    x, y = hook
    lower = wide * (0.8 + 0.35 * bag.shape)
    outline = [(x - wide, y), (x + wide, y), (x + lower, y + deep), (x - lower, y + deep)]
    canvas.polygon([(px, py + 1) for px, py in outline], scaled(bag.shade.rgb, 0.6), Part.BAG)
    canvas.polygon(outline, bag.shade.rgb, Part.BAG)
    flap = y + deep * (0.25 + 0.3 * bag.shape)
    canvas.polygon(
        [(x - wide * 0.9, y), (x + wide * 0.9, y), (x + wide * 0.7, flap), (x - wide * 0.7, flap)],
        bag.pocket,
        Part.TRIM,
    )
