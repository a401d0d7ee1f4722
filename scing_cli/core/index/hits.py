"""Turn a search over vectors into hits: each query's rows, or its best row of each identity.

Q queries, D width.
"""

from __future__ import annotations

from collections.abc import Callable

from scing_cli.core.index.rows import Hit, best_of_each
from scing_cli.core.index.store import Vectors

Nearest = Callable[[Vectors, int], list[list[Hit]]]
"""Queries, shape (Q, D), and k -> each query's k best rows, best first."""


def best_hits(nearest: Nearest, queries: Vectors, k: int, *, there: int, people: int | None = None) -> list[list[Hit]]:
    """Find the k nearest rows of each query, or the best row of each of k identities, best first.

    Args:
        nearest: The search.
        queries: Shape (Q, D), float32, unit length, contiguous.
        k: Number of rows, or of identities; all if k is greater.
        there: Number of rows that may be found.
        people: Number of identities that they have, to return the best row of each; None to return all rows.
    """
    if people is None:
        return _some(nearest, queries, min(k, there))
    k = min(k, people)
    answers: list[list[Hit]] = [[] for _ in queries]
    open_places, reach = list(range(len(queries))), k
    while open_places:  # the queries whose hits show fewer than k identities so far: fetch four times as many
        reach = min(4 * reach, there)
        found = _some(nearest, queries[open_places], reach)
        for place, hits in zip(open_places, found, strict=True):
            answers[place] = best_of_each(hits)[:k]
        open_places = [place for place in open_places if len(answers[place]) < k and reach < there]
    return answers


def _some(nearest: Nearest, queries: Vectors, k: int) -> list[list[Hit]]:
    return nearest(queries, k) if k and len(queries) else [[] for _ in queries]
