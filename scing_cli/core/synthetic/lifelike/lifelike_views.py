"""One lifelike image of a person: posture, light, place, other people, occlusion, sensor and caption."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image

from scing_cli.core.synthetic.canvas import SIZE, Canvas
from scing_cli.core.synthetic.captions import Seen, write_captions
from scing_cli.core.synthetic.dice import around, between, chance, dice, one_of, pick
from scing_cli.core.synthetic.lifelike.body import body_points
from scing_cli.core.synthetic.lifelike.light import Light, draw_light, lit_scene, shaded
from scing_cli.core.synthetic.lifelike.noise import FIELDS, Floats, natural, tiled
from scing_cli.core.synthetic.lifelike.places import Place, draw_place, paint_place, wall_of
from scing_cli.core.synthetic.lifelike.sensor import Sensor, SensorRanges, Spans, draw_sensor, record
from scing_cli.core.synthetic.lifelike.skeleton import Posture, Skeleton, draw_posture
from scing_cli.core.synthetic.lifelike.splat import COVERED, Eye, Layer, View, reached, splat
from scing_cli.core.synthetic.occluders import THINGS, draw_thing, passer_by
from scing_cli.core.synthetic.occluders import Layer as Thing
from scing_cli.core.synthetic.people import Person, draw_people
from scing_cli.core.synthetic.views import Rendering, count_parts, cover_some, hide, shown

W, H = SIZE
SPACING = 1.4  # pixels between neighbouring points


@dataclasses.dataclass(frozen=True, slots=True)
class LifelikeCamera:
    """One fixed camera.

    Args:
        place: What it sees.
        light: The light there.
        sensor: What it does to light.
        elevation: How steeply it looks down, radians.
        distance: Of people, in statures.
        roll: Turn of the picture, radians.
        heading: Mean walking direction relative to the camera, radians.
        loose: Spread of the boxes around people, as a share of the box.
        cloth: Whether cloth has folds and uneven colours.
        crowd: Share of images with a second person.
        occluded: Share of images with something in front of the person.
    """

    place: Place
    light: Light
    sensor: Sensor
    elevation: float
    distance: float
    roll: float
    heading: float
    loose: float
    cloth: bool
    crowd: float
    occluded: float


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Where a person stands on a picture of `SIZE`: middle of the feet (x), foot (y), and pixels per stature."""

    x: float
    foot: float
    unit: float
    stretch: float


@dataclasses.dataclass(frozen=True, slots=True)
class Ranges:
    """From where to where the settings of cameras go; of several ranges, each camera takes one.

    Args:
        sensor: Those of sensors.
        suns: Height of the sun, degrees.
        elevations: How steeply cameras look down, degrees.
    """

    sensor: SensorRanges
    suns: Spans
    elevations: Spans


RANGES: Mapping[str, Ranges] = MappingProxyType(
    {
        "lifelike": Ranges(
            SensorRanges(
                heights=((56, 180),),
                warmth=((0.0, 0.2),),
                gains=0.022,
                saturations=((0.45, 1.4),),
                contrasts=((0.75, 1.5),),
                qualities=((25, 92),),
            ),
            suns=((20, 80),),
            elevations=((0, 35),),
        ),
        "unmet": Ranges(
            SensorRanges(
                heights=((46, 55), (181, 240)),
                warmth=((0.21, 0.32),),
                gains=0.03,
                saturations=((0.3, 0.44), (1.41, 1.7)),
                contrasts=((0.6, 0.74), (1.51, 1.8)),
                qualities=((16, 24), (93, 97)),
            ),
            suns=((10, 19), (81, 88)),
            elevations=((36, 46),),
        ),
    }
)
"""Look -> its cameras. What these ranges set differs between the two; all other settings are drawn alike."""


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """A person with a posture, somewhere on a picture."""

    person: Person
    posture: Posture
    standing: Standing


@dataclasses.dataclass(frozen=True, slots=True)
class Sight:
    """How a camera sees a person: what covers the pixels, and pixels (N, 2) on which the shadow falls."""

    layer: Layer
    shadow: Floats


def draw_lifelike_cameras(count: int, *key: int | str, look: str = "lifelike") -> tuple[LifelikeCamera, ...]:
    """Return `count` random cameras; `look` is a key of `RANGES`."""
    return tuple(_draw_camera((*key, "lifelike camera", number), RANGES[look]) for number in range(count))


