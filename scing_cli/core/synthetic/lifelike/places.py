"""What a camera sees behind people: ground, walls and things, with the statistics of photographs."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scing_cli.core.synthetic.canvas import SIZE
from scing_cli.core.synthetic.dice import between, chance, dice, pick
from scing_cli.core.synthetic.lifelike.noise import FIELDS, Floats, natural, tiled
from scing_cli.core.synthetic.palette import COLOURS, RGB, clip_rgb, scaled, vary

W, H = SIZE
PANORAMA = (4 * W, 2 * H)  # pixels: width, height


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A place in front of a camera.

    Args:
        key: Decides everything that is painted.
        horizon: Height where ground and backdrop meet in a crop, as a share from the top.
        focus: Sigma of the blur of what is far, in pixels.
        clutter: Mean number of things that come and go.
        painted: False for an even grey.
    """

    key: tuple[int | str, ...]
    horizon: float
    focus: float
    clutter: float
    painted: bool = True


def draw_place(*key: int | str) -> Place:
    """Return a random place."""
    rng = dice(*key, "place")
    return Place(key, between(rng, 0.0, 0.75), float(rng.gamma(1.2, 0.9)), between(rng, 0.0, 2.5))


def paint_place(place: Place, rng: np.random.Generator) -> Image.Image:
    """Return a picture of `SIZE`: the part of a place that one box shows, with what is there at the moment."""
    if not place.painted:
        return Image.new("RGB", SIZE, (128, 128, 128))
    panorama = _panorama(place)
    zoom = between(rng, 0.8, 1.5)
    wide, high = W * zoom, H * zoom
    left = between(rng, 0, PANORAMA[0] - wide)
    horizon = PANORAMA[1] / 2
    top = horizon - high * min(0.95, max(0.02, place.horizon + between(rng, -0.1, 0.1)))
    top = min(max(0.0, top), PANORAMA[1] - high)
    box = (left, top, left + wide, top + high)
    picture = panorama.resize(SIZE, Image.Resampling.BILINEAR, box=box)
    if chance(rng, 0.5):
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for _ in range(int(rng.poisson(place.clutter))):
        _thing_behind(picture, rng)
    return picture


def wall_of(place: Place) -> Image.Image:
    """Return a picture of `SIZE` of a wall at a place."""
    rng = dice(*place.key, "wall")
    return Image.fromarray(np.clip(_textured(_surface_colour(rng), (H, W), rng), 0, 255).astype(np.uint8))


@functools.lru_cache(maxsize=48)
def _panorama(place: Place) -> Image.Image:
    rng = dice(*place.key, "panorama")
    ground, wall = _surface_colour(rng), _surface_colour(rng)
    middle = PANORAMA[1] // 2
    picture = np.empty((PANORAMA[1], PANORAMA[0], 3), dtype=np.float32)
    picture[:middle] = _textured(wall, (middle, PANORAMA[0]), rng)
    picture[middle:] = _textured(ground, (PANORAMA[1] - middle, PANORAMA[0]), rng)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    for paint in (_tiles, _posts, _windows, _greenery, _markings):
        if chance(rng, 0.45):
            paint(image, rng, middle)
    if place.focus > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(place.focus))
    return image


def _surface_colour(rng: np.random.Generator) -> RGB:
    """Return a colour as surfaces outdoors and indoors have it: mostly pale and greyish."""
    grey = between(rng, 40, 225)
    tint = rng.normal(0, 8 if chance(rng, 0.75) else 25, 3)
    return clip_rgb(*(grey + tint - tint.mean()))


