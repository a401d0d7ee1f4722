"""Photos and their hits -> the picture of a ranking, or a strip for each photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from scing_cli.core.errors import ImageError
from scing_cli.core.figures import MontageHit, hits_beside, ranked_montage, ranked_strip, write_picture
from scing_cli.core.imagefile import crop_box, read_image
from scing_cli.core.index import Hit
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.vectors import Box, in_threads

DRAWN = 20  # photos in one picture
HITS_DRAWN = 50  # of each
CELL = (160, 320)  # pixels: a little more than the picture shows of one image


@dataclasses.dataclass(frozen=True)
class Found:
    """One photo's ranked hits.

    Args:
        query: The photo.
        hits: Best first.
        best_below: The best score of the hits that are no matches, where a threshold left some out.
    """

    query: Path
    hits: Sequence[Hit]
    best_below: float | None = None


def shown_part(results: Sequence[Found], reporter: Reporter) -> list[Found]:
    """Return what pictures show of a search: the first 20 photos, with 50 hits at most; the reporter is told."""
    if len(results) > DRAWN:
        reporter.note(f"The picture shows the first {DRAWN} of {len(results)} photos.")
    if any(len(found.hits) > HITS_DRAWN for found in results):
        reporter.note(f"The picture shows the first {HITS_DRAWN} hits of each photo.")
    return [dataclasses.replace(found, hits=found.hits[:HITS_DRAWN]) for found in results[:DRAWN]]


def write_montage(
    target: Path,
    shown: Sequence[Found],
    identities: Mapping[Path, str],
    *,
    box: Box | None,
    workers: int,
    reporter: Reporter,
) -> None:
    """Draw photos with their hits; a gallery image that is gone or unreadable leaves its place empty.

    Args:
        target: A .png or .jpg file.
        shown: Photos and hits; all are drawn.
        identities: Who is in a photo, where that is known: then its hits are framed as right or wrong.
        box: Where the person is in every photo.
        workers: Threads that read images.
        reporter: Is told of the progress.
    """
    rows = list(dict.fromkeys(Path(hit.row.path) for found in shown for hit in found.hits))
    read = in_threads(read_picture, rows, workers=workers, reporter=reporter, text="read pictures")
    pictures = dict(zip(rows, read, strict=True))
    queries = [(_photo(found.query, box), found.query.name) for found in shown]
    hits = [
        [montage_hit(hit, identities.get(found.query, ""), pictures[Path(hit.row.path)]) for hit in found.hits]
        for found in shown
    ]
    write_picture(ranked_montage(queries, hits), target)


def strip_of(found: Found, identity: str, *, box: Box | None, size: tuple[int, int], unit: int = 1) -> Image.Image:
    """Draw a photo with its first hits on one line; a gallery image that cannot be read leaves its place empty.

    Args:
        found: The photo and its hits.
        identity: Who is in the photo, where that is known: then its hits are framed as right or wrong.
        box: Where the person is in the photo.
        size: The width there is and the height of the picture, in pixels.
        unit: The width drawn is a multiple of this.

    Returns:
        See `figures.ranked_strip`.

    Raises:
        ImageError: If the photo cannot be decoded.
    """
    shown = found.hits[: hits_beside(size)]
    hits = [montage_hit(hit, identity, read_picture(Path(hit.row.path))) for hit in shown]
    return ranked_strip(_photo(found.query, box), hits, size=size, unit=unit)


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


def _photo(file: Path, box: Box | None) -> Image.Image:
    return reduce(read_person(file, box))


def read_picture(file: Path) -> Image.Image | None:
    """Read an image as a picture shows it; None where it cannot be read."""
    try:
        return _photo(file, None)
    except ImageError:
        return None
