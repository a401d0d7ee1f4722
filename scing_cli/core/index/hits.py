"""One answer of a search, and each identity's best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from scing_cli.core.index.rows import Row


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """One answer of a search: the cosine, in [-1, 1], and the row."""

    score: float
    row: Row


def best_of_each(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hit of each identity; a row without an identity stands for itself."""
    first = {hit.row.identity or hit.row.id: hit for hit in reversed(hits)}
    return [hit for hit in hits if first[hit.row.identity or hit.row.id] is hit]
