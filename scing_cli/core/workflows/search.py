"""A photo and an index -> the gallery's most similar images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.errors import DataError, ImageError, ScingError, SettingError
from scing_cli.core.figures import check_picture
from scing_cli.core.imagefile import list_images
from scing_cli.core.index import GalleryIndex, file_keys
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.data import run_manifest
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model, reopen_model
from scing_cli.core.workflows.montage import Found, shown_part, write_montage
from scing_cli.core.workflows.saliency import write_saliency
from scing_cli.core.workflows.vectors import Box, embed_files

__all__ = ["Found", "SearchReport", "search"]


@dataclasses.dataclass(frozen=True)
class SearchReport:
    """What `search` found.

    Args:
        results: One entry per photo, in the order given.
        montage: The picture of the ranking, if asked for.
        saliency: The picture of what makes the hits alike, if asked for.
    """

    results: Sequence[Found]
    montage: Path | None
    saliency: Path | None = None


def search(
    photos: Sequence[Path],
    index: Path,
    *,
    run: Path | None = None,
    k: int = 10,
    box: Box | None = None,
    exclude_cameras: Sequence[str] = (),
    montage: Path | None = None,
    saliency: Path | None = None,
    machine: Machine | None = None,
    reporter: Reporter | None = None,
) -> SearchReport:
    """Rank an index's rows by their cosine to each photo.

    Args:
        photos: Files, or folders of them.
        index: The index.
        run: The model to use; None for the one the index names.
        k: Hits per photo.
        box: X, Y, W, H of the person in every photo, in pixels.
        exclude_cameras: Cameras whose rows are left out.
        montage: A picture of the ranking to write: of at most 20 photos, with at most 50 hits each.
        saliency: The same with the regions marked that drive the hits' cosines; see `write_saliency`.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        ImageError: If a photo cannot be decoded.
        IndexFileError: If the index cannot be read, or was made by another model.
    """
    machine, reporter = machine or Machine(), reporter or Silent()
    if k < 1:
        raise SettingError(f"-k {k}: must be at least 1.")
    _check_pictures(montage, saliency)
    files = _photos(photos)
    opened = GalleryIndex.read(index)
    _say_what_is_left(opened, k, exclude_cameras, reporter)
    stamp = opened.stamp
    if run is None:
        model = reopen_model(stamp.model, stamp.model_digest, source=index, reporter=reporter)
    else:
        model = open_model(ModelChoice(run=run), reporter=reporter)
    embedder = machine.embedder(model.encoder, kind=stamp.descriptor)
    opened.check_model(model.digest, descriptor=stamp.descriptor, width=embedder.width, name=model.label())
    try:
        vectors = embed_files(embedder, files, box=box, reporter=reporter, text="embed")
    except ImageError as error:
        raise ImageError(error.what, "Name a photo of one person, or a folder of such photos.") from error
    hits = opened.search(vectors, k, exclude_cameras=exclude_cameras)
    results = [Found(file, found) for file, found in zip(files, hits, strict=True)]
    if montage is not None or saliency is not None:
        shown = shown_part(results, reporter)
        known = _known_identities([found.query for found in shown], model)
        if montage is not None:
            write_montage(montage, shown, known, box=box, workers=machine.threads(), reporter=reporter)
        if saliency is not None:
            write_saliency(saliency, shown, vectors, known, embedder=embedder, box=box, reporter=reporter)
    return SearchReport(results, montage, saliency)


def _check_pictures(montage: Path | None, saliency: Path | None) -> None:
    """Refuse, before any work, a picture that cannot be written, and two of one name."""
    if montage is not None:
        check_picture(montage, option="--montage")
    if saliency is not None:
        check_picture(saliency, option="--saliency")
        if montage is not None and montage.resolve() == saliency.resolve():
            raise SettingError(f"--saliency {saliency}: the same file as --montage.", "Name another file.")


def _say_what_is_left(index: GalleryIndex, k: int, excluded: Sequence[str], reporter: Reporter) -> None:
    """Say where a camera is left out that the index does not know, and where there will be fewer than k hits."""
    rows = index.rows()
    cameras = {row.camera for row in rows}
    known = ", ".join(sorted(cameras - {""})) or "none"
    for camera in excluded:
        if camera not in cameras:
            reporter.warn(f"--exclude-camera {camera}: the index has no row of that camera; it knows: {known}.")
    left = sum(row.camera not in excluded for row in rows)
    without = f"Without camera {', '.join(excluded)} the" if left < len(rows) else "The"
    if left == 0:
        reporter.warn(f"{without} index holds no row: there are no hits.")
    elif k > left:
        reporter.note(f"{without} index holds {left} rows: all are shown (-k {k}).")


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


def _photos(photos: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for photo in photos:
        if photo.is_dir():
            inside = list_images(photo)
            if not inside:
                raise DataError(f"{photo} holds no image.", "Name a photo, or a folder of photos.")
            files += inside
        else:
            files.append(photo)
    return files
