"""A photo and an index -> the gallery's most similar images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import DataError, ImageError, ScingError, SettingError
from scing_cli.core.figures import MontageHit, ranked_montage
from scing_cli.core.imagefile import crop_box, list_images, read_image
from scing_cli.core.index import GalleryIndex, Hit
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.data import run_manifest
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model, reopen_model

Box = tuple[int, int, int, int]
DRAWN = 20  # photos in one picture
PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


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
        montage: A picture of the ranking to write.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        ImageError: If a photo cannot be decoded.
        IndexFileError: If the index cannot be read, or was made by another model.
    """
    machine, reporter = machine or Machine(), reporter or Silent()
    if k < 1:
        raise SettingError(f"-k {k}: must be at least 1.")
    if montage is not None and montage.suffix.lower() not in PICTURES:
        raise SettingError(f"--montage {montage}: unknown kind of picture.", f"Known: {', '.join(PICTURES)}.")
    files = _photos(photos)
    images = [_image(file, box) for file in files]
    opened = GalleryIndex.read(index)
    if k > len(opened):
        reporter.note(f"The index holds {len(opened)} rows: all are shown (-k {k}).")
    stamp = opened.stamp
    if run is None:
        model = reopen_model(stamp.model, stamp.model_digest, source=index, reporter=reporter)
    else:
        model = open_model(ModelChoice(run=run), reporter=reporter)
    embedder = machine.embedder(model.encoder, kind=stamp.descriptor)
    opened.check_model(model.digest, descriptor=stamp.descriptor, width=embedder.width, name=model.label())
    hits = opened.search(embedder.images(images), k, exclude_cameras=exclude_cameras)
    results = [Found(file, found) for file, found in zip(files, hits, strict=True)]
    if montage is not None:
        if len(results) > DRAWN:
            reporter.note(f"The picture shows the first {DRAWN} of {len(results)} photos.")
        write_montage(montage, results[:DRAWN], images[:DRAWN], _known_identities(files, model))
    return SearchReport(results, montage)


def write_montage(
    target: Path, results: Sequence[Found], images: Sequence[Image.Image], identities: Mapping[Path, str]
) -> None:
    """Draw each photo with its hits; a gallery image that is gone or unreadable leaves its place empty.

    Args:
        target: A .png or .jpg file.
        results: Photos and hits.
        images: The photos' pixels.
        identities: Who is in a photo, where that is known: then its hits are framed as right or wrong.
    """
    hits = [[_montage_hit(hit, identities.get(found.query, "")) for hit in found.hits] for found in results]
    queries = [(image, found.query.name) for image, found in zip(images, results, strict=True)]
    picture = ranked_montage(queries, hits)
    with replacing(target) as temporary:
        picture.save(temporary, format=PICTURES[target.suffix.lower()])


def _montage_hit(hit: Hit, identity: str) -> MontageHit:
    who = ", ".join(part for part in (hit.row.identity, f"camera {hit.row.camera}" if hit.row.camera else "") if part)
    caption = [f"{hit.score:.3f}", who, Path(hit.row.path).name]
    known = identity and hit.row.identity
    return MontageHit(_thumbnail(Path(hit.row.path)), caption, hit.row.identity == identity if known else None)


def _known_identities(photos: Sequence[Path], model: OpenedModel) -> dict[Path, str]:
    """Return who is in the photos that the model's own run has as labelled rows."""
    if model.run is None:
        return {}
    try:
        manifest = run_manifest(model.run, check_files=False)
    except ScingError:  # a run whose rows are gone can still search
        return {}
    wanted = {photo.absolute(): photo for photo in photos}
    rows = ((manifest.file(sample).absolute(), sample.identity) for sample in manifest)
    return {wanted[file]: identity for file, identity in rows if file in wanted}


def _thumbnail(file: Path) -> Image.Image | None:
    try:
        return read_image(file)
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


def _image(file: Path, box: Box | None) -> Image.Image:
    image = read_image(file)
    return image if box is None else crop_box(image, box)
