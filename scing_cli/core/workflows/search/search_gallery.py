"""A photo and an index -> the gallery's most similar images."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import ImageError, ScingError, SettingError, counted
from scing_cli.core.figures import check_picture
from scing_cli.core.index import (
    GalleryIndex,
    Hit,
    Row,
    RowFilter,
    Stamp,
    best_of_each,
    check_complete,
    file_keys,
    read_stamp,
)
from scing_cli.core.paths import StrPath, as_path, as_paths
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.search.match_threshold import MatchRule, Threshold, find_threshold, say_threshold, split
from scing_cli.core.workflows.search.montage_file import shown_part, write_montage
from scing_cli.core.workflows.search.queries import QueryHits, hint_at_boxes, photo_files
from scing_cli.core.workflows.search.queries import join as joined
from scing_cli.core.workflows.search.rerank_hits import check_count, reranked_hits
from scing_cli.core.workflows.shared.embedder_choice import choose_in_background
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model, reopen_model
from scing_cli.core.workflows.shared.run_data import run_manifest
from scing_cli.core.workflows.shared.vectors import Box, embed_files

__all__ = ["QueryHits", "SearchReport", "search"]

SHOWN = 20  # names of cameras or identities in a message


@dataclasses.dataclass(frozen=True)
class SearchReport:
    """What `search` found.

    Args:
        results: One entry per photo, in the order given.
        montage: The picture of the ranking, if asked for.
        saliency: The picture of what makes the hits alike, if asked for.
        threshold: The lowest score of a hit, if one was asked for.
        identities: Who is in a photo, where that is known; looked up where it is asked for or drawn.
        joined: The photos that made one query, if they were joined.
    """

    results: Sequence[QueryHits]
    montage: Path | None
    saliency: Path | None = None
    threshold: Threshold | None = None
    identities: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    joined: Sequence[Path] = ()


def search(
    photos: StrPath | Sequence[StrPath],
    index: StrPath,
    *,
    run: StrPath | None = None,
    k: int = 10,
    box: Box | None = None,
    allowed: RowFilter | None = None,
    each_identity_once: bool = False,
    join: str | None = None,
    rerank: bool = False,
    wanted: MatchRule | None = None,
    montage: StrPath | None = None,
    saliency: StrPath | None = None,
    identify: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> SearchReport:
    """Rank an index's rows by their cosine to each photo.

    Args:
        photos: A file or a folder of files, or several.
        index: The index.
        run: The model to use; None for the one the index names.
        k: Hits per photo.
        box: X, Y, W, H of the person in every photo, in pixels.
        allowed: Which rows may be found.
        each_identity_once: Whether only the best row of an identity is a hit.
        join: How the photos, all of one person, make one query: `mean`; None for a query each.
        rerank: Whether the nearest rows are put into another order; see `candidates.reranked_hits`.
        wanted: Which score is a match; hits that score less are left out. None: all k are shown.
        montage: A picture of the ranking to write: of at most 20 photos, with at most 50 hits each.
        saliency: The same with the regions marked that drive the hits' cosines; see `write_saliency`.
        identify: Whether the report says who is in the photos, where the model's own run knows them.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        ImageError: If a photo cannot be decoded.
        IndexFileError: If the index cannot be read, or was made by another model.
        SettingError: If a rate is asked for that no report of the model can say.
    """
    index, run, montage, saliency = as_path(index), as_path(run), as_path(montage), as_path(saliency)
    machine = machine or Machine()
    if k < 1:
        raise SettingError(f"-k {k}: must be at least 1.")
    if rerank:
        check_count(k)
    _check_pictures(montage, saliency)
    files = photo_files(as_paths(photos))
    check_complete(index)
    stamp = read_stamp(index)
    model = _model(stamp, index, run, reporter)
    waiting = choose_in_background(model, machine, kind=stamp.descriptor, count=len(files), reporter=reporter)
    opened, allowed = GalleryIndex.read(index), allowed or RowFilter()
    rows = opened.rows()
    left = _say_what_is_left(rows, k, allowed, each_identity_once, reporter)
    if box is None:
        hint_at_boxes(files, rows, reporter)
    embedder = waiting()
    opened.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    threshold = find_threshold(wanted or MatchRule(), model, opened.stamp, index)
    vectors = _vectors(files, embedder, box, reporter)
    together: Sequence[Path] = ()
    if join is not None:
        reporter.note(f"{counted(len(files), 'photo makes', 'photos make')} one query, named after the first.")
        vectors, together, files = joined(vectors, join), files, files[:1]
    hits = _hits(opened, vectors, k, allowed, once=each_identity_once, rerank=rerank, reporter=reporter)
    if threshold is not None:
        say_threshold(threshold, left, differs=_differs(join, model), reporter=reporter)
    results = [_found(file, own, k, threshold, each_identity_once) for file, own in zip(files, hits, strict=True)]
    drawn = montage is not None or saliency is not None
    known = _known_identities(files, model) if identify or drawn else {}
    if drawn:
        shown = shown_part(results, reporter)
        if montage is not None:
            write_montage(montage, shown, known, box=box, workers=machine.threads(), reporter=reporter)
        if saliency is not None:
            from scing_cli.core.workflows.search.saliency_file import write_saliency  # all else goes without torch

            tower = machine.embedder(
                model.encoder, kind=embedder.kind
            )  # gradients; the ranking is as without a picture
            write_saliency(saliency, shown, vectors, known, embedder=tower, box=box, reporter=reporter)
    return SearchReport(results, montage, saliency, threshold, known, together)


def _model(stamp: Stamp, source: Path, run: Path | None, reporter: Reporter) -> OpenedModel:
    """Open the model that was asked for, or the one the index names."""
    if run is not None:
        return open_model(ModelChoice(run=run), reporter=reporter)
    return reopen_model(stamp.model, stamp.model_digest, source=source, reporter=reporter)


def _vectors(files: Sequence[Path], embedder: Embedder, box: Box | None, reporter: Reporter) -> Vectors:
    try:
        return embed_files(embedder, files, box=box, reporter=reporter, text="embed")
    except ImageError as error:
        raise ImageError(error.what, "Name a photo of one person, or a folder of such photos.") from error


def _hits(
    index: GalleryIndex, vectors: Vectors, k: int, allowed: RowFilter, *, once: bool, rerank: bool, reporter: Reporter
) -> list[list[Hit]]:
    """Return each photo's hits; re-ranked ones are more than k, each identity's rows among them."""
    if rerank:
        return reranked_hits(index, vectors, k, allowed=allowed, reporter=reporter)
    return index.search(vectors, k, allowed=allowed, each_identity_once=once)


def _differs(join: str | None, model: OpenedModel) -> str:
    """Say how these photos' scores differ from those that a report has measured; empty where they do not."""
    if model.cameras:
        return "The rate was measured with camera vectors, which photos go without: it may be another here."
    return "The rate was measured with single photos; the mean of several scores higher." if join else ""


