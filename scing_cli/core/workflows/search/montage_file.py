"""Draw the hits of a search: one picture of all rankings, or a strip for one photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from scing_cli.core.figures import (
    Layout,
    MontageHit,
    hits_that_fit,
    layout_of,
    ranked_montage,
    ranked_strip,
    words_picture,
    write_picture,
)
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Observation, Source
from scing_cli.core.workflows.search.queries import QueryHits
from scing_cli.core.workflows.shared.pictures import montage_hit, read_cell, read_picture
from scing_cli.core.workflows.shared.vectors import Box, in_threads

DRAWN = 20  # photos in one picture
HITS_DRAWN = 50  # hits of each photo


def shown_part(results: Sequence[QueryHits], reporter: Reporter) -> list[QueryHits]:
    """Return the first 20 photos with at most 50 hits each, and report what is left out."""
    if len(results) > DRAWN:
        reporter.note(f"The picture shows the first {DRAWN} of {len(results)} photos.")
    if any(len(found.hits) > HITS_DRAWN for found in results):
        reporter.note(f"The picture shows the first {HITS_DRAWN} hits of each photo.")
    return [dataclasses.replace(found, hits=found.hits[:HITS_DRAWN]) for found in results[:DRAWN]]


def write_montage(
    target: Path,
    shown: Sequence[QueryHits],
    identities: Mapping[Path, str],
    people: Mapping[Path, Sequence[str]],
    *,
    box: Box | None,
    workers: int,
    reporter: Reporter,
) -> None:
    """Draw photos with their hits. A gallery image that is missing or unreadable leaves its cell empty.

    Args:
        target: A .png or .jpg file.
        shown: Photos and hits; all are drawn.
        identities: The known identities of photos; the hits of these photos are framed as right or wrong.
        people: Lines with identity and camera of photos, where they are known.
        box: The person's box in every photo.
        workers: Threads that read images.
        reporter: Receives progress.
    """
    rows = list(dict.fromkeys(hit.row.picture for found in shown for hit in found.hits))
    read = in_threads(read_picture, rows, workers=workers, reporter=reporter, text="read pictures")
    pictures = dict(zip(rows, read, strict=True))
    queries = [(query_cell(found, box), query_lines(found, people)) for found in shown]
    hits = [
        [
            montage_hit(hit, identity_of(found, identities), pictures[hit.row.picture], photo=photo_of(found, box))
            for hit in found.hits
        ]
        for found in shown
    ]
    write_picture(ranked_montage(queries, hits, layout=layout_for(shown, hits)), target)


def layout_for(shown: Sequence[QueryHits], hits: Sequence[Sequence[MontageHit]]) -> Layout | None:
    """Return sizes for pictures of several spectra; None for ordinary images."""
    if not any(isinstance(hit.row.picture, Observation) for found in shown for hit in found.hits):
        return None
    return layout_of([hit.image for ranking in hits for hit in ranking], hits=[len(ranking) for ranking in hits])


def query_cell(found: QueryHits, box: Box | None) -> Image.Image:
    """Return the picture of a query: its photo, all its images, or its words."""
    return words_picture(found.text) if found.picture is None else read_cell(found.picture, box)


def query_lines(found: QueryHits, people: Mapping[Path, Sequence[str]]) -> list[str]:
    """Return the lines below the picture of a query; words alone stand in the picture."""
    if found.query is None:
        return []
    names = [file.name for file in (found.shown.files if found.shown is not None else (found.query,))]
    return [*people.get(found.query, ()), *dict.fromkeys(names), *([f"+ {found.text}"] if found.text else [])]


def identity_of(found: QueryHits, identities: Mapping[Path, str]) -> str:
    """Return the identity of a query's photo; empty if it is unknown."""
    return "" if found.query is None else identities.get(found.query, "")


def photo_of(found: QueryHits, box: Box | None) -> Source | None:
    """Return the photo that was searched; None if it was a part of it, which no gallery image equals."""
    return found.picture if box is None else None


def strip_of(found: QueryHits, identity: str, *, box: Box | None, size: tuple[int, int], unit: int = 1) -> Image.Image:
    """Draw a photo with its first hits in one line. A gallery image that cannot be read leaves its cell empty.

    Args:
        found: The photo and its hits.
        identity: The photo's identity, if it is known: then its hits are framed as right or wrong.
        box: The person's box in the photo.
        size: Available width and height of the picture, in pixels.
        unit: The picture's width is a multiple of this, in pixels.

    Returns:
        The strip, made by `figures.ranked_strip`.

    Raises:
        ImageError: If the photo cannot be decoded.
    """
    shown = found.hits[: hits_that_fit(size)]
    hits = [montage_hit(hit, identity, read_picture(_first(hit.row.picture))) for hit in shown]
    query = words_picture(found.text) if found.picture is None else read_cell(_first(found.picture), box)
    return ranked_strip(query, hits, size=size, unit=unit)


def _first(picture: Source) -> Source:
    """Return the first image of an observation: a strip of the terminal has no room for all."""
    return picture if isinstance(picture, Path) else Observation(picture.views[:1])
