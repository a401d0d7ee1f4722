"""Pairs, thresholds and their sampling errors by plain loops, from the definitions: every pair in float64, then float32."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from oracles.ranking import similarity

NORMAL = 1.959964
EDGES = [np.float32(k / 2048) for k in range(-2048, 2049)] + [np.nextafter(np.float32(1), np.float32(2))]


@dataclass
class Pair:
    """One query and one gallery row that show one identity, or two."""

    query: int
    row: int
    asked: str
    shown: str
    score: np.float32

    @property
    def same(self) -> bool:
        return self.asked == self.shown


def cosine(a: np.ndarray, b: np.ndarray) -> np.float32:
    return np.float32(min(max(similarity(a, b), -1.0), 1.0))


def counts_for(case: dict, protocol: str, i: int, n: int) -> bool:
    """Whether a row stands in a query's ranking at all."""
    keys = case.get("query_keys"), case.get("gallery_keys")
    if protocol != "text" and keys[0] and keys[0][i] != "" and keys[0][i] == keys[1][n]:
        return False
    same = case["query_identities"][i] == case["gallery_identities"][n] != ""
    if protocol == "scene":
        scene = case["query_scenes"][i]
        return not (same and scene != "" and scene == case["gallery_scenes"][n])
    seen = case["query_cameras"][i]
    return not (protocol == "market" and same and seen != "" and seen == case["gallery_cameras"][n])


def all_pairs(case: dict, protocol: str) -> list[Pair]:
    pairs = []
    for i, asked in enumerate(case["query_identities"]):
        for n, shown in enumerate(case["gallery_identities"]):
            if asked != "" and shown != "" and counts_for(case, protocol, i, n):
                pairs.append(Pair(i, n, asked, shown, cosine(case["query"][i], case["gallery"][n])))
    return pairs


def best(case: dict, protocol: str, i: int, *, true: bool) -> tuple[int, float]:
    """The best true or wrong row of a query and its score; -1 and NaN where there is none."""
    asked, found, top = case["query_identities"][i], -1, math.nan
    if asked == "":
        return found, top
    for n, shown in enumerate(case["gallery_identities"]):
        score = cosine(case["query"][i], case["gallery"][n])
        if counts_for(case, protocol, i, n) and (asked == shown) == true and not score <= top:
            found, top = n, score
    return found, float(top)


def match_rates(pairs: Sequence[Pair], thresholds: Sequence[float], *, same: bool) -> list[float]:
    """The share of one kind of pairs that score at least each threshold; NaN where there is none."""
    scores = np.array([pair.score for pair in pairs if pair.same == same], dtype=np.float32)
    return [np.count_nonzero(scores >= t) / len(scores) if len(scores) else math.nan for t in thresholds]


def match_rate(pairs: Sequence[Pair], threshold: float, *, same: bool) -> float:
    return match_rates(pairs, [threshold], same=same)[0]


def thresholds(pairs: Sequence[Pair]) -> list[np.float32]:
    """Every score at which a rate can change, and -1."""
    return sorted({np.float32(-1), *(np.nextafter(pair.score, np.float32(2)) for pair in pairs)})


def threshold_of(pairs: Sequence[Pair], rate: float) -> np.float32:
    tried = thresholds(pairs)
    return next(t for t, own in zip(tried, match_rates(pairs, tried, same=False), strict=True) if own <= rate)


def equal_threshold(pairs: Sequence[Pair]) -> np.float32:
    tried = thresholds(pairs)
    matched, true = (match_rates(pairs, tried, same=same) for same in (False, True))
    return next(t for t, f, own in zip(tried, matched, true, strict=True) if f <= 1 - own + 1e-12)


def without_each(pairs: Sequence[Pair], people: Sequence[str], threshold: float, *, same: bool) -> list[float]:
    """The rate without each identity in turn: no query of it, no gallery row of it."""
    of_kind = [pair for pair in pairs if pair.same == same]
    if sum(any(name in {pair.asked, pair.shown} for pair in of_kind) for name in people) < 10:
        return [math.nan]
    return [
        match_rate([pair for pair in of_kind if name not in {pair.asked, pair.shown}], threshold, same=same)
        for name in people
    ]


def interval(value: float, without: Sequence[float]) -> tuple[float, float, float] | None:
    """Standard error and both ends of the 95 % interval in the log-odds."""
    count = len(without)
    spread = (count - 1) / count * math.fsum((other - value) ** 2 for other in without)
    if value <= 0 or value >= 1 or math.isnan(spread) or spread == 0:
        return None
    error = math.sqrt(spread)
    middle, half = math.log(value / (1 - value)), NORMAL * error / (value * (1 - value))
    low, high = (1 / (1 + math.exp(min(end, 700.0))) for end in (half - middle, -half - middle))
    return error, low, high


def equal_error(pairs: Sequence[Pair], people: Sequence[str], threshold: float) -> tuple[float, list[float]]:
    """The equal error rate, and its values without each identity in turn, to first order."""
    matched, missed = match_rate(pairs, threshold, same=False), 1 - match_rate(pairs, threshold, same=True)
    value = (matched + missed) / 2
    rates = match_rates(pairs, EDGES, same=False)
    begin = max(k for k, rate in enumerate(rates) if rate >= min(1, 1.25 * value))
    end = min(k for k, rate in enumerate(rates) if rate <= value / 1.25)
    falls = [
        match_rate(pairs, EDGES[begin], same=same) - match_rate(pairs, EDGES[end], same=same) for same in (True, False)
    ]
    weight = falls[0] / sum(falls) if falls[1] else 0.5
    kinds = [without_each(pairs, people, threshold, same=same) for same in (False, True)]
    if any(math.isnan(kind[0]) for kind in kinds):
        return value, [math.nan]
    return value, [
        value + weight * (f - matched) + (1 - weight) * (1 - t - missed) for f, t in zip(*kinds, strict=True)
    ]