def _found(photo: Path, hits: Sequence[Hit], k: int, threshold: Threshold | None, once: bool) -> QueryHits:
    """Return the first k hits that are matches; where identities count once, each by its first match."""
    kept, best_below = split(hits, threshold)
    return QueryHits(photo, (best_of_each(kept) if once else kept)[:k], best_below)


def _check_pictures(montage: Path | None, saliency: Path | None) -> None:
    """Refuse, before any work, a picture that cannot be written, and two of one name."""
    if montage is not None:
        check_picture(montage, option="--montage")
    if saliency is not None:
        check_picture(saliency, option="--saliency")
        if montage is not None and montage.resolve() == saliency.resolve():
            raise SettingError(f"--saliency {saliency}: the same file as --montage.", "Name another file.")


def _say_what_is_left(rows: Sequence[Row], k: int, allowed: RowFilter, once: bool, reporter: Reporter) -> int:
    """Say what a filter names that the index does not know, and where there will be fewer than k hits.

    Returns how many rows may be found.
    """
    for option, names, field in (
        ("--camera", allowed.cameras, "camera"),
        ("--exclude-camera", allowed.without_cameras, "camera"),
        ("--identity", allowed.identities, "identity"),
        ("--exclude-identity", allowed.without_identities, "identity"),
    ):
        _say_unknown(option, names, {getattr(row, field) for row in rows} - {""}, field, reporter)
    kept = [row for row in rows if allowed(row)] if allowed else rows
    there = len({row.identity or row.id for row in kept}) if once else len(kept)
    what = counted(there, "person", "people") if once else counted(there, "row")
    subject = "The filters leave" if allowed else "The index holds"
    if there == 0:
        reporter.warn(f"{subject} no row: there are no hits.")
    elif k > there:
        reporter.note(f"{subject} {what}: all are shown (-k {k}).")
    return len(kept)


def _say_unknown(option: str, names: Collection[str], known: Collection[str], field: str, reporter: Reporter) -> None:
    for name in sorted(set(names) - set(known)):
        close = difflib.get_close_matches(name, known, n=3) if len(known) > SHOWN else sorted(known)
        some = f"; it knows: {', '.join(close)}" if close else "; it knows none" if not known else ""
        reporter.warn(f"{option} {name}: the index has no row of that {field}{some}.")


def _known_identities(photos: Sequence[Path], model: OpenedModel) -> dict[Path, str]:
    """Return who is in the photos that the model's own run has as labelled rows."""
    if model.run is None:
        return {}
    try:
        manifest = run_manifest(model.run, check_files=False)
    except ScingError:  # a run whose rows are gone can still search
        return {}
    people = {key: sample.identity for key, sample in zip(file_keys(manifest.files()), manifest, strict=True)}
    return {photo: people[key] for key, photo in zip(file_keys(photos), photos, strict=True) if key in people}
