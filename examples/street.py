"""Draw a street with synthetic people: a whole scene instead of a crop of one person.

python examples/street.py [--people COUNT] [--output street.jpg]

Prints the box of each person in the form that `scing search --box` reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scing_cli.core.synthetic import Person, draw_people
from scing_cli.core.synthetic.canvas import SCALE, Canvas, Part
from scing_cli.core.synthetic.figure import draw_figure
from scing_cli.core.synthetic.rig import Placement, Pose, Rig

WIDTH, HEIGHT = 1440, 720  # drawn at SCALE times the size of the photo
WALL, PAVEMENT = 300, 650  # lower edges, pixels
STANCES = ((600, 400, 0.5), (645, 440, -2.2), (625, 420, 0.3), (660, 455, 2.6), (610, 410, -0.7))  # foot, height, yaw
FOOT = 0.985  # statures from the crown
Box = tuple[int, int, int, int]


def main() -> None:
    given = _arguments()
    photo, boxes = draw_street(draw_people(given.people, "street"))
    photo.save(given.output)
    for box in boxes:
        print(",".join(map(str, box)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=len(STANCES), choices=range(1, len(STANCES) + 1), metavar="COUNT")
    parser.add_argument("--output", type=Path, default=Path("street.jpg"), help="the picture, .png or .jpg")
    return parser.parse_args()


def draw_street(people: Sequence[Person]) -> tuple[Image.Image, list[Box]]:
    """Return a photo, 720 x 360, of at most five people on a pavement, and the box of each: x, y, width, height."""
    canvas = Canvas(_background(), marks=False)
    boxes = []
    for number, (person, (foot, unit, yaw)) in enumerate(zip(people, STANCES, strict=False)):
        x = 150 + 285 * number
        canvas.ellipse((x, foot), unit * 0.15, unit * 0.024, (96, 95, 93), Part.SCENE)
        pose = Pose(yaw=yaw, stride=0.4, phase=1.3 * number + 0.5, bend=(0.2, 0.3), raised=0, lean=0.01)
        placement = Placement(x=x, top=foot - unit * FOOT, unit=unit, stretch=1.0, elevation=0.15)
        draw_figure(canvas, Rig(person, pose, placement))
        height = unit * 1.1
        left, top = x - height / 4, foot - unit * 1.035
        boxes.append((round(left / SCALE), round(top / SCALE), round(height / 2 / SCALE), round(height / SCALE)))
    sharp = canvas.picture.resize((WIDTH // SCALE, HEIGHT // SCALE), Image.Resampling.LANCZOS)
    light = np.asarray(sharp.filter(ImageFilter.GaussianBlur(0.6)), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, 4, (*light.shape[:2], 1))
    return Image.fromarray(np.clip(light + grain, 0, 255).astype(np.uint8)), boxes


def _background() -> Image.Image:
    """Draw a house with windows, the pavement in front of it, and the edge of the road."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (176, 160, 142))
    brush = ImageDraw.Draw(picture)
    for x in range(30, WIDTH, 150):
        for y in (20, 160):
            brush.rectangle((x, y, x + 84, y + 104), fill=(96, 112, 132), outline=(132, 118, 104), width=4)
            brush.line((x + 42, y, x + 42, y + 104), fill=(132, 118, 104), width=4)
    brush.rectangle((0, WALL, WIDTH, HEIGHT), fill=(150, 148, 144))
    brush.rectangle((0, WALL, WIDTH, WALL + 10), fill=(120, 112, 104))
    for x in range(-800, WIDTH + 800, 120):  # joints that converge in the distance
        far = WIDTH / 2 + (x - WIDTH / 2) * 0.55
        brush.line((far, WALL + 10, x, PAVEMENT), fill=(136, 134, 130), width=2)
    brush.rectangle((0, PAVEMENT, WIDTH, HEIGHT), fill=(104, 104, 108))
    brush.rectangle((0, PAVEMENT, WIDTH, PAVEMENT + 10), fill=(178, 174, 166))
    return picture


if __name__ == "__main__":
    main()
