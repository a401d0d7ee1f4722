"""The result of `scing embed`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.index import Gallery, GalleryLocation


@dataclasses.dataclass(frozen=True)
class EmbedReport:
    """Counts and properties of the index that `embed` wrote.

    Args:
        index: The index file, or the address of the gallery.
        added: Images that were not in the index before.
        replaced: Images whose content had changed: their former rows were removed, the new rows have new ids.
        skipped: Images that were in the index already and have not changed.
        removed: Rows that were dropped because their files are missing.
        count: Rows in the index now.
        width: D, the width of the vectors.
        model: The model that made the vectors.
        kind: The index type.
        recall: Recall@10 compared with a flat index; None for a flat index, or where nobody measures it.
        recall_rows: The number of rows for which it was measured: rows that were added to a large index since then are
            compared one by one.
        passed_over: What was passed over in the folders of images.
        relabelled: Images that have not changed, but whose rows got another identity or camera.
        left_out: Images that cannot be read, with the reasons. If they have rows in the index, these are former ones.
        example: One of its images; None if it has none.
    """

    index: Path | str
    added: int
    replaced: int
    skipped: int
    removed: int
    count: int
    width: int
    model: str
    kind: str
    recall: float | None
    recall_rows: int | None
    example: Path | None
    passed_over: tuple[PassedOver, ...] = ()
    left_out: tuple[Dropped, ...] = ()
    relabelled: int = 0


def report_of(
    location: GalleryLocation,
    index: Gallery,
    model: str,
    passed_over: tuple[PassedOver, ...] = (),
    left_out: tuple[Dropped, ...] = (),
    **counts: int,
) -> EmbedReport:
    """Return the report for an index in its present state; `counts` are the report's counts of images and rows."""
    kind = index.stamp.kind
    recall = index.recall() if index.is_approximate else None
    measured = None if recall is None else index.stamp.parts[0].count
    properties: dict[str, Any] = {"width": index.width, "model": model, "kind": kind, **counts}
    properties |= {"recall": recall, "recall_rows": measured}
    example = next((Path(row.path) for row in index.table), None)
    return EmbedReport(
        location.named, count=len(index), example=example, passed_over=passed_over, left_out=left_out, **properties
    )
