"""Backgrounds: one scene per camera, with a new pan and new clutter in every image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw

from scing_cli.core.synthetic.canvas import SIZE
from scing_cli.core.synthetic.dice import between, chance, pick
from scing_cli.core.synthetic.palette import COLOURS, RGB, scaled, vary

Brush = ImageDraw.ImageDraw
W, H = SIZE


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """The background that a camera sees.

    Args:
        kind: A key of `SCENES`.
        ground: Colour of the ground.
        backdrop: Colour of the backdrop.
        accent: Colour of its details.
        horizon: Height where ground and backdrop meet, as a share from the top.
        clutter: Mean number of loose things in an image.
    """

    kind: str
    ground: RGB
    backdrop: RGB
    accent: RGB
    horizon: float
    clutter: float


def draw_scene(kind: str, rng: np.random.Generator) -> Scene:
    """Return a scene of this kind with random shades of its colours."""
    ground, backdrop, accent = _COLOURS[kind]
    return Scene(
        kind=kind,
        ground=vary(ground, rng),
        backdrop=vary(backdrop, rng),
        accent=vary(accent, rng),
        horizon=between(rng, 0.3, 0.62),
        clutter=between(rng, 0.8, 3.0),
    )


def paint_scene(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Return a picture of `SIZE` pixels: the part of the scene that one crop shows."""
    picture = Image.new("RGB", SIZE, scene.backdrop)
    brush = ImageDraw.Draw(picture)
    horizon = H * (scene.horizon + between(rng, -0.08, 0.08))
    brush.rectangle((0, horizon, W, H), fill=scene.ground)
    SCENES[scene.kind](brush, scene, rng, horizon)
    for _ in range(int(rng.poisson(scene.clutter))):
        _paint_thing(brush, rng, horizon)
    return picture


def _street(brush: Brush, scene: Scene, rng: np.random.Generator, horizon: float) -> None:
    pan, step = between(rng, -40, 0), between(rng, 30, 46)
    y = horizon - 22
    while y > -30:
        x = pan
        while x < W:
            brush.rectangle((x, y - 18, x + step * 0.55, y), fill=scene.accent, outline=scaled(scene.backdrop, 0.7))
            x += step
        y -= 34
    brush.rectangle((0, horizon, W, horizon + 5), fill=scaled(scene.ground, 1.3))
    tilt = between(rng, -30, 30)
    edge = horizon + between(rng, 40, 110)
    brush.line((0, edge, W, edge + tilt), fill=(222, 220, 205), width=4)


def _wall(brush: Brush, scene: Scene, rng: np.random.Generator, horizon: float) -> None:
    mortar = scaled(scene.backdrop, 0.8)
    shift, y, row = between(rng, 0, 18), between(rng, -9, 0), 0
    while y < horizon:
        brush.line((0, y, W, y), fill=mortar)
        x = -shift + 9 * (row % 2)
        while x < W:
            brush.line((x, y, x, min(y + 9, horizon)), fill=mortar)
            x += 18
        y, row = y + 9, row + 1
    if chance(rng, 0.4):
        x = between(rng, -30, W)
        brush.rectangle((x, horizon - 120, x + 46, horizon), fill=scene.accent, outline=scaled(scene.accent, 0.6))


def _grass(brush: Brush, scene: Scene, rng: np.random.Generator, horizon: float) -> None:
    for _ in range(3):
        x, size = between(rng, 0, W), between(rng, 22, 52)
        brush.rectangle((x - 4, horizon - 50, x + 4, horizon + 3), fill=(84, 62, 44))
        crown = vary(scene.accent, rng, 0.7)
        brush.ellipse((x - size, horizon - 60 - size, x + size, horizon - 40 + size * 0.3), fill=crown)
    near, far = between(rng, -60, W), between(rng, 20, W - 20)
    brush.polygon([(far - 8, horizon), (far + 8, horizon), (near + 70, H), (near - 20, H)], fill=(176, 160, 132))
    for _ in range(14):
        x, y = between(rng, 0, W), between(rng, horizon, H)
        brush.line((x, y, x + 3, y - 5), fill=scaled(scene.ground, 0.8), width=1)


def _tiles(brush: Brush, scene: Scene, rng: np.random.Generator, horizon: float) -> None:
    centre, line = between(rng, 20, W - 20), scaled(scene.ground, 0.82)
    for joint in range(-9, 10):  # joints of the tiles run together in the distance
        brush.line((centre + joint * 9, horizon, centre + joint * 34, H), fill=line, width=1)
    y, step = horizon, 5.0
    while y < H:
        brush.line((0, y, W, y), fill=line, width=1)
        y, step = y + step, step * 1.28
    pan = between(rng, -60, 0)
    for window in range(4):
        x = pan + window * 58
        brush.rectangle((x, horizon - 95, x + 48, horizon - 6), fill=scene.accent, outline=scaled(scene.backdrop, 0.6))
        brush.rectangle((x + 5, horizon - 90, x + 43, horizon - 62), fill=vary(scene.accent, rng, 2.0))


