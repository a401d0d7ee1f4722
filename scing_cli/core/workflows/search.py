"""A photo and an index -> the gallery's most similar images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from scing_cli.core.errors import DataError, ImageError, ScingError, SettingError
from scing_cli.core.figures import MontageHit, check_picture, ranked_montage, write_picture
from scing_cli.core.imagefile import crop_box, list_images, read_image
from scing_cli.core.index import GalleryIndex, Hit, file_keys
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.data import run_manifest
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model, reopen_model
from scing_cli.core.workflows.vectors import Box, embed_files, in_threads

DRAWN = 20  # photos in one picture
HITS_DRAWN = 50  # of each
CELL = (160, 320)  # pixels: a little more than the picture shows of one image


@dataclasses.dataclass(frozen=True)
class Found:
    """One photo's ranked hits.

    Args:
        query: The photo.
        hits: Best first.
    """

    query: Path
    hits: Sequence[Hit]


@dataclasses.dataclass(frozen=True)
class SearchReport:
    """What `search` found.

    Args:
        results: One entry per photo, in the order given.
        montage: The picture written, if asked for.
    """

    results: Sequence[Found]
    montage: Path | None


def search(
    photos: Sequence[Path],
    index: Path,
    *,
    run: Path | None = None,
    k: int = 10,
    box: Box | None = None,
    exclude_cameras: Sequence[str] = (),
    montage: Path | None = None,
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
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        ImageError: If a photo cannot be decoded.
        IndexFileError: If the index cannot be read, or was made by another model.
    """
    machine, reporter = machine or Machine(), reporter or Silent()
    if k < 1:
        raise SettingError(f"-k {k}: must be at least 1.")
    if montage is not None:
        check_picture(montage, option="--montage")
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
    if montage is not None:
        known = _known_identities(files[:DRAWN], model)
        write_montage(montage, results, known, box=box, workers=machine.threads(), reporter=reporter)
    return SearchReport(results, montage)


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


def write_montage(
    target: Path,
    results: Sequence[Found],
    identities: Mapping[Path, str],
    *,
    box: Box | None,
    workers: int,
    reporter: Reporter,
) -> None:
    """Draw photos with their hits; a gallery image that is gone or unreadable leaves its place empty.

    Args:
        target: A .png or .jpg file.
        results: Photos and hits; the first 20 are drawn, with 50 hits at most.
        identities: Who is in a photo, where that is known: then its hits are framed as right or wrong.
        box: Where the person is in every photo.
        workers: Threads that read images.
        reporter: Is told what is left out, and of the progress.
    """
    if len(results) > DRAWN:
        reporter.note(f"The picture shows the first {DRAWN} of {len(results)} photos.")
    if any(len(found.hits) > HITS_DRAWN for found in results):
        reporter.note(f"The picture shows the first {HITS_DRAWN} hits of each photo.")
    drawn = [Found(found.query, found.hits[:HITS_DRAWN]) for found in results[:DRAWN]]
    rows = list(dict.fromkeys(Path(hit.row.path) for found in drawn for hit in found.hits))
    pictures = in_threads(_gallery_picture, rows, workers=workers, reporter=reporter, text="read pictures")
    shown = dict(zip(rows, pictures, strict=True))
    queries = [(_picture(found.query, box), found.query.name) for found in drawn]
    hits = [[_montage_hit(hit, identities.get(found.query, ""), shown) for hit in found.hits] for found in drawn]
    write_picture(ranked_montage(queries, hits), target)


def _montage_hit(hit: Hit, identity: str, shown: Mapping[Path, Image.Image | None]) -> MontageHit:
    who = ", ".join(part for part in (hit.row.identity, f"camera {hit.row.camera}" if hit.row.camera else "") if part)
    caption = [f"{hit.score:.3f}", who, Path(hit.row.path).name]
    known = identity and hit.row.identity
    return MontageHit(shown[Path(hit.row.path)], caption, hit.row.identity == identity if known else None)


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


def _picture(file: Path, box: Box | None) -> Image.Image:
    """Read what is drawn of an image, no larger than the picture needs it."""
    image = read_image(file)
    image = image if box is None else crop_box(image, box)
    image.thumbnail(CELL, Image.Resampling.LANCZOS)
    return image


def _gallery_picture(file: Path) -> Image.Image | None:
    try:
        return _picture(file, None)
    except ImageError:
        return None


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
