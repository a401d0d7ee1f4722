"""Render one image of a person: pose, placement in the box, other people, occlusion, camera and caption."""

from __future__ import annotations

import dataclasses
import functools
import io
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.spectra import VISIBLE
from scing_cli.core.synthetic.cameras import Camera, compress, develop
from scing_cli.core.synthetic.canvas import HEIGHT, SCALE, SIZE, WIDTH, Canvas, Part
from scing_cli.core.synthetic.captions import Caption, Seen, write_captions
from scing_cli.core.synthetic.dice import around, between, chance, dice, pick
from scing_cli.core.synthetic.figure import draw_figure
from scing_cli.core.synthetic.materials import dressed, surroundings
from scing_cli.core.synthetic.occluders import THINGS, Layer, cover, draw_thing, passer_by, slide_in
from scing_cli.core.synthetic.people import Person, draw_people
from scing_cli.core.synthetic.rig import Placement, Pose, Rig
from scing_cli.core.synthetic.scenes import paint_scene

LEAST_HIDDEN, MOST_HIDDEN = 0.3, 0.6
DrawThing = Callable[..., tuple[Layer, np.random.Generator]]
"""Key -> something to put in front of the person, and the generator that drew it."""
_TRIES = 12  # things to try in front of the person before a plain wall


@dataclasses.dataclass(frozen=True, slots=True)
class Rendering:
    """One image with its captions.

    Args:
        jpeg: Content of the JPEG file: RGB, 64 pixels wide and 128 high in the drawn look.
        captions: Sentences about what this image shows; each has the phrases of the attributes that it names.
        hidden: Share of the person's pixels that something in front hides.
        person: The person on it.
        seen: What it shows of the person.
    """

    jpeg: bytes
    captions: tuple[Caption, ...]
    hidden: float
    person: Person
    seen: Seen

    @property
    def caption(self) -> str:
        """The first caption."""
        return self.captions[0].text

    @property
    def named(self) -> tuple[str, ...]:
        """The phrases of the attributes that the first caption names; at least three."""
        return self.captions[0].named

    def told(self, *key: int | str) -> str:
        """Return another caption of this image: the key decides which visible attributes it names, and its words."""
        return write_captions(self.person, self.seen, *key)[0].text


def render(person: Person, camera: Camera, *key: int | str) -> tuple[Image.Image, str]:
    """Return one image of a person, 64 x 128 RGB as decoded from the camera's JPEG, and its caption.

    Args:
        person: The person to draw.
        camera: The camera that records the image.
        key: Decides pose, placement, light and wording. `write_world` uses keys that begin with "world".
    """
    result = render_view(person, camera, *key)
    return Image.open(io.BytesIO(result.jpeg)).convert("RGB"), result.caption


def render_view(
    person: Person, camera: Camera, *key: int | str, occluded: bool = False, wording: str = ""
) -> Rendering:
    """Return one image of a person as a JPEG file, with its captions and the hidden share of the body.

    Args:
        person: The person to draw.
        camera: The camera that records the image.
        key: Together with person and camera, decides the image.
        occluded: True if something must hide 30-60 % of the body. Otherwise something stands in front in the share
            `camera.occluded` of the images, and seldom hides more than a third.
        wording: `usual` or `unmet` for two captions in this wording; empty for one in the usual wording. The image
            does not depend on it.
    """
    canvas, pose, hidden = _compose(person, camera, key, occluded=occluded)
    seen = Seen(count_parts(canvas), pose.yaw, camera.clarity)
    captions = write_captions(person, seen, *key, wording=wording)
    return Rendering(_record(canvas, camera, dice(*key, "light")), captions, hidden, person, seen)


def render_spectrum(person: Person, camera: Camera, *key: int | str, occluded: bool = False) -> bytes:
    """Return one image of a person as a JPEG file, in the spectrum of the camera.

    Equal keys give the same pose, surroundings and occlusion to the cameras of one place (`in_spectrum`): the images
    are registered. A visible image has the bytes that `render_view` gives.

    Args:
        person: The person to draw.
        camera: The camera that records the image.
        key: Together with person and camera, decides the image.
        occluded: As for `render_view`.
    """
    canvas, _, _ = _compose(person, camera, key, occluded=occluded)
    light = (*key, "light") if camera.spectrum == VISIBLE else (*key, "light", camera.spectrum)
    return _record(canvas, camera, dice(*light))


def _compose(
    person: Person, camera: Camera, key: tuple[int | str, ...], *, occluded: bool
) -> tuple[Canvas, Pose, float]:
    """Return what is in front of the camera, the person's pose, and the hidden share of the body."""
    rng = dice(*key, "view")
    canvas = Canvas(_seen(paint_scene(camera.scene, dice(*key, "scene")), camera))
    pose, placement = _draw_pose(camera, rng), _draw_placement(camera, rng)
    if chance(rng, camera.crowd):
        _draw_company(canvas, camera, placement, (*key, "company"))
    if camera.spectrum != "tir":
        _draw_shadow(canvas, placement)
    draw_figure(canvas, Rig(dressed(person, camera.spectrum), pose, placement))
    body = shown(canvas)
    thing = functools.partial(_thing, camera, placement)
    if occluded:
        hide(canvas, thing, _seen(Image.new("RGB", SIZE, camera.scene.accent), camera), *key)
    elif chance(rng, camera.occluded):
        cover_some(canvas, thing, *key, "thing")
    return canvas, pose, 1 - int(shown(canvas).sum()) / max(1, int(body.sum()))


def _record(canvas: Canvas, camera: Camera, light: np.random.Generator) -> bytes:
    person = Image.fromarray(shown(canvas).astype(np.uint8) * 255)
    return compress(develop(canvas.picture, person, camera, light), camera, light)


