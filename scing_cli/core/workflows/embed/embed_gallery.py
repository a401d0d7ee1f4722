"""A gallery of images -> a searchable index file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.datasets.dataset import display_name, is_text
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.embeddings.openvino_embedder import CROPS
from scing_cli.core.errors import UNREADABLE_REMEDY, DataError, ImageError, IndexFileError, SettingError, spelled
from scing_cli.core.imagefile import list_images
from scing_cli.core.index import (
    Entry,
    GalleryIndex,
    Row,
    check_writable,
    choose_kind,
    entry_of,
    file_keys,
    file_state,
    partial_file,
    write_lock,
)
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.paths import StrPath, as_path, paths_in_place
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.embed_report import EmbedReport, report_of
from scing_cli.core.workflows.embed.partial_index import MINUTES, PartialIndex, PartialWriter
from scing_cli.core.workflows.embed.prune import drop_missing
from scing_cli.core.workflows.shared.embedder_choice import Crops, choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model
from scing_cli.core.workflows.shared.run_data import open_data, own_cameras
from scing_cli.core.workflows.shared.vectors import in_threads


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
        paths_in_place(self, "data", "images")
        if self.data is not None and self.images is not None:
            raise SettingError(
                "--data and --images were both given.", "--images takes a plain folder, --data a data set."
            )


@dataclasses.dataclass(frozen=True)
class _Fresh:
    """What an index shall take in.

    Args:
        files: The images.
        entries: Their rows.
        stale: The ids of the rows that some of them replace.
        replaced: How many of them replace rows.
    """

    files: Sequence[Path]
    entries: Sequence[Entry]
    stale: Sequence[int]
    replaced: int


def embed(
    choice: ModelChoice,
    gallery: GalleryChoice,
    *,
    output: StrPath = Path("gallery.faiss"),
    append: bool = False,
    prune: bool = False,
    force: bool = False,
    index_type: str = "auto",
    descriptor: str = "projected",
    save_minutes: float = MINUTES,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> EmbedReport:
    """Embed images as unit vectors and write them, with their rows, as a FAISS inner-product index.

    Args:
        choice: Which model.
        gallery: Which images; one that is named twice is embedded once.
        output: The index to write.
        append: Add to an index of the same model what it does not hold yet; nobody else can write it meanwhile.
        prune: With `append`: drop rows whose files are gone, whatever they were embedded from.
        force: Replace an index that is there.
        index_type: What faiss keeps the vectors in: auto (by their number), flat, ivf or hnsw; `append` keeps the kind.
        descriptor: `projected` or `concat` (R10).
        save_minutes: What is done is kept that often, so that the same command goes on after an interruption.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        InterruptionError: On Ctrl-C or SIGTERM.
        IndexFileError: If the index is there and neither `append` nor `force` was asked for, it is of another model,
            another process is writing it, or it cannot be written there.
    """
    output = as_path(output)
    machine = machine or Machine()
    choose_kind(index_type, 0)  # an unknown name is refused before any work
    _check_output(output, append=append, force=force)
    model = open_model(choice, reporter=reporter)
    rows, whole = _rows(model, gallery, reporter)
    manifest = _unique(rows, reporter)
    cameras = dict(zip(manifest.files(), own_cameras(manifest, whole, model.run), strict=True)) if model.cameras else {}
    crops = Crops(manifest.files()[:CROPS], [*cameras.values()][:CROPS] or None)
    embedder = choose_embedder(model, machine, kind=descriptor, crops=crops, count=len(manifest), reporter=reporter)
    lock, open_to_all = write_lock(output), contextlib.nullcontext()
    with lock if append else open_to_all:
        base = _base(output, model, embedder, index_type) if append and output.exists() else None
        gone = drop_missing(base, reporter) if base is not None and prune else 0
        fresh = _fresh(base, manifest, workers=machine.threads(), reporter=reporter)
        seen_by = [cameras[file] for file in fresh.files] if model.cameras else None
        partial = _partial(output, model, embedder)
        keeper = PartialWriter(partial, fresh.entries, cameras=seen_by, minutes=save_minutes, reporter=reporter)
        with keeper.kept():
            vectors = keeper.embed(embedder, fresh.files)
            index = _joined(base, fresh, vectors, model, descriptor=descriptor, kind=index_type)
            with open_to_all if append else lock:
                if base is None:
                    _check_free(output, force=force)
                if fresh.files or gone:
                    with keeper.committing():
                        index.write(output, locked=True)
    added = len(fresh.files) - fresh.replaced
    skipped = len(manifest) - len(fresh.files)
    return report_of(output, index, model.label(), added=added, replaced=fresh.replaced, skipped=skipped, removed=gone)


def _partial(output: Path, model: OpenedModel, embedder: Embedder) -> PartialIndex:
    made_with = {**model.where, "engine": embedder.engine, "precision": embedder.precision}
    return PartialIndex(
        output, digest=model.digest, made_with=made_with, descriptor=embedder.kind, width=embedder.width
    )


def folder_manifest(folder: Path, *, reporter: Reporter) -> Manifest:
    """Return the images of any folder as rows without labels, sorted by path.

    Raises:
        DataError: If it is no folder, or holds no image.
    """
    if not folder.is_dir():
        raise DataError(f"{spelled(folder)} is not a folder.", "--images takes a folder of images.")
    found = list_images(folder)
    files = [file for file in found if is_text(str(file))]
    if len(files) < len(found):
        reporter.warn(f"{len(found) - len(files)} files of {folder} were left out: their names are no UTF-8.")
    if not files:
        raise DataError(f"{spelled(folder)} holds no image.", "Known endings: .jpg .jpeg .png .bmp .tif .tiff .webp")
    samples = tuple(Sample(file.relative_to(folder).as_posix()) for file in files)
    return Manifest(folder, samples, display_name(folder))


def _rows(model: OpenedModel, gallery: GalleryChoice, reporter: Reporter) -> tuple[Manifest, Manifest]:
    """Return the rows to embed, and the data set they are from."""
    if gallery.images is not None:
        images = folder_manifest(gallery.images, reporter=reporter)
        return images, images
    manifest = open_data(model.run, gallery.data, layout=gallery.layout, reporter=reporter).manifest
    return manifest.part(gallery.split), manifest


def _check_output(output: Path, *, append: bool, force: bool) -> None:
    """Refuse what could not be written in the end."""
    if append and force:
        raise SettingError("--append and --force were both given.", "--append adds to an index, --force replaces it.")
    check_writable(output)
    _check_free(output, force=append or force)


def _check_free(output: Path, *, force: bool) -> None:
    if force or not output.exists():
        return
    remedy, kept = "Add to it with --append, replace it with --force, or name another --output.", partial_file(output)
    if kept.exists():
        remedy += (
            f"\n{kept} keeps what an interrupted embed had done: --append and --force take what fits, and remove it."
        )
    raise IndexFileError(f"{output} is there already.", remedy)


def _unique(manifest: Manifest, reporter: Reporter) -> Manifest:
    """Return each image's first row."""
    first: dict[str, Sample] = {}
    for key, sample in zip(file_keys(manifest.files()), manifest, strict=True):
        first.setdefault(key, sample)
    if len(first) < len(manifest):
        reporter.note(f"{len(manifest) - len(first)} rows name an image again: each is embedded once.")
    return dataclasses.replace(manifest, samples=tuple(first.values()))


