"""Embed a gallery of images into a searchable index file."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scing_cli.core.datasets.left_out import LeftOut, list_beside, report_left_out
from scing_cli.core.embeddings import Embedder
from scing_cli.core.embeddings.openvino_embedder import CROPS
from scing_cli.core.encoders.geometry import check_descriptor
from scing_cli.core.errors import IndexFileError, SettingError
from scing_cli.core.index import Gallery, GalleryLocation, Stamp, as_location
from scing_cli.core.paths import StrPath
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import file_of
from scing_cli.core.workflows.embed.embed_report import EmbedReport, report_of
from scing_cli.core.workflows.embed.embed_work import NewRows, Work
from scing_cli.core.workflows.embed.gallery_images import (
    GalleryChoice,
)
from scing_cli.core.workflows.embed.listed_gallery import open_and_list
from scing_cli.core.workflows.embed.partial_index import MINUTES
from scing_cli.core.workflows.embed.upkeep import drop_missing, has_other_rows
from scing_cli.core.workflows.shared.embedder_choice import Crops, choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel

__all__ = ["GalleryChoice", "embed"]


def embed(
    choice: ModelChoice,
    gallery: GalleryChoice,
    *,
    output: StrPath = Path("gallery.faiss"),
    append: bool = False,
    prune: bool = False,
    compact: bool = False,
    force: bool = False,
    index_type: str = "auto",
    descriptor: str = "projected",
    save_minutes: float = MINUTES,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> EmbedReport:
    """Embed images as unit vectors and write them, with their rows, as a FAISS inner-product index.

    Images that cannot be read are left out, and listed in a file next to the index. Former rows of such images stay.

    Args:
        choice: Which model.
        gallery: Which images; an image that is listed twice is embedded once.
        output: The index to write: the path of a file, or an address such as `milvus://host/collection`.
        append: Add new and changed images to an index of the same model, which stays locked until the end; images
            that have not changed get the labels that they have now.
        prune: With `append`: also drop all rows whose files are missing.
        compact: Write two files, even if the index is large and little has changed.
        force: Replace an existing index.
        index_type: auto (by the number of vectors), flat, ivf or hnsw; `append` never changes the type.
        descriptor: `projected` or `concat` (R10).
        save_minutes: Minutes between two saves of partial results, with which the same command resumes.
        strict: Raise at the first image that cannot be read, instead of leaving such images out.
        machine: Device, precision and threads.
        reporter: Receives notes and progress.

    Returns:
        What was added, replaced, skipped, removed and left out.

    Raises:
        InterruptionError: On Ctrl-C or SIGTERM.
        ImageError: If no image can be read, or with `strict` if one cannot.
        IndexFileError: If the index exists and neither `append` nor `force` is set, it was made by another model,
            another process is writing it, or the path is not writable.
    """
    location, left_out = as_location(output, reporter), LeftOut(strict=strict)
    machine = machine or Machine()
    location.check_kind(index_type)  # before any work
    if compact:
        location.check_compact()
    check_output(location, append=append, force=force)
    check_descriptor(descriptor)
    model, listed = open_and_list(choice, gallery, reporter)
    manifest, some = listed.manifest, listed.part(0, CROPS)
    crops = Crops(some.sources(model), some.cameras)
    embedder = choose_embedder(model, machine, kind=descriptor, crops=crops, count=len(manifest), reporter=reporter)
    location.check_width(embedder.width)
    lock, unlocked = location.lock(), contextlib.nullcontext()
    # Appending changes the index that is read here, so it stays locked; a new index is locked only while it is written.
    with lock if append else unlocked:
        base = _base(location, model, embedder, index_type) if append and location.exists() else None
        unsettled = base is not None and has_other_rows(base, reporter)
        gone = drop_missing(base, reporter) if base is not None and prune else 0
        work = Work(model, embedder, location.local, machine, save_minutes, left_out, reporter)
        with work.embedded(base, listed) as (new, committing):
            if len(left_out) >= len(manifest):
                left_out.check_not_all([file_of(source) for source in listed.sources(model)])
            if base is not None:
                new.warn_of_mixed_labels(base, reporter)
            index = _joined(base, new, model, location, descriptor=descriptor, kind=index_type)
            with unlocked if append else lock:
                if base is None:
                    location.check_free(force=force)
                if len(new) or gone or new.relabelled or unsettled or (compact and index.is_split):
                    with committing(location.state):
                        location.write(index, compact=compact)
    added = len(new) - new.replaced
    skipped = len(manifest) - len(new) - len(new.relabelled) - len(left_out)
    report_left_out(left_out.dropped(), len(manifest), reporter, target=list_beside(location.local))
    counts = {"added": added, "replaced": new.replaced, "skipped": skipped, "removed": gone}
    counts["relabelled"] = len(new.relabelled)
    return report_of(location, index, model.label(), passed_over=listed.passed, left_out=left_out.dropped(), **counts)


def check_output(location: GalleryLocation, *, append: bool, force: bool) -> None:
    """Raise before any work if the index could not be written at the end."""
    if append and force:
        raise SettingError("--append and --force were both given.", "--append adds to an index, --force replaces it.")
    location.check_writable()
    location.check_free(force=append or force)


def _base(location: GalleryLocation, model: OpenedModel, embedder: Embedder, index_type: str) -> Gallery:
    index = location.open_to_change()
    if index_type not in ("auto", index.stamp.kind):
        raise IndexFileError(
            f"{location} is of the type {index.stamp.kind}, but --index-type is {index_type}.",
            "Leave --index-type out, or replace the index: --force.",
        )
    index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    return index


def _joined(
    base: Gallery | None, new: NewRows, model: OpenedModel, location: GalleryLocation, *, descriptor: str, kind: str
) -> Gallery:
    """Return the index with the new rows, which are read when it is written."""
    where = model.seen_from(location.local)
    index = base
    if index is None:
        index = location.create(Stamp(model.digest, where, descriptor, new.lender.width, kind=kind), len(new))
    new.add_to(index)
    index.name_model(where)  # it may have moved since the index was made
    return index