def _seen(picture: Image.Image, camera: Camera) -> Image.Image:
    return surroundings(picture, camera.spectrum, camera.ambient)


def _draw_pose(camera: Camera, rng: np.random.Generator) -> Pose:
    """Return a pose: people walk past the camera in either direction, or stand with any orientation."""
    walking = chance(rng, 0.75)
    yaw = camera.heading + (math.pi if chance(rng, 0.5) else 0.0) + around(rng, 0.0, 0.5)
    if not walking:
        yaw = between(rng, -math.pi, math.pi)
    return Pose(
        yaw=yaw,
        stride=between(rng, 0.25, 0.55) if walking else between(rng, 0.0, 0.1),
        phase=between(rng, 0.0, 2 * math.pi),
        bend=(between(rng, 0.0, 0.5), between(rng, 0.0, 0.5)),
        raised=pick(rng, (-1, 1)) if chance(rng, 0.12) else 0,
        lean=between(rng, 0.0, 0.025),
    )


def _draw_placement(camera: Camera, rng: np.random.Generator) -> Placement:
    """Return where the person stands in the box of an imprecise detector."""
    width, height = SIZE
    unit = height * camera.scale * math.exp(around(rng, 0.0, camera.slack))
    middle = height * (0.5 + around(rng, 0.0, camera.slack * 0.6))
    return Placement(
        x=width * (0.5 + around(rng, 0.0, camera.slack * 1.5)),
        top=middle - unit * (0.5 + camera.elevation * 0.03),
        unit=unit,
        stretch=between(rng, 0.9, 1.16),
        elevation=camera.elevation,
    )


def _draw_company(canvas: Canvas, camera: Camera, placement: Placement, key: tuple[int | str, ...]) -> None:
    """Draw a second person at the edge of the box, behind the first."""
    rng = dice(*key)
    side = pick(rng, (-1, 1))
    other = dataclasses.replace(
        placement,
        x=placement.x + side * placement.unit * between(rng, 0.2, 0.34),
        top=placement.top - between(rng, 0, 14),
        unit=placement.unit * between(rng, 0.8, 1.0),
    )
    unmarked = Canvas(canvas.picture, marks=False)
    draw_figure(unmarked, Rig(dressed(draw_people(1, *key)[0], camera.spectrum), _draw_pose(camera, rng), other))


def _draw_shadow(canvas: Canvas, placement: Placement) -> None:
    foot = (placement.x, placement.top + placement.unit * 0.985)
    red, green, blue = canvas.picture.getpixel((SIZE[0] // 2, min(SIZE[1] - 1, max(0, round(foot[1])))))  # type: ignore[misc]
    canvas.ellipse(
        foot, placement.unit * 0.13, placement.unit * 0.022, (red * 5 // 8, green * 5 // 8, blue * 5 // 8), Part.SCENE
    )


def _thing(camera: Camera, placement: Placement, *key: int | str) -> tuple[Layer, np.random.Generator]:
    """Return something to put in front of the person, and the generator that drew it."""
    rng = dice(*key)
    kind = draw_thing(rng)
    if kind in THINGS:
        layer = THINGS[kind](rng)
        return dataclasses.replace(layer, picture=_seen(layer.picture, camera)), rng
    stranger = Canvas(Image.new("RGB", SIZE))
    near = dataclasses.replace(
        placement, x=SIZE[0] / 2, unit=placement.unit * 1.08, top=placement.top + between(rng, 0, 20)
    )
    draw_figure(stranger, Rig(dressed(draw_people(1, *key)[0], camera.spectrum), _draw_pose(camera, rng), near))
    return passer_by(stranger, rng), rng


def cover_some(canvas: Canvas, thing: DrawThing, *key: int | str) -> None:
    """Hide a part of the person, seldom more than a third, behind a thing that `thing` draws."""
    layer, rng = thing(*key)
    share = slide_in(layer, shown(canvas), between(rng, 0.08, 0.35))
    cover(canvas, layer, share)


def hide(canvas: Canvas, thing: DrawThing, wall: Image.Image, *key: int | str) -> None:
    """Hide 30-60 % of the person: try several things that `thing` draws and, if none fits, put a wall there."""
    body = shown(canvas)
    total = int(body.sum())
    for attempt in range(_TRIES):
        layer, rng = thing(*key, "hide", attempt)
        share = slide_in(layer, body, between(rng, LEAST_HIDDEN + 0.04, MOST_HIDDEN - 0.04))
        trial = Canvas(canvas.picture.copy())
        trial.parts = canvas.parts.copy()
        cover(trial, layer, share)
        if LEAST_HIDDEN <= 1 - int(shown(trial).sum()) / total <= MOST_HIDDEN:
            canvas.repaint(trial.picture)
            canvas.parts = trial.parts
            return
    from_below = np.cumsum(body.sum(axis=1)[::-1])[::-1] / total  # (H,), share of the body in this row and below
    row = int(np.argmin(np.abs(from_below - 0.45)))
    cover(canvas, Layer(wall, Image.new("L", SIZE, 255), (0, row), (0, row)), 1.0)


def shown(canvas: Canvas) -> npt.NDArray[np.bool_]:
    """Return where the person is visible: bool, shape (height, width) of the canvas."""
    shown: npt.NDArray[np.bool_] = np.asarray(canvas.parts) != int(Part.SCENE)
    return shown


def count_parts(canvas: Canvas) -> dict[Part, int]:
    """Return the number of pixels that show each part, of 64 x 128."""
    counts = np.bincount(np.asarray(canvas.parts)[::SCALE, ::SCALE].reshape(WIDTH * HEIGHT), minlength=len(Part))
    return {part: int(counts[part]) for part in Part}
