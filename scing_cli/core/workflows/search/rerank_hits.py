"""Re-ranking of what a search finds: each query's nearest rows, in another order. Q queries, D width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scing_cli.core.embeddings import Vectors
from scing_cli.core.errors import SettingError
from scing_cli.core.index import GalleryIndex, Hit, RowFilter
from scing_cli.core.runtime import Reporter

CANDIDATES = 200
MOST = 1000  # all of a query's candidates meet each other


def check_count(k: int) -> None:
    """Make sure that so many hits of a query may be re-ranked.

    Raises:
        SettingError: If they are more than 1,000.
    """
    if k > MOST:
        raise SettingError(
            f"-k {k}: --rerank orders at most {MOST:,} hits of a photo.", "Ask for fewer, or leave --rerank out."
        )


def reranked_hits(
    index: GalleryIndex, vectors: Vectors, k: int, *, allowed: RowFilter | None = None, reporter: Reporter
) -> list[list[Hit]]:
    """Find rows as `GalleryIndex.search` does, and order each query's nearest ones by k-reciprocal re-ranking.

    The nearest 200, or k if that is more, are re-ranked among themselves and their query, with the paper's settings;
    rows of one distance keep their order. Queries do not meet each other: what else is searched for changes nothing.

    Args:
        index: The index.
        vectors: Shape (Q, D), float32, unit length.
        k: How many hits of each query are wanted.
        allowed: Which rows may be found; None for all.
        reporter: Is told the settings, and of the progress, in queries.

    Returns:
        The 200 or k rows of each query, the re-ranked nearest first; their scores are still cosines.
    """
    from scing_cli.core.evaluation import Reranking  # most searches start without it

    count = max(k, CANDIDATES)
    found = index.search(vectors, count, allowed=allowed)
    reporter.note(f"Re-ranked within the first {count} hits of a photo ({Reranking()}); scores are cosines.")
    with reporter.progress("re-rank", len(found)) as advance:
        for number, hits in enumerate(found):
            found[number] = _in_order(index, vectors[number], hits)
            advance(1)
    return found


def _in_order(index: GalleryIndex, vector: Vectors, hits: Sequence[Hit]) -> list[Hit]:
    from scing_cli.core.evaluation import Reranking, reranked_distances

    if not hits:
        return []
    rows = index.vectors([hit.row.id for hit in hits])
    (distances,) = reranked_distances(vector[None], rows, Reranking())
    return [hits[place] for place in np.argsort(distances, kind="stable")]
