"""Re-rank the nearest rows of each query by k-reciprocal neighbours. Q queries, D width."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scing_cli.core.embeddings import Vectors
from scing_cli.core.errors import SettingError
from scing_cli.core.index import Gallery, Hit, RowFilter
from scing_cli.core.runtime import Reporter

CANDIDATES = 200
MOST = 1000  # time and memory grow with the square of the number of candidates


def check_count(k: int) -> None:
    """Check that k hits of a query can be re-ranked.

    Raises:
        SettingError: If k is greater than 1,000.
    """
    if k > MOST:
        raise SettingError(
            f"-k {k}: --rerank orders at most {MOST:,} hits of a photo.", "Ask for fewer, or leave --rerank out."
        )


def reranked_hits(
    index: Gallery, vectors: Vectors, k: int, *, allowed: RowFilter | None = None, reporter: Reporter
) -> list[list[Hit]]:
    """Search the index and order each query's nearest rows by k-reciprocal re-ranking.

    The nearest 200 rows, or k if that is more, are re-ranked together with their query, with the paper's settings. Rows
    of equal distance keep their order. Queries are independent: the hits of one do not depend on the others.

    Args:
        index: The index.
        vectors: Shape (Q, D), float32, unit length.
        k: Hits per query.
        allowed: Which rows may be returned; None for all.
        reporter: Receives a note with the settings, and progress in queries.

    Returns:
        The 200 or k rows of each query in re-ranked order; their scores are still cosines.
    """
    from scing_cli.core.evaluation import Reranking  # imported here because most searches do not need it

    count = max(k, CANDIDATES)
    found = index.search(vectors, count, allowed=allowed)
    reporter.note(f"Re-ranked within the first {count} hits of a photo ({Reranking()}); scores are cosines.")
    with reporter.progress("re-rank", len(found)) as advance:
        for number, hits in enumerate(found):
            found[number] = _in_order(index, vectors[number], hits)
            advance(1)
    return found


def _in_order(index: Gallery, vector: Vectors, hits: Sequence[Hit]) -> list[Hit]:
    from scing_cli.core.evaluation import Reranking, reranked_distances

    if not hits:
        return []
    rows = index.vectors([hit.row.id for hit in hits])
    (distances,) = reranked_distances(vector[None], rows, Reranking())
    return [hits[i] for i in np.argsort(distances, kind="stable")]
