"""Search hits, and the best hit of each identity."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from scing_cli.core.index.rows import Row


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search: the cosine score, in [-1, 1], and the row."""

    score: float
    row: Row


def best_of_each(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hit of each identity. A row without an identity counts as an identity."""
    first = {hit.row.identity or hit.row.id: hit for hit in reversed(hits)}
    return [hit for hit in hits if first[hit.row.identity or hit.row.id] is hit]
