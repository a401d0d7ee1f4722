"""Reads, crops and scales images for figures, and writes their captions."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from scing_cli.core.artifacts import file_digest
from scing_cli.core.errors import ImageError
from scing_cli.core.figures import MontageHit
from scing_cli.core.imagefile import crop_box, read_image
from scing_cli.core.index import Hit, file_keys
from scing_cli.core.workflows.shared.vectors import Box

CELL = (160, 320)  # width and height in pixels: slightly more than a figure shows of one image


def montage_hit(hit: Hit, identity: str, picture: Image.Image | None, *, photo: Path | None = None) -> MontageHit:
    """Return a hit in the form that a montage draws; one that is the photo itself is marked.

    Args:
        hit: The hit.
        identity: The person in the photo; empty if unknown.
        picture: The image of the hit; None if its file cannot be read.
        photo: The photo's file; None if it has none.
    """
    path = Path(hit.row.path)
    itself = "" if photo is None else _itself(photo, hit)
    caption = [f"{hit.score:.3f}{itself}", who(hit.row.identity, hit.row.camera), path.name, f"in {path.parent.name}"]
    known = identity and hit.row.identity
    return MontageHit(picture, caption, hit.row.identity == identity if known else None)


def _itself(photo: Path, hit: Hit) -> str:
    """Return ` same file` or ` same bytes` for a hit that is the photo; empty for another one."""
    first, second = file_keys([photo, Path(hit.row.path)])
    if first == second:
        return " same file"
    return " same bytes" if hit.row.digest and digest_of(photo) == hit.row.digest else ""


def digest_of(file: Path) -> str:
    """Return the digest of a file's bytes; empty if it cannot be read any more."""
    try:
        return file_digest(file)
    except OSError:
        return ""


def who(identity: str, camera: str) -> str:
    """Return the caption line with identity and camera; empty if both are unknown.

    >>> who("0002", "3"), who("", "3")
    ('0002, camera 3', 'camera 3')
    """
    return ", ".join(part for part in (identity, f"camera {camera}" if camera else "") if part)


def read_person(file: Path, box: Box | None) -> Image.Image:
    """Read an image, cropped to the box of a person if one is given."""
    image = read_image(file)
    return image if box is None else crop_box(image, box)


def reduce(image: Image.Image) -> Image.Image:
    """Scale an image in place to at most the size that figures need."""
    image.thumbnail(CELL, Image.Resampling.LANCZOS)
    return image


def read_cell(file: Path, box: Box | None) -> Image.Image:
    """Read an image at the size that figures need, cropped to the box of a person if one is given."""
    return reduce(read_person(file, box))


def read_picture(file: Path) -> Image.Image | None:
    """Read an image at the size that figures need; None if it cannot be read."""
    try:
        return read_cell(file, None)
    except ImageError:
        return None
