"""A gallery of images -> a searchable index file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scing_cli.core.datasets.dataset import display_name, is_text
from scing_cli.core.embeddings import Embedder
from scing_cli.core.errors import DataError, ImageError, IndexFileError, SettingError
from scing_cli.core.imagefile import list_images
from scing_cli.core.index import GalleryIndex, entry_of
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.data import open_data
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model


@dataclasses.dataclass(frozen=True)
class GalleryChoice:
    """What shall be embedded.

    Args:
        data: A data set; None for the run's own.
        layout: How to read it.
        split: Which part of it: train, val, query, gallery or all.
        images: Any folder of images instead, without labels.
    """

    data: Path | None = None
    layout: str = "auto"
    split: str = "gallery"
    images: Path | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.images is not None:
            raise SettingError(
                "--data and --images were both given.", "--images takes a plain folder, --data a data set."
            )


@dataclasses.dataclass(frozen=True)
class EmbedReport:
    """What `embed` wrote.

    Args:
        index: The file.
        added: Rows added now.
        skipped: Images that were in the index already.
        count: Rows it holds.
        width: Of its vectors.
        model: What embedded them.
    """

    index: Path
    added: int
    skipped: int
    count: int
    width: int
    model: str


def embed(
    choice: ModelChoice,
    gallery: GalleryChoice,
    *,
    output: Path = Path("gallery.faiss"),
    append: bool = False,
    force: bool = False,
    descriptor: str = "projected",
    machine: Machine | None = None,
    reporter: Reporter | None = None,
) -> EmbedReport:
    """Embed images as unit vectors and write them, with their rows, as a FAISS inner-product index.

    Args:
        choice: Which model.
        gallery: Which images.
        output: The index to write.
        append: Add to an index of the same model what it does not hold yet.
        force: Replace an index that is there.
        descriptor: `projected` or `concat` (R10).
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        IndexFileError: If the index is there and neither `append` nor `force` was asked for, or it is of another model.
    """
    machine, reporter = machine or Machine(), reporter or Silent()
    if append and force:
        raise SettingError("--append and --force were both given.", "--append adds to an index, --force replaces it.")
    if output.exists() and not (append or force):
        raise IndexFileError(
            f"{output} is there already.", "Add to it with --append, replace it with --force, or name another --output."
        )
    model = open_model(choice, reporter=reporter)
    manifest = _rows(model, gallery, reporter)
    embedder = machine.embedder(model.encoder, kind=descriptor)
    base = _base(output, model, embedder) if append and output.exists() else None
    fresh = _unknown(base, manifest) if base else manifest
    vectors = embedder.files(fresh.files(), reporter=reporter, text="embed")
    entries = [entry_of(fresh.file(sample), identity=sample.identity, camera=sample.camera) for sample in fresh]
    if base is None:
        index = GalleryIndex.create(
            vectors, entries, model_digest=model.digest, model=model.where, descriptor=descriptor
        )
    else:
        index = base
        index.add(vectors, entries)
    if len(fresh):
        index.write(output)
    return EmbedReport(output, len(fresh), len(manifest) - len(fresh), len(index), index.width, model.label())


def folder_manifest(folder: Path, *, reporter: Reporter) -> Manifest:
    """Return the images of any folder as rows without labels, sorted by path.

    Raises:
        DataError: If it is no folder, or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.", "--images takes a folder of images.")
    found = list_images(folder)
    files = [file for file in found if is_text(str(file))]
    if len(files) < len(found):
        reporter.warn(f"{len(found) - len(files)} files of {folder} were left out: their names are no UTF-8.")
    if not files:
        raise DataError(f"{folder} holds no image.", "Known endings: .jpg .jpeg .png .bmp .tif .tiff .webp")
    samples = tuple(Sample(file.relative_to(folder).as_posix()) for file in files)
    return Manifest(folder, samples, display_name(folder))


def _rows(model: OpenedModel, gallery: GalleryChoice, reporter: Reporter) -> Manifest:
    if gallery.images is not None:
        return folder_manifest(gallery.images, reporter=reporter)
    return open_data(model.run, gallery.data, layout=gallery.layout, reporter=reporter).part(gallery.split)


def _base(output: Path, model: OpenedModel, embedder: Embedder) -> GalleryIndex:
    index = GalleryIndex.read(output)
    index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    return index


def _unknown(index: GalleryIndex, manifest: Manifest) -> Manifest:
    """Return the rows whose file, as it is now, is not in the index yet."""
    known = {(row.path, row.size, row.mtime) for row in index.rows()}
    fresh = tuple(sample for sample in manifest if _state(manifest.file(sample)) not in known)
    return dataclasses.replace(manifest, samples=fresh)


def _state(file: Path) -> tuple[str, int, int]:
    try:
        state = file.stat()
    except OSError as error:
        raise ImageError(
            f"{file} cannot be read: {error.strerror}.", "scing prepare DIR lists all such files."
        ) from error
    return file.absolute().as_posix(), state.st_size, state.st_mtime_ns
