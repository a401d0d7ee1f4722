"""Search an index for the images most similar to photos, or to words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.left_out import LeftOut, list_beside, report_left_out
from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.embeddings import Vectors
from scing_cli.core.errors import ScingError, SettingError
from scing_cli.core.figures import check_picture
from scing_cli.core.index import (
    Gallery,
    GalleryLocation,
    Hit,
    RowFilter,
    Stamp,
    as_location,
    best_of_each,
    file_keys,
)
from scing_cli.core.manifest import Sample
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.search.match_threshold import MatchRule, Threshold, find_threshold, say_threshold, split
from scing_cli.core.workflows.search.montage_file import shown_part, write_montage
from scing_cli.core.workflows.search.moved_images import MovedImages, with_present_paths
from scing_cli.core.workflows.search.observed_queries import beside_gallery, find_photos
from scing_cli.core.workflows.search.queries import Asked, Query, QueryHits, embed_queries
from scing_cli.core.workflows.search.query_photo import Photo
from scing_cli.core.workflows.search.rerank_hits import check_count, reranked_hits
from scing_cli.core.workflows.search.row_filters import check_index_filters, report_counts
from scing_cli.core.workflows.shared.embedder_choice import choose_in_background
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model, reopen_model
from scing_cli.core.workflows.shared.pictures import who
from scing_cli.core.workflows.shared.run_data import run_manifest
from scing_cli.core.workflows.shared.vectors import Box

__all__ = ["QueryHits", "SearchReport", "search"]


@dataclasses.dataclass(frozen=True)
class SearchReport:
    """The result of `search`.

    Args:
        results: The hits of each query, in the order of the photos.
        montage: The picture of the ranking; None if there is none.
        saliency: The picture with saliency; None if there is none.
        threshold: The lowest score of a match; None without a threshold.
        identities: Known identities of photos; only for pictures or with `identify`.
        joined: The photos that were joined into one query; empty if they were not.
        passed_over: What was passed over in folders of photos.
        left_out: Photos that cannot be read, with the reasons; they have no results.
    """

    results: Sequence[QueryHits]
    montage: Path | None
    saliency: Path | None = None
    threshold: Threshold | None = None
    identities: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    joined: Sequence[Path] = ()
    passed_over: Sequence[PassedOver] = ()
    left_out: Sequence[Dropped] = ()


def search(
    photos: StrPath | Sequence[StrPath],
    index: StrPath,
    *,
    near_infrared: StrPath | Sequence[StrPath] = (),
    thermal: StrPath | Sequence[StrPath] = (),
    texts: Sequence[str] = (),
    text_weight: float = 0.5,
    run: StrPath | None = None,
    model: StrPath | None = None,
    data: StrPath | None = None,
    k: int = 10,
    box: Box | None = None,
    allowed: RowFilter | None = None,
    allow_missing: bool = False,
    each_identity_once: bool = False,
    join: str | None = None,
    rerank: bool = False,
    wanted: MatchRule | None = None,
    montage: StrPath | None = None,
    saliency: StrPath | None = None,
    identify: bool = False,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> SearchReport:
    """Rank the rows of an index by their cosine with each photo, or with words.

    Args:
        photos: A file or a folder of files, or several; none for words alone, or for images of other spectra alone.
        index: The index: the path of a file, or an address such as `milvus://host/collection`.
        near_infrared: The near-infrared images of the same moments, as many and in the same order; without photos
            queries of their own.
        thermal: The thermal images, in the same way.
        texts: Descriptions of people, each a query; with photos only one, which is joined with each photo.
        text_weight: The weight of the words that are joined with a photo, from 0 to 1.
        run: The run with the model; None for the model that the index names.
        model: The place of the CLIP, ONNX file or IR that made the index, if it was moved.
        data: The folder that has the gallery's images now, if they were moved.
        k: Hits per photo.
        box: X, Y, W, H of the person in every photo, in pixels.
        allowed: Which rows may be returned; None for all.
        allow_missing: Whether the filters may name cameras and identities that the index does not have.
        each_identity_once: Whether to return only the best row of each identity.
        join: `mean` to join all photos, which show one person, into one query; None for one query per photo.
        rerank: Whether to order the nearest rows by k-reciprocal re-ranking.
        wanted: The threshold of a match; hits below it are left out. None for all k hits.
        montage: A picture of the ranking to write: at most 20 photos with at most 50 hits each.
        saliency: The same picture with heat maps of the regions that raise the hits' scores.
        identify: Whether to look up the identities of photos in the model's run.
        strict: Raise at the first photo that cannot be read, instead of leaving such photos out.
        machine: Device, precision and threads.
        reporter: Receives notes, warnings and progress.

    Raises:
        ImageError: If no photo can be read, or with `strict` if one cannot.
        IndexFileError: If the index cannot be read or was made by another model.
        SettingError: If a setting is not valid, a filter names what the index does not have, or no report of the model
            has a threshold for the rate.
    """
    location, run = as_location(index, reporter), as_path(run)
    montage, saliency = as_path(montage), as_path(saliency)
    machine = machine or Machine()
    if k < 1:
        raise SettingError(f"-k {k}: must be at least 1.")
    if rerank:
        check_count(k)
    _check_pictures(montage, saliency)
    queried, passed = find_photos((photos, near_infrared, thermal), reporter)
    moved = MovedImages(Path(data)) if data is not None else None
    stamp, allowed = location.stamp(), allowed or RowFilter()
    # before the model is loaded
    check_index_filters(location, allowed, grouped=each_identity_once, allow_missing=allow_missing, reporter=reporter)
    wanted = wanted or MatchRule()
    texts = _checked_texts(texts, stamp, photos=bool(queried), rerank=rerank, wanted=wanted)
    opened_model = _model(
        stamp,
        location,
        run,
        file=as_path(model),
        saliency=saliency is not None,
        wanted=wanted,
        words=bool(texts),
        reporter=reporter,
    )
    # The model loads in a thread while this one reads the index.
    kind, count = stamp.descriptor, len(queried)
    ready = choose_in_background(opened_model, machine, kind=kind, count=count, reporter=reporter) if queried else None
    opened = location.open()
    rows = opened.table
    left = report_counts(rows, k, allowed, once=each_identity_once, reporter=reporter)
    queried = beside_gallery(queried, rows, opened_model, moved=moved, boxed=box is not None, reporter=reporter)
    left_out, asked = LeftOut(strict=strict), Asked(queried, texts, text_weight, box, join)
    embedded = embed_queries(asked, opened, opened_model, ready, left_out=left_out, reporter=reporter)
    threshold = find_threshold(wanted, opened_model, opened.stamp, location, words=bool(texts))
    hits = _hits(opened, embedded.vectors, k, allowed, once=each_identity_once, rerank=rerank, reporter=reporter)
    if threshold is not None:
        say_threshold(threshold, left, differs=_differs(join, opened_model), reporter=reporter)
    pairs = zip(embedded.queries, hits, strict=True)
    results = [_matches(query, found, k, threshold, once=each_identity_once) for query, found in pairs]
    results = with_present_paths(results, moved, reporter)
    drawn = montage is not None or saliency is not None
    people = _known_people(embedded.photos, opened_model, as_path(data)) if identify or drawn else {}
    known = {photo: row.identity for photo, row in people.items()}
    if drawn:
        shown = shown_part(results, reporter)
        lines = {photo: list(filter(None, [who(row.identity, row.camera)])) for photo, row in people.items()}
        if montage is not None:
            write_montage(montage, shown, known, lines, box=box, workers=machine.threads(), reporter=reporter)
        if saliency is not None:
            from scing_cli.core.workflows.search.saliency_file import write_saliency  # only saliency needs torch

            # Saliency needs gradients, which an OpenVINO embedder does not have; the ranking does not change.
            embedder, vectors = machine.embedder(opened_model.encoder, kind=kind), embedded.vectors
            write_saliency(saliency, shown, vectors, known, lines, embedder=embedder, box=box, reporter=reporter)
    _report_left_out(left_out, count, montage or saliency, reporter)
    return SearchReport(results, montage, saliency, threshold, known, embedded.joined, passed, left_out.dropped())


def _report_left_out(left_out: LeftOut, total: int, picture: Path | None, reporter: Reporter) -> None:
    """Report the photos that cannot be read; if a picture was drawn, a file next to it lists all of them."""
    target = list_beside(picture) if picture is not None else None
    report_left_out(left_out.dropped(), total, reporter, what="photo", target=target)


def _model(
    stamp: Stamp,
    location: GalleryLocation,
    run: Path | None,
    *,
    file: Path | None,
    saliency: bool,
    wanted: MatchRule,
    words: bool,
    reporter: Reporter,
) -> OpenedModel:
    """Open the run's model, else the file, else the model that the index names; check what is wanted of it."""
    if run is not None and file is not None:
        raise SettingError("--run and --model were both given.", "Give the one that made the index.")
    if run is not None:
        model = open_model(ModelChoice(run=run), reporter=reporter)
    elif file is not None:
        from scing_cli.core.workflows.search.moved_model import open_moved

        model = open_moved(stamp, file, source=location, reporter=reporter)
    else:
        model = reopen_model(stamp.model, stamp.model_digest, source=location, reporter=reporter)
    if saliency and model.engine is not None:
        raise SettingError(
            f"--saliency needs a CLIP: {model.label()} is a finished graph, which gives no gradients.",
            "Leave --saliency out; --montage draws the ranking without heat maps.",
        )
    if model.digest == stamp.model_digest:
        find_threshold(wanted, model, stamp, location, words=words)
    return model


