"""What flatters the figures of an evaluation of images: copies of queries, people of the training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets.copies import copies
from scing_cli.core.errors import ScingError, agreeing, counted, spelled
from scing_cli.core.evaluation import Side, own_rows
from scing_cli.core.evaluation.truth import find_truth
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import image_files, in_words
from scing_cli.core.workflows.shared.equal_files import digests_of, digests_of_sources, of_one_size
from scing_cli.core.workflows.shared.run_data import run_manifest, same_rows
from scing_cli.core.workflows.shared.scoring import Caution, labels_of, trained_on

BLOCK = 4096  # rows that are read at once


def of_copies(
    query: Side, gallery: Side, protocol: str, *, known: Sequence[str] = (), workers: int, reporter: Reporter
) -> tuple[Caution, ...]:
    """Return the caution that the gallery has rows with the bytes of a query, which the protocol does not leave out.

    Observations are copies if all their images have the same bytes.

    Args:
        query: The queries; without files nothing is found.
        gallery: The gallery.
        protocol: The protocol in use.
        known: The digests of the gallery's files, if they are known; otherwise files of equal size are read.
        workers: Threads that read files.
        reporter: Shows progress.
    """
    if not (query.files and gallery.files):
        return ()
    wanted = list(dict.fromkeys(query.files)) if known else of_one_size(query.files, gallery.files)
    read = digests_of_sources(wanted, workers=workers, reporter=reporter)
    rows = known or [read.get(file, "") for file in gallery.files]
    digests = {("query", number): read.get(file, "") for number, file in enumerate(query.files)}
    digests |= {("gallery", row): digest for row, digest in enumerate(rows)}
    pairs = _ranked_copies(copies(digests), query, gallery, protocol)
    return _copies_caution(pairs, query, gallery, "same bytes")


def of_equal_vectors(query: Side, gallery: Side, protocol: str) -> tuple[Caution, ...]:
    """Return the caution that the gallery has the vector of a query, of the same person, and the protocol ranks it.

    Args:
        query: The queries.
        gallery: The gallery.
        protocol: The protocol in use.
    """
    digests = {("query", number): digest for number, digest in enumerate(_vector_digests(query))}
    there = set(digests.values())
    rows = enumerate(_vector_digests(gallery))
    digests |= {("gallery", number): digest for number, digest in rows if digest in there}
    pairs = _ranked_copies(copies(digests), query, gallery, protocol)
    return _copies_caution(pairs, query, gallery, "same vector and identity")


def _copies_caution(pairs: Mapping[int, int], query: Side, gallery: Side, same: str) -> tuple[Caution, ...]:
    """Return the caution for queries with the gallery rows that are their copies; none without such pairs."""
    if not pairs:
        return ()
    first, second = query.names[min(pairs)], gallery.names[pairs[min(pairs)]]
    lie = "query lies" if len(pairs) == 1 else "queries lie"
    text = (
        f"{len(pairs):,} {lie} in the gallery as copies ({same}), such as {spelled(first)} and {spelled(second)}: "
        "a copy is the first hit of any model."
    )
    return (Caution("copies", text, len(pairs)),)


def _vector_digests(side: Side) -> Iterator[str]:
    """Yield a digest of each row's identity and vector; empty for an unknown person."""
    for start in range(0, len(side), BLOCK):
        block = np.ascontiguousarray(side.vectors[start : start + BLOCK])
        for vector, identity in zip(block, side.identities[start : start + BLOCK], strict=True):
            named = identity.encode("utf-8", "surrogateescape") + b"\0" + vector.tobytes()
            yield hashlib.sha256(named).hexdigest() if identity else ""


