"""What flatters the figures of an evaluation of images: copies of queries, people of the training."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets.copies import copies
from scing_cli.core.errors import ScingError, spelled
from scing_cli.core.evaluation import Side
from scing_cli.core.evaluation.truth import find_truth
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.equal_files import digests_of, of_one_size
from scing_cli.core.workflows.shared.run_data import run_manifest, same_rows
from scing_cli.core.workflows.shared.scoring import Caution, trained_on


def of_copies(
    query: Side, gallery: Side, protocol: str, *, known: Sequence[str] = (), workers: int, reporter: Reporter
) -> tuple[Caution, ...]:
    """Return the caution that the gallery has rows with the bytes of a query, which the protocol does not leave out.

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
    read = digests_of(wanted, workers=workers, reporter=reporter)
    rows = known or [read.get(file, "") for file in gallery.files]
    digests = {("query", number): read.get(file, "") for number, file in enumerate(query.files)}
    digests |= {("gallery", row): digest for row, digest in enumerate(rows)}
    pairs = _ranked_copies(copies(digests), query, gallery, protocol)
    if not pairs:
        return ()
    first, second = query.names[min(pairs)], gallery.names[pairs[min(pairs)]]
    lie = "query lies" if len(pairs) == 1 else "queries lie"
    text = (
        f"{len(pairs):,} {lie} in the gallery as copies (same bytes), such as {spelled(first)} and {spelled(second)}: "
        "a copy is the first hit of any model."
    )
    return (Caution("copies", text, len(pairs)),)


def of_training(run: Run | None, whole: Manifest, query: Manifest, reporter: Reporter) -> tuple[Caution, ...]:
    """Return the caution that the run was trained on people of the queries.

    People of two data sets may have the same name: they are compared by their images, and by name only if both data
    sets are in one folder.

    Args:
        run: The run; None for a plain model.
        whole: The data that is evaluated.
        query: Its queries.
        reporter: Receives a note if the run's rows cannot be read.
    """
    if run is None:
        return ()
    try:
        saved = run_manifest(run, check_files=False)
    except ScingError as error:
        reporter.note(f"{error.what} Whether the run was trained on the queries' people is not known.")
        return ()
    trained = set(file_keys(saved.part("train").files()))
    keys = file_keys(whole.files())
    people = {row.identity for key, row in zip(keys, whole, strict=True) if key in trained}
    if same_rows(saved, whole) or os.path.realpath(saved.root) == os.path.realpath(whole.root):
        people.update(run.identities)
    own = zip(file_keys(query.files()), query, strict=True)
    met = [row.identity for key, row in own if key in trained or (row.identity and row.identity in people)]
    return trained_on(met, len(query))


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