def _draw_camera(key: tuple[int | str, ...], ranges: Ranges) -> LifelikeCamera:
    rng = dice(*key)
    return LifelikeCamera(
        place=draw_place(*key),
        light=draw_light(rng, one_of(rng, ranges.suns)),
        sensor=draw_sensor(rng, ranges.sensor),
        elevation=math.radians(between(rng, *one_of(rng, ranges.elevations))),
        distance=between(rng, 3.0, 14.0),
        roll=around(rng, 0.0, 0.03),
        heading=between(rng, -math.pi, math.pi),
        loose=between(rng, 0.02, 0.1),
        cloth=True,
        crowd=between(rng, 0.05, 0.35),
        occluded=between(rng, 0.05, 0.3),
    )


def render_lifelike(
    person: Person, camera: LifelikeCamera, *key: int | str, occluded: bool = False, wording: str = ""
) -> Rendering:
    """Return one image of a person: a JPEG file of the camera's size, captions, and the hidden share of the body.

    Args:
        person: The person.
        camera: The camera.
        key: Together with person and camera, decides the image.
        occluded: As for `render_view`.
        wording: As for `render_view`.
    """
    rng, light = dice(*key, "view"), dice(*key, "light")
    figure = Figure(person, _draw_posture(camera, rng), _draw_standing(camera, rng))
    seen = see(figure, camera, dice(*key, "folds"))
    backdrop = paint_place(camera.place, dice(*key, "scene"))
    canvas = Canvas(lit_scene(backdrop, camera.light, _falling(seen.shadow), light))
    if chance(rng, camera.crowd):
        _company(canvas, camera, figure.standing, (*key, "company"))
    _draw(canvas, camera, seen, light)
    body = shown(canvas)
    thing = functools.partial(_thing, camera, figure.standing)
    if occluded:
        hide(canvas, thing, lit_scene(wall_of(camera.place), camera.light, None, light), *key)
    elif chance(rng, camera.occluded):
        cover_some(canvas, thing, *key, "thing")
    hidden = 1 - int(shown(canvas).sum()) / max(1, int(body.sum()))
    clarity = camera.sensor.contrast * (1 - camera.sensor.lift)
    told = Seen(count_parts(canvas), figure.posture.yaw, clarity)
    captions = write_captions(person, told, *key, wording=wording)
    jpeg = record(canvas.picture, camera.sensor, figure.standing.stretch, light)
    return Rendering(jpeg, captions, hidden, person, told)


def see(figure: Figure, camera: LifelikeCamera, rng: np.random.Generator) -> Sight:
    """Return how a camera sees a person; `rng` decides the folds of cloth."""
    standing, eye = figure.standing, Eye(camera.elevation, camera.distance, camera.roll)
    spacing = SPACING / (standing.unit * max(1.0, standing.stretch))
    bones = Skeleton(figure.person.build, figure.posture)
    points = body_points(figure.person, bones, spacing, rng, cloth=camera.cloth)
    upright, tilt = Eye(0.0, camera.distance, 0.0).turned(figure.posture.yaw), eye.turned(0.0)
    world = (points.places - np.array([0, 1, 0], dtype=np.float32)) @ upright.T  # the origin is between the feet
    view = world @ tilt.T
    scale = np.array([standing.unit * standing.stretch, standing.unit], dtype=np.float32)
    offset = np.array([standing.x, standing.foot], dtype=np.float32)
    towards = camera.light.vector()
    points = dataclasses.replace(points, normals=points.normals @ (tilt @ upright).T)
    area = standing.unit**2 * standing.stretch
    where = View(eye.project(view) * scale + offset, view[:, 2], reached(world, towards), area)
    fallen = (world - (towards / towards[1]) * world[:, 1:2]) @ tilt.T
    fallen = fallen[fallen[:, 2] < camera.distance / 2]  # what falls behind the camera is not seen
    return Sight(splat(points, where, (H, W)), eye.project(fallen) * scale + offset)


def _draw(canvas: Canvas, camera: LifelikeCamera, seen: Sight, rng: np.random.Generator) -> None:
    """Draw a person on a canvas, over what is there."""
    tilt = Eye(camera.elevation, camera.distance, camera.roll).turned(0.0)
    up = tilt @ np.array([0, -1, 0], dtype=np.float32)
    colours = shaded(seen.layer, camera.light, tilt @ camera.light.vector(), up, rng)
    cover = seen.layer.cover[..., None]
    mixed = np.asarray(canvas.picture, dtype=np.float32) * (1 - cover) + colours * cover
    canvas.repaint(Image.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8)))
    canvas.mark(seen.layer.parts, seen.layer.cover > COVERED)


