"""What a report says of each query, and the pictures' rankings, by plain loops over all pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from oracles.ranking import rank_one, similarity
from oracles.verification import best, counts_for


def why_lost(case: dict, protocol: str, i: int) -> str:
    """Why a query has no true match; empty where it has one."""
    asked, shown = case["query_identities"][i], case["gallery_identities"]
    keys = case.get("query_keys"), case.get("gallery_keys")
    same = [n for n, name in enumerate(shown) if asked != "" and name == asked]
    if any(counts_for(case, protocol, i, n) for n in same):
        return ""
    if asked == "":
        return "unknown"
    others = [n for n in same if not (keys[0] and keys[0][i] != "" and keys[0][i] == keys[1][n])]
    return "same_camera" if others else "itself" if same else "absent"


def query_line(case: dict, protocol: str, i: int, names: Sequence[str], gallery_names: Sequence[str]) -> dict:
    """One line of queries.csv; NaN and empty texts where there is nothing to say."""
    asked, shown = case["query_identities"][i], case["gallery_identities"]
    counted = [n for n in range(len(shown)) if counts_for(case, protocol, i, n)]
    found = rank_one(
        case["query"][i],
        case["gallery"],
        asked,
        shown,
        case["query_cameras"][i],
        case["gallery_cameras"],
        protocol,
        case.get("query_keys", [""] * (i + 1))[i],
        case.get("gallery_keys", [""] * len(shown)),
    )
    wrong, score = best(case, protocol, i, true=False)
    return {
        "query": names[i],
        "identity": asked,
        "camera": case["query_cameras"][i],
        "average_precision": found.average_precision if found else math.nan,
        "first_rank": found.first_rank if found else math.nan,
        "matches": sum(asked != "" and shown[n] == asked for n in counted),
        "ignored": len(shown) - len(counted),
        "best_wrong": gallery_names[wrong] if wrong >= 0 else "",
        "best_wrong_identity": shown[wrong] if wrong >= 0 else "",
        "best_wrong_score": score,
        "lost": why_lost(case, protocol, i),
    }


def best_rows(case: dict, protocol: str, i: int, count: int) -> list[tuple[int, float]]:
    """A query's best rows that the protocol counts, of equal scores the first in the gallery, with their scores."""
    scored = [
        (-similarity(case["query"][i], row), n)
        for n, row in enumerate(case["gallery"])
        if counts_for(case, protocol, i, n)
    ]
    return [(n, -score) for score, n in sorted(scored)[:count]]