def of_training(
    run: Run | None, whole: Manifest, query: Manifest, *, workers: int, reporter: Reporter
) -> tuple[Caution, ...]:
    """Return the caution that the run was trained on people of the queries.

    People of two data sets may have the same name: they are compared by their images, and by name only where both data
    sets are in one folder. Images are the same if they are one file or have the same bytes; if those of the training
    are gone, if path and identity are equal.

    Args:
        run: The run; None for a plain model.
        whole: The data that is evaluated.
        query: Its queries.
        workers: Threads that read files.
        reporter: Receives a note if the run's rows cannot be read.
    """
    if run is None:
        return ()
    try:
        saved = run_manifest(run, check_files=False)
    except ScingError as error:
        reporter.note(f"{error.what} Whether the run was trained on the queries' people is not known.")
        return ()
    train = saved.part("train")
    keys, own = file_keys(whole.files()), file_keys(query.files())
    trained = {key for key, rows in zip(keys, own_rows(labels_of(whole), labels_of(train)), strict=True) if len(rows)}
    if not trained:
        trained = _copied(train, whole, workers=workers, reporter=reporter)
    people = {row.identity for key, row in zip(keys, whole, strict=True) if key in trained} - {""}
    named = same_rows(saved, whole) or os.path.realpath(saved.root) == os.path.realpath(whole.root)
    folder = os.path.join(_common_folder(train), "")  # noqa: PTH118 - with a slash at its end
    known = set(run.identities)
    met = [
        row.identity
        for key, row in zip(own, query, strict=True)
        if key in trained or row.identity in people or (row.identity in known and (named or key.startswith(folder)))
    ]
    return trained_on(met, len(query))


def of_other_rows(unseen: int, rows: int, drop: Sequence[str]) -> tuple[Caution, ...]:
    """Return the caution that rows are left out because no image is left, so that other cases have other rows.

    Args:
        unseen: Number of rows without an image that is read.
        rows: Number of all rows.
        drop: The spectra that were taken away.
    """
    if not (unseen and drop):
        return ()
    have, are = agreeing(unseen, "has", "have"), agreeing(unseen, "is", "are")
    text = (
        f"Without the {in_words(tuple(drop))} images, {unseen:,} of {counted(rows, 'row')} {have} none that is read, "
        f"and {are} left out: figures of other cases are of other rows."
    )
    return (Caution("other-rows", text, unseen),)


def _common_folder(train: Manifest) -> str:
    """Return the real path of the smallest folder that has all training images, wherever their list is."""
    folders = {os.path.dirname(key) for key in file_keys(train.files())}  # noqa: PTH120 - for every image
    try:
        return os.path.commonpath(folders)
    except ValueError:  # on several Windows drives
        return os.path.realpath(train.root)


def _copied(train: Manifest, whole: Manifest, *, workers: int, reporter: Reporter) -> set[str]:
    """Return the keys of the images that are copies of training images, at whatever place; see `of_training`.

    An observation is one if an image of it is.
    """
    files = train.files()
    shown, others = (list(map(image_files, each.sources(each.spectra()))) for each in (train, whole))
    every = [list(dict.fromkeys(file for own in each for file in own)) for each in (shown, others)]
    read = digests_of(of_one_size(*every), workers=workers, reporter=reporter)
    digests = {read.get(file, "") for file in every[0]} - {""}
    gone = {(row.path, row.identity) for row, file in zip(train, files, strict=True) if not os.path.lexists(file)}
    return {
        key
        for key, row, own in zip(file_keys(whole.files()), whole, others, strict=True)
        if any(read.get(file, "") in digests for file in own) or (row.identity and (row.path, row.identity) in gone)
    }


def _ranked_copies(
    groups: Sequence[tuple[tuple[str, int], ...]], query: Side, gallery: Side, protocol: str
) -> dict[int, int]:
    """Return for each query that has copies in the gallery the first one that the protocol ranks."""
    pairs: dict[int, int] = {}
    if not groups:
        return pairs
    truth = find_truth(query, gallery, protocol=protocol)
    for group in groups:
        rows = np.array([number for side, number in group if side == "gallery"], dtype=np.int64)
        for number in (number for side, number in group if side == "query"):
            left_out = np.setdiff1d(truth.never_false(number), truth.hits(number))
            ranked = np.setdiff1d(rows, left_out)
            if len(ranked):
                pairs[number] = int(ranked[0])
    return pairs