def _base(output: Path, model: OpenedModel, embedder: Embedder, index_type: str) -> GalleryIndex:
    index = GalleryIndex.read(output)
    if index_type not in ("auto", index.stamp.kind):
        raise IndexFileError(
            f"{output} is of the type {index.stamp.kind}, --index-type says {index_type}.",
            "Leave --index-type out, or make the index anew: --force.",
        )
    index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    return index


def _fresh(base: GalleryIndex | None, manifest: Manifest, *, workers: int, reporter: Reporter) -> _Fresh:
    """Return the images that are not in the index as they are now: by size and time, then by digest.

    Digests are taken before the images are decoded: one that changes in between is found again by the next append.
    """
    known: dict[str, list[Row]] = {}
    if base is not None:
        rows = base.rows()
        for key, row in zip(file_keys(Path(row.path) for row in rows), rows, strict=True):
            known.setdefault(key, []).append(row)
    files = manifest.files()
    held = [known.get(key, []) for key in file_keys(files)]
    doubtful = [place for place, file in enumerate(files) if not _unchanged(file, held[place])]
    entries = in_threads(
        lambda place: _entry(files[place], manifest.samples[place]),
        doubtful,
        workers=workers,
        reporter=reporter,
        text="digests",
    )
    taken = {
        place: entry
        for place, entry in zip(doubtful, entries, strict=True)
        if entry.digest not in {row.digest for row in held[place]}
    }
    stale = [row.id for place in taken for row in held[place]]
    replaced = sum(bool(held[place]) for place in taken)
    return _Fresh([files[place] for place in taken], list(taken.values()), stale, replaced)


def _unchanged(file: Path, held: Sequence[Row]) -> bool:
    if not held:
        return False
    try:
        state = file_state(file)
    except OSError as error:
        raise _unreadable(file, error) from error
    return state in {(row.size, row.mtime) for row in held}


def _entry(file: Path, sample: Sample) -> Entry:
    try:
        return entry_of(file, identity=sample.identity, camera=sample.camera)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> ImageError:
    return ImageError(f"{spelled(file)} cannot be read: {error.strerror}.", UNREADABLE_REMEDY)


def _joined(
    base: GalleryIndex | None, fresh: _Fresh, vectors: Vectors, model: OpenedModel, *, descriptor: str, kind: str
) -> GalleryIndex:
    if base is None:
        return GalleryIndex.create(
            vectors,
            fresh.entries,
            model_digest=model.digest,
            model=model.where,
            descriptor=descriptor,
            kind=kind,
        )
    if fresh.stale:
        base.remove(fresh.stale)
    base.add(vectors, fresh.entries)
    return base
