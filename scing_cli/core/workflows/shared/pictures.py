"""Images as pictures show them: read, cropped, made small, with what stands below each."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from scing_cli.core.errors import ImageError
from scing_cli.core.figures import MontageHit
from scing_cli.core.imagefile import crop_box, read_image
from scing_cli.core.index import Hit
from scing_cli.core.workflows.shared.vectors import Box

CELL = (160, 320)  # pixels: a little more than a picture shows of one image


def montage_hit(hit: Hit, identity: str, picture: Image.Image | None) -> MontageHit:
    """Return a hit as it is drawn.

    Args:
        hit: The hit.
        identity: Who is in the photo; empty where that is not known.
        picture: What to show of the hit; None where its file cannot be read.
    """
    path = Path(hit.row.path)
    caption = [f"{hit.score:.3f}", who(hit.row.identity, hit.row.camera), path.name, f"in {path.parent.name}"]
    known = identity and hit.row.identity
    return MontageHit(picture, caption, hit.row.identity == identity if known else None)


def who(identity: str, camera: str) -> str:
    """Return what to say of an image below its score; empty where neither is known.

    >>> who("0002", "3"), who("", "3")
    ('0002, camera 3', 'camera 3')
    """
    return ", ".join(part for part in (identity, f"camera {camera}" if camera else "") if part)


def read_person(file: Path, box: Box | None) -> Image.Image:
    """Read an image, or the person in it."""
    image = read_image(file)
    return image if box is None else crop_box(image, box)


def reduce(image: Image.Image) -> Image.Image:
    """Make an image, itself, no larger than a picture needs it."""
    image.thumbnail(CELL, Image.Resampling.LANCZOS)
    return image


def read_cell(file: Path, box: Box | None) -> Image.Image:
    """Read an image, or the person in it, at the size that a picture needs."""
    return reduce(read_person(file, box))


def read_picture(file: Path) -> Image.Image | None:
    """Read an image as a picture shows it; None where it cannot be read."""
    try:
        return read_cell(file, None)
    except ImageError:
        return None