def _checked_texts(texts: Sequence[str], stamp: Stamp, *, photos: bool, rerank: bool, wanted: MatchRule) -> list[str]:
    """Check the texts; there must be one if there is no photo."""
    if texts:
        from scing_cli.core.workflows.search.text_queries import check_texts  # few searches need it

        return check_texts(texts, stamp, photos=photos, rerank=rerank, wanted=wanted)
    if not photos:
        raise SettingError("There is no query.", "Name a photo, or describe a person with --text.")
    return []


def _hits(
    index: Gallery, vectors: Vectors, k: int, allowed: RowFilter, *, once: bool, rerank: bool, reporter: Reporter
) -> list[list[Hit]]:
    """Return each photo's hits; with `rerank` more than k, and all rows of an identity."""
    if rerank:
        return reranked_hits(index, vectors, k, allowed=allowed, reporter=reporter)
    return index.search(vectors, k, allowed=allowed, each_identity_once=once)


def _differs(join: str | None, model: OpenedModel) -> str:
    """Return why the scores may differ from those measured in a report; empty if they do not."""
    if model.cameras:
        return (
            "The rate was measured with camera vectors; photos are embedded without them, so the rate may differ here."
        )
    return "The rate was measured with single photos; the mean of several scores higher." if join else ""


def _matches(query: Query, hits: Sequence[Hit], k: int, threshold: Threshold | None, *, once: bool) -> QueryHits:
    """Return the first k matches; with `once`, only the first match of each identity."""
    matches, best_below = split(hits, threshold)
    file = None if query.photo is None else query.photo.file
    kept = (best_of_each(matches) if once else matches)[:k]
    return QueryHits(file, kept, best_below, query.text, query.photo)


def _check_pictures(montage: Path | None, saliency: Path | None) -> None:
    """Raise before any work if a picture cannot be written or both have the same name."""
    if montage is not None:
        check_picture(montage, option="--montage")
    if saliency is not None:
        check_picture(saliency, option="--saliency")
        if montage is not None and montage.resolve() == saliency.resolve():
            raise SettingError(f"--saliency {saliency}: the same file as --montage.", "Name another file.")


def _known_people(photos: Sequence[Photo], model: OpenedModel, data: Path | None) -> dict[Path, Sample]:
    """Return the rows of photos that are images of the data set of the model's run."""
    if model.run is None:
        return {}
    try:
        manifest = run_manifest(model.run, moved_to=data, check_files=False)
    except ScingError:  # a run without its data set can still search
        return {}
    shown = [(manifest.root / path, row) for row in manifest for path in row.paths]
    rows = dict(zip(file_keys(file for file, _ in shown), (row for _, row in shown), strict=True))
    files = [photo.file for photo in photos]
    return {file: rows[key] for key, file in zip(file_keys(files), files, strict=True) if key in rows}