def _falling(pixels: Floats) -> Image.Image:
    """Return where a shadow falls, mode L."""
    x, y = np.floor(pixels / 2).astype(np.int64).T
    inside = (x >= 0) & (x < W // 2) & (y >= 0) & (y < H // 2)
    field = np.zeros((H // 2, W // 2), dtype=np.uint8)
    field[y[inside], x[inside]] = 255
    return Image.fromarray(field).resize(SIZE, Image.Resampling.BILINEAR)


def _draw_posture(camera: LifelikeCamera, rng: np.random.Generator) -> Posture:
    yaw = camera.heading + (math.pi if chance(rng, 0.5) else 0.0) + around(rng, 0.0, 0.6)
    return draw_posture(rng, yaw if chance(rng, 0.75) else between(rng, -math.pi, math.pi))


def _draw_standing(camera: LifelikeCamera, rng: np.random.Generator) -> Standing:
    """Return where the person stands in the box of a detector: shifted, cut, too wide or too tall."""
    loose = camera.loose
    share = min(1.12, 0.93 * math.exp(around(rng, -0.2 * loose, loose)))  # of the box that the person fills
    if chance(rng, 0.08):
        share *= between(rng, 1.05, 1.35)  # cut at the feet
    tall = math.cos(camera.elevation) + 0.12 * math.sin(camera.elevation)
    unit = H * share / tall
    top = H * (0.5 - share / 2 + around(rng, 0.0, loose * 0.4)) if share < 1.05 else H * between(rng, 0.0, 0.05)
    return Standing(
        x=W * (0.5 + around(rng, 0.0, loose * 1.2)),
        foot=top + unit * tall,
        unit=unit,
        stretch=between(rng, 0.85, 1.25),
    )


def _company(canvas: Canvas, camera: LifelikeCamera, standing: Standing, key: tuple[int | str, ...]) -> None:
    """Draw a second person behind the first, at the edge of the box."""
    rng = dice(*key)
    side = pick(rng, (-1, 1))
    behind = between(rng, 0.0, 0.1)
    other = dataclasses.replace(
        standing,
        x=standing.x + side * standing.unit * between(rng, 0.17, 0.34),
        foot=standing.foot - standing.unit * behind,
        unit=standing.unit * between(rng, 0.85, 1.02),
    )
    unmarked = Canvas(canvas.picture, marks=False)
    stranger = Figure(draw_people(1, *key)[0], _draw_posture(camera, rng), other)
    _draw(unmarked, camera, see(stranger, camera, rng), rng)
    canvas.repaint(unmarked.picture)


def _thing(camera: LifelikeCamera, standing: Standing, *key: int | str) -> tuple[Thing, np.random.Generator]:
    """Return something to put in front of the person, and the generator that drew it."""
    rng = dice(*key)
    kind = draw_thing(rng)
    if kind in THINGS:
        thing = THINGS[kind](rng)
        return dataclasses.replace(thing, picture=_weathered(thing.picture, camera.light, rng)), rng
    stranger = Canvas(Image.new("RGB", SIZE))
    near = dataclasses.replace(
        standing, x=W / 2, unit=standing.unit * 1.06, foot=standing.foot + standing.unit * between(rng, 0.02, 0.12)
    )
    figure = Figure(draw_people(1, *key)[0], _draw_posture(camera, rng), near)
    _draw(stranger, camera, see(figure, camera, rng), rng)
    return passer_by(stranger, rng), rng


def _weathered(picture: Image.Image, light: Light, rng: np.random.Generator) -> Image.Image:
    """Return a thing with an uneven surface, in the light of the place."""
    field = tiled(natural(int(rng.integers(FIELDS))), picture.size[::-1], between(rng, 0.8, 2.5), rng)
    uneven = 1 + np.float32(rng.gamma(1.5, 0.1)) * field[..., None]
    image = Image.fromarray(np.clip(np.asarray(picture, dtype=np.float32) * uneven, 0, 255).astype(np.uint8))
    return lit_scene(image, light, None, rng)
