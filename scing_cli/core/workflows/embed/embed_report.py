"""What `scing embed` did to an index."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scing_cli.core.index import GalleryIndex


@dataclasses.dataclass(frozen=True)
class EmbedReport:
    """What `embed` wrote.

    Args:
        index: The file.
        added: Images that the index did not hold.
        replaced: Images that it held with other content: their former rows are gone, the new ones have new ids.
        skipped: Images that it holds as they are.
        removed: Rows whose files were gone.
        count: Rows it holds.
        width: Of its vectors.
        model: What embedded them.
        kind: What faiss keeps them in.
        recall: Of an approximate kind: recall@10 against a flat index.
    """

    index: Path
    added: int
    replaced: int
    skipped: int
    removed: int
    count: int
    width: int
    model: str
    kind: str
    recall: float | None


def report_of(output: Path, index: GalleryIndex, model: str, **counts: int) -> EmbedReport:
    """Return what was done to an index, and what it holds now."""
    kind = index.stamp.kind
    recall = index.recall() if index.is_approximate else None
    return EmbedReport(output, count=len(index), width=index.width, model=model, kind=kind, recall=recall, **counts)
