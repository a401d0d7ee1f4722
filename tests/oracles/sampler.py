"""Follow the order of P x K batches step by step and compare it with R16."""

from __future__ import annotations

import math
from collections import Counter


def follow(labels: list[int], batches: list[list[int]], *, identities: int, instances: int) -> dict[int, int]:
    """Check every batch in its turn; return how many chunks each identity has left at the end."""
    rows_of = Counter(labels)
    left = {label: math.ceil(count / instances) for label, count in rows_of.items()}
    used: dict[int, list[int]] = {label: [] for label in rows_of}
    full = min(identities, len(rows_of))
    ended = False
    for rows in batches:
        assert not ended, "a smaller batch is not the last one"
        available = {label for label, count in left.items() if count}
        assert len(rows) % instances == 0
        people = []
        for start in range(0, len(rows), instances):
            chunk = rows[start : start + instances]
            (label,) = {labels[row] for row in chunk}
            assert len(set(chunk)) == min(instances, rows_of[label]), "a row is repeated without need"
            people.append(label)
            used[label] += chunk
            left[label] -= 1
        assert len(set(people)) == len(people), "an identity stands twice in a batch"
        assert set(people) <= available
        if len(people) < full:
            assert 2 <= len(people) == len(available), "the last batch takes everyone who is left"
            ended = True
    remaining = {label for label, count in left.items() if count}
    assert ended or len(remaining) < 2, "there were identities for another batch"
    for label, rows in used.items():
        first = rows[: rows_of[label]]
        assert len(set(first)) == len(first), "an image is repeated before all of its identity are used"
    return left
