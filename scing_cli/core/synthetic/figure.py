"""Draw a posed person on a canvas, from back to front: far arm, legs, torso, head, near arm, bag."""

from __future__ import annotations

import itertools
import math

from scing_cli.core.synthetic.canvas import Canvas, Part, Point
from scing_cli.core.synthetic.gear import draw_carried, draw_worn_behind, draw_worn_in_front
from scing_cli.core.synthetic.head import draw_back_hair, draw_head
from scing_cli.core.synthetic.limbs import draw_arm, draw_leg
from scing_cli.core.synthetic.palette import scaled
from scing_cli.core.synthetic.rig import Rig
from scing_cli.core.synthetic.textures import cloth, wrap


def draw_figure(canvas: Canvas, rig: Rig) -> None:
    """Draw the person of a rig."""
    from_behind = rig.cos < 0
    draw_worn_behind(canvas, rig)
    if not from_behind:
        draw_back_hair(canvas, rig)
    draw_arm(canvas, rig, rig.arms[0], behind=True)
    for limb in rig.legs:
        draw_leg(canvas, rig, limb)
    if rig.person.bottom.kind in {"skirt", "long skirt"}:
        _draw_skirt(canvas, rig)
    else:
        _draw_seat(canvas, rig)
    _draw_neck(canvas, rig)
    _draw_torso(canvas, rig)
    draw_head(canvas, rig)
    if from_behind:
        draw_back_hair(canvas, rig)
    draw_arm(canvas, rig, rig.arms[0], behind=False)
    draw_arm(canvas, rig, rig.arms[1], behind=False)
    draw_worn_in_front(canvas, rig)
    draw_carried(canvas, rig)


def _section(rig: Rig, share: float) -> tuple[float, float]:
    """Return the half-axes (side, front) of the body in statures, at a height from shoulder (0) to hip (1) or below."""
    build = rig.build
    table = (  # share of the way, half-axis to the side, half-axis to the front
        (-0.06, 0.05, 0.045),
        (0.0, build.shoulders * 0.8, build.girth * 0.72),
        (0.1, build.shoulders, build.girth * 0.92),
        (0.4, build.shoulders * 0.9, build.girth * 1.0),
        (0.7, (build.hips + build.shoulders) * 0.42, build.girth * 0.98),
        (1.0, build.hips * 1.03, build.girth * 1.05),
        (2.0, build.hips * 1.3, build.girth * 1.45),
    )
    for (low, side, front), (high, wider, deeper) in itertools.pairwise(table):
        if share <= high:
            part = (share - low) / (high - low)
            return side + (wider - side) * part, front + (deeper - front) * part
    return table[-1][1], table[-1][2]


def _draw_torso(canvas: Canvas, rig: Rig) -> None:
    top = rig.person.top
    shares = [-0.06, 0.0, 0.1, 0.4, 0.7, 1.0, top.hem]
    sections = [_section(rig, share) for share in shares]
    ease = top.cut.ease
    widths = [rig.width(side + ease, front + ease) for side, front in sections]
    middles = [rig.at(0.0, rig.torso(share), 0.012 * max(0.0, share - 0.3)) for share in shares]
    left = [(x - wide, y) for (x, y), wide in zip(middles, widths, strict=True)]
    right = [(x + wide, y) for (x, y), wide in zip(middles, widths, strict=True)]
    outline = [*left, *reversed(right)]
    if canvas_box := _box(outline):
        colours, parts = cloth(top)
        width, height = canvas_box[2] - canvas_box[0], canvas_box[3] - canvas_box[1]
        yaw = rig.pose.yaw
        canvas.texture(outline, wrap(colours, yaw, width, height), wrap(parts, yaw, width, height), canvas_box)
    if top.cut.collar and rig.cos > -0.3:
        x, y = middles[0]
        reach = rig.size(0.035)
        for side in (-1, 1):
            tip = rig.at(side * 0.03, rig.torso(0.1), rig.build.girth)
            canvas.polygon(
                [(x + side * reach, y), tip, (x + side * reach * 0.2, y + reach * 0.3)], _collar(rig), Part.TOP
            )


def _collar(rig: Rig) -> tuple[int, int, int]:
    top = rig.person.top
    return top.trim if "collar" in top.trimmed else scaled(top.shade.rgb, 0.8)


def _box(outline: list[Point]) -> tuple[int, int, int, int] | None:
    """Return the box of whole pixels around an outline, or None if it is too small to draw."""
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    box = (math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)) + 1, math.ceil(max(ys)) + 1)
    return box if box[2] - box[0] > 2 and box[3] - box[1] > 2 else None


def _draw_neck(canvas: Canvas, rig: Rig) -> None:
    chin = rig.at(0.0, rig.build.head - 0.02, rig.pose.lean * 0.6)
    base = rig.at(0.0, rig.shoulder + 0.012, 0.0)
    canvas.limb((chin, base), (rig.size(0.027), rig.size(0.034)), scaled(rig.person.head.skin, 0.92), Part.SKIN)


def _draw_seat(canvas: Canvas, rig: Rig) -> None:
    """Draw the hips of trousers or shorts, with the belt."""
    bottom = rig.person.bottom
    side, front = rig.build.hips * 1.02, rig.build.girth * 1.0
    wide = rig.width(side, front)
    x, y = rig.at(0.0, rig.torso(0.88), 0.0)
    low = rig.at(0.0, rig.torso(1.12), 0.0)[1]
    canvas.polygon([(x - wide, y), (x + wide, y), (x + wide, low), (x - wide, low)], bottom.shade.rgb, Part.LEGS)
    if bottom.belt:
        mid = rig.at(0.0, rig.torso(1.03), 0.0)[1]
        canvas.polygon(
            [(x - wide, mid), (x + wide, mid), (x + wide, low + 3), (x - wide, low + 3)], bottom.belt, Part.LEGS
        )


def _draw_skirt(canvas: Canvas, rig: Rig) -> None:
    bottom = rig.person.bottom
    x, y = rig.at(0.0, rig.torso(0.9), 0.0)
    hem = rig.at(0.0, rig.build.hip_height + (0.955 - rig.build.hip_height) * bottom.length, 0.0)[1]
    wide = rig.width(rig.build.hips, rig.build.girth)
    flare = wide * (1.0 + 0.35 * bottom.width) + abs(rig.sin) * rig.size(0.04) * rig.pose.stride
    outline = [(x - wide, y), (x + wide, y), (x + flare, hem), (x - flare, hem)]
    canvas.polygon([(px, py + 1) for px, py in outline], scaled(bottom.shade.rgb, 0.7), Part.LEGS)
    canvas.polygon(outline, bottom.shade.rgb, Part.LEGS)
    for fold in (-0.5, 0.1, 0.6):
        canvas.line([(x + wide * fold, y), (x + flare * fold, hem - 2)], 1, scaled(bottom.shade.rgb, 0.82), Part.LEGS)
    if bottom.cuff:
        canvas.polygon(
            [(x - flare, hem - rig.size(0.02)), (x + flare, hem - rig.size(0.02)), (x + flare, hem), (x - flare, hem)],
            bottom.cuff,
            Part.LEGS,
        )
