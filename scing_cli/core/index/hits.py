"""Turn a search over vectors into hits: each query's rows, or its best row of each identity.

Q queries, D width.
"""

from __future__ import annotations

from scing_cli.core.index.gallery_rows import GalleryRows
from scing_cli.core.index.parts import Parts
from scing_cli.core.index.rows import Hit, RowFilter, best_of_each
from scing_cli.core.index.store import IntArray, Vectors


def find_hits(
    parts: Parts, rows: GalleryRows, queries: Vectors, k: int, *, allowed: RowFilter | None, each_identity_once: bool
) -> list[list[Hit]]:
    """Find the k nearest rows of each query, best first, as `GalleryIndex.search` describes it.

    Args:
        parts: The vectors.
        rows: One per vector.
        queries: Shape (Q, D), float32, unit length, contiguous.
        k: Number of rows; all rows if k is greater.
        allowed: Which rows may be returned; None for all.
        each_identity_once: Return the best row of each of k identities.
    """
    ids = rows.ids(allowed) if allowed else None
    there = len(rows) if ids is None else len(ids)
    if not each_identity_once:
        return _nearest(parts, rows, queries, min(k, there), ids)
    k = min(k, rows.people(allowed))
    answers: list[list[Hit]] = [[] for _ in queries]
    open_places, reach = list(range(len(queries))), k
    while open_places:  # the queries whose hits show fewer than k identities so far: fetch four times as many
        reach = min(4 * reach, there)
        found = _nearest(parts, rows, queries[open_places], reach, ids)
        for place, hits in zip(open_places, found, strict=True):
            answers[place] = best_of_each(hits)[:k]
        open_places = [place for place in open_places if len(answers[place]) < k and reach < there]
    return answers


def _nearest(parts: Parts, rows: GalleryRows, queries: Vectors, k: int, allowed: IntArray | None) -> list[list[Hit]]:
    if k == 0 or len(queries) == 0:
        return [[] for _ in queries]
    found = parts.nearest(queries, k, allowed, rows.removed)
    named = rows.find({int(number) for _, ids in found for number in ids})
    return [
        [Hit(float(score), named[int(number)]) for score, number in zip(scores, ids, strict=True)]
        for scores, ids in found
    ]