def _textured(rgb: RGB, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return a surface of this colour with noise, (*size, 3)."""
    contrast = float(rng.gamma(1.6, 0.09))
    field = tiled(natural(int(rng.integers(FIELDS))), size, between(rng, 0.6, 3.0), rng)
    tint = tiled(natural(int(rng.integers(FIELDS))), size, between(rng, 1.0, 3.0), rng)
    hue = rng.normal(0, 5, 3).astype(np.float32)
    found: Floats = np.array(rgb, dtype=np.float32) * (1 + contrast * field[..., None]) + tint[..., None] * hue
    return found


def _tiles(image: Image.Image, rng: np.random.Generator, middle: int) -> None:
    """Paint the joints of paving, bricks or panels, above or below the horizon."""
    brush = ImageDraw.Draw(image)
    wide, high = int(between(rng, 12, 110)), int(between(rng, 8, 70))
    below = chance(rng, 0.5)
    first, last = (middle, PANORAMA[1]) if below else (0, middle)
    shade = scaled(image.getpixel((5, (first + last) // 2)), between(rng, 0.6, 1.3))  # type: ignore[arg-type]
    for row, y in enumerate(range(first, last, high)):
        brush.line((0, y, PANORAMA[0], y), fill=shade, width=pick(rng, (1, 1, 2)))
        for x in range(-(row % 2) * (wide // 2), PANORAMA[0], wide):
            brush.line((x, y, x, y + high), fill=shade, width=1)


def _posts(image: Image.Image, rng: np.random.Generator, middle: int) -> None:
    """Paint upright things: posts, trunks, edges of doors and walls."""
    brush = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 9))):
        x, wide = between(rng, 0, PANORAMA[0]), float(rng.gamma(1.5, 10)) + 3
        low = middle + between(rng, -20, 90)
        rgb = vary(_surface_colour(rng), rng)
        high = between(rng, -50, middle * 0.6) if chance(rng, 0.4) else 0
        brush.rectangle((x, high, x + wide, low), fill=rgb)
        brush.rectangle((x + wide * 0.7, high, x + wide, low), fill=scaled(rgb, between(rng, 0.5, 0.9)))


def _windows(image: Image.Image, rng: np.random.Generator, middle: int) -> None:
    """Paint windows, posters and doors: rectangles with a texture of their own."""
    brush = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 8))):
        wide, high = int(between(rng, 18, 150)), int(between(rng, 18, 200))
        x, y = int(between(rng, 0, PANORAMA[0] - wide)), int(between(rng, 0, max(1, middle - high * 0.7)))
        rgb = vary(pick(rng, list(COLOURS.values())), rng) if chance(rng, 0.4) else _surface_colour(rng)
        piece = np.clip(_textured(rgb, (high, wide), rng), 0, 255).astype(np.uint8)
        image.paste(Image.fromarray(piece), (x, y))
        if chance(rng, 0.6):
            brush.rectangle((x, y, x + wide, y + high), outline=scaled(rgb, between(rng, 0.4, 1.5)), width=2)


def _greenery(image: Image.Image, rng: np.random.Generator, middle: int) -> None:
    """Paint bushes and crowns of trees: noise that is cut off at a level."""
    for _ in range(int(rng.integers(1, 5))):
        wide, high = int(between(rng, 60, 260)), int(between(rng, 40, 220))
        x = int(between(rng, -30, PANORAMA[0] - wide / 2))
        y = int(between(rng, -20, middle - high * 0.5))
        leaf = clip_rgb(between(rng, 25, 110), between(rng, 50, 140), between(rng, 15, 80))
        fine = tiled(natural(int(rng.integers(FIELDS))), (high, wide), between(rng, 0.3, 0.8), rng)
        edge = np.hypot(np.linspace(-1, 1, high)[:, None], np.linspace(-1, 1, wide)[None, :])
        colours = np.array(leaf, dtype=np.float32) * (1 + 0.45 * fine[..., None])
        mask = (fine * 0.5 + 1.1 - 1.6 * edge) > 0
        piece = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
        image.paste(piece, (x, y), Image.fromarray(mask.astype(np.uint8) * 255))


def _markings(image: Image.Image, rng: np.random.Generator, middle: int) -> None:
    """Paint lines, kerbs and crossings on the ground."""
    brush = ImageDraw.Draw(image)
    rgb = pick(rng, ((230, 230, 225), (220, 190, 60), scaled(_surface_colour(rng), 0.6)))
    slope = between(rng, -0.6, 0.6)
    thick, gap = int(between(rng, 2, 24)), int(between(rng, 20, 90))
    for y in range(middle, PANORAMA[1] + 100, thick + gap):
        brush.line((0, y - slope * PANORAMA[0] / 4, PANORAMA[0], y + slope * PANORAMA[0] / 4), fill=rgb, width=thick)
        if chance(rng, 0.4):
            break


def _thing_behind(picture: Image.Image, rng: np.random.Generator) -> None:
    """Paint something that came into the picture: a blurred shape with a texture, like a far person or a bag."""
    wide, high = int(between(rng, 8, 60)), int(between(rng, 12, 130))
    rgb = vary(pick(rng, list(COLOURS.values())), rng) if chance(rng, 0.6) else _surface_colour(rng)
    piece = np.clip(_textured(rgb, (high, wide), rng), 0, 255).astype(np.uint8)
    mask = Image.new("L", (wide, high), 0)
    kind = pick(rng, ("ellipse", "rectangle", "rounded_rectangle"))
    extra = {"radius": wide / 3} if kind == "rounded_rectangle" else {}
    getattr(ImageDraw.Draw(mask), kind)((1, 1, wide - 2, high - 2), fill=255, **extra)
    mask = mask.filter(ImageFilter.GaussianBlur(between(rng, 0.3, 2.0)))
    at = (int(between(rng, -wide / 2, W - wide / 2)), int(between(rng, -high / 4, H - high / 2)))
    picture.paste(Image.fromarray(piece), at, mask)