def _hall(brush: Brush, scene: Scene, rng: np.random.Generator, horizon: float) -> None:
    pan = between(rng, -50, 0)
    for pillar in range(4):
        x = pan + pillar * 60
        brush.rectangle((x, 0, x + 14, horizon), fill=scaled(scene.backdrop, 0.75))
        brush.rectangle((x + 22, 8, x + 48, 13), fill=(246, 244, 226))
        brush.rectangle((x, horizon, x + 14, horizon + 60), fill=scaled(scene.ground, 0.85))
    brush.rectangle((0, horizon - 8, W, horizon), fill=scene.accent)


def _crossing(brush: Brush, scene: Scene, rng: np.random.Generator, horizon: float) -> None:
    pan, wide = between(rng, -30, 0), between(rng, 14, 24)
    for stripe in range(8):
        x = pan + stripe * wide * 1.9
        skew = (x - W / 2) * 0.5
        brush.polygon(
            [(x, horizon + 30), (x + wide, horizon + 30), (x + wide + skew, H), (x + skew, H)], fill=(214, 212, 202)
        )
    for _ in range(2):
        x = between(rng, -40, W - 20)
        body = vary(pick(rng, list(COLOURS.values())), rng)
        brush.polygon(
            [(x + 14, horizon - 30), (x + 58, horizon - 30), (x + 70, horizon - 12), (x, horizon - 12)],
            fill=scaled(body, 0.6),
        )
        brush.rectangle((x - 8, horizon - 14, x + 82, horizon + 8), fill=body)
        for wheel in (8, 62):
            brush.ellipse((x + wheel - 9, horizon, x + wheel + 9, horizon + 16), fill=(30, 30, 32))
    brush.rectangle((0, 0, W, max(0.0, horizon - 80)), fill=scene.accent)


def _paint_thing(brush: Brush, rng: np.random.Generator, horizon: float) -> None:
    """Paint one loose thing: a post, a pole, a box, a plant, a sign or a distant pedestrian."""
    x, foot = between(rng, -10, W + 10), between(rng, horizon, horizon + 60)
    rgb = vary(pick(rng, list(COLOURS.values())), rng, 1.3)
    kind = pick(rng, ("post", "box", "plant", "sign", "walker", "pole"))
    tall = between(rng, 26, 70)
    if kind == "post":
        brush.rectangle((x - 3, foot - tall, x + 3, foot), fill=rgb)
    elif kind == "pole":
        brush.rectangle((x - 3, 0, x + 3, foot), fill=scaled(rgb, 0.6))
    elif kind == "box":
        brush.rectangle((x - 16, foot - tall * 0.6, x + 16, foot), fill=rgb, outline=scaled(rgb, 0.6))
    elif kind == "plant":
        brush.rectangle((x - 8, foot - 14, x + 8, foot), fill=(126, 78, 52))
        brush.ellipse((x - 16, foot - 14 - tall * 0.7, x + 16, foot - 10), fill=(48, 104, 54))
    elif kind == "sign":
        brush.rectangle((x - 1, foot - tall, x + 1, foot), fill=(110, 110, 112))
        brush.rectangle((x - 14, foot - tall - 18, x + 14, foot - tall + 4), fill=rgb, outline=(235, 235, 230))
    else:
        skin = (176, 132, 104)
        brush.ellipse((x - 4, foot - 62, x + 4, foot - 52), fill=skin)
        brush.rectangle((x - 7, foot - 52, x + 7, foot - 28), fill=rgb)
        brush.rectangle((x - 6, foot - 28, x + 6, foot), fill=scaled(rgb, 0.45))


_COLOURS: Mapping[str, tuple[RGB, RGB, RGB]] = MappingProxyType(
    {
        "street": ((112, 112, 116), (168, 152, 134), (92, 106, 124)),
        "wall": ((142, 138, 130), (158, 102, 82), (82, 96, 86)),
        "grass": ((104, 142, 74), (176, 204, 226), (62, 108, 58)),
        "tiles": ((188, 180, 166), (136, 138, 144), (178, 206, 218)),
        "hall": ((152, 160, 168), (204, 204, 196), (112, 130, 150)),
        "crossing": ((82, 84, 90), (148, 154, 158), (194, 206, 216)),
    }
)
SCENES: Mapping[str, Callable[[Brush, Scene, np.random.Generator, float], None]] = MappingProxyType(
    {"street": _street, "wall": _wall, "grass": _grass, "tiles": _tiles, "hall": _hall, "crossing": _crossing}
)
