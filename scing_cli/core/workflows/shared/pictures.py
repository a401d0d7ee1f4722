"""Reads, crops and scales images for figures, and writes their captions."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from scing_cli.core.artifacts import file_digest
from scing_cli.core.errors import ImageError
from scing_cli.core.figures import MontageHit, together
from scing_cli.core.imagefile import crop_box, read_image
from scing_cli.core.index import Hit, file_keys, joint_digest
from scing_cli.core.observation_images import read_views
from scing_cli.core.spectra import Observation, Source, image_files
from scing_cli.core.workflows.shared.vectors import Box

GONE = Image.new("RGB", (1, 2), "white")  # in the place of a picture that cannot be read
CELL = (160, 320)  # width and height in pixels: slightly more than a figure shows of one image


def montage_hit(hit: Hit, identity: str, picture: Image.Image | None, *, photo: Source | None = None) -> MontageHit:
    """Return a hit in the form that a montage draws; one that is the photo itself is marked.

    Args:
        hit: The hit.
        identity: The person in the photo; empty if unknown.
        picture: The image of the hit; None if its file cannot be read.
        photo: The photo's file, or the observation; None if it has none.
    """
    path = Path(hit.row.path)
    itself = "" if photo is None else _itself(photo, hit)
    caption = [f"{hit.score:.3f}{itself}", who(hit.row.identity, hit.row.camera), path.name, f"in {path.parent.name}"]
    known = identity and hit.row.identity
    return MontageHit(picture, caption, hit.row.identity == identity if known else None)


def _itself(photo: Source, hit: Hit) -> str:
    """Return ` same file` or ` same bytes` for a hit that is the photo, in all images; empty for another one."""
    if file_keys(image_files(photo)) == file_keys(hit.row.files):
        return " same file"
    return " same bytes" if hit.row.digest and digest_of(photo) == hit.row.digest else ""


def digest_of(source: Source) -> str:
    """Return the digest of a source's bytes, as in `index.Entry`; empty if a file cannot be read any more."""
    try:
        return joint_digest([file_digest(file) for file in image_files(source)])
    except OSError:
        return ""


def who(identity: str, camera: str) -> str:
    """Return the caption line with identity and camera; empty if both are unknown.

    >>> who("0002", "3"), who("", "3")
    ('0002, camera 3', 'camera 3')
    """
    return ", ".join(part for part in (identity, f"camera {camera}" if camera else "") if part)


def read_persons(source: Source, box: Box | None) -> list[Image.Image | None]:
    """Read the images of a source, each cropped to the box of a person if one is given; None for a missing one."""
    read = [read_image(source)] if isinstance(source, Path) else read_views(source.views)
    return [image if image is None or box is None else crop_box(image, box) for image in read]


def reduce(image: Image.Image) -> Image.Image:
    """Scale an image in place to at most the size that figures need."""
    image.thumbnail(CELL, Image.Resampling.LANCZOS)
    return image


def read_cell(source: Source, box: Box | None) -> Image.Image:
    """Read an image at the size that figures need, cropped to the box of a person if one is given.

    The images of an observation become one picture; those that it lacks are left out.
    """
    images = [reduce(image) for image in read_persons(source, box) if image is not None]
    return together(images) or GONE


def read_picture(source: Source) -> Image.Image | None:
    """Read an image, or the images of an observation, at the size that figures need; None if none can be read."""
    if isinstance(source, Path):
        return _cell(source)
    images = [_cell(Observation((view,))) for view in source.views if view is not None]
    return together(images)


def _cell(source: Source) -> Image.Image | None:
    try:
        return read_cell(source, None)
    except ImageError:
        return None
