"""What a report says beyond the scores: thresholds, cameras, and each query's own line. N gallery rows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scing_cli.core.artifacts import Run
from scing_cli.core.evaluation import CameraPair, Side, Verification, compare_cameras, verify
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.truth import Truth, find_truth
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.evaluate.ranked import EvaluationReport

SHOWN = 5  # queries in each picture
HITS = 10  # of each
BLOCK = 8192  # gallery rows multiplied at a time


@dataclasses.dataclass(frozen=True)
class Subject:
    """Whose vectors of which images were compared.

    Args:
        run: The run whose model it is; None for a plain one.
        model_digest: Of the image encoder; empty where vectors came without one.
        descriptor: `projected` or `concat`; empty where that is not known.
        fingerprint: Of the data's rows; empty where vectors came without them.
        split: Whose images were the queries.
        index: The index that was the gallery; empty where it was the data's own.
        precision: Of the image encoder; empty where that is not known.
    """

    run: Run | None = None
    model_digest: str = ""
    descriptor: str = ""
    fingerprint: str = ""
    split: str = "query"
    index: str = ""
    precision: str = ""

    def summary(self) -> dict[str, str]:
        """Return what identifies model and data, ready for JSON."""
        names = ("model_digest", "descriptor", "precision", "fingerprint", "split", "index")
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """The content of a report.

    Args:
        report: The evaluation.
        subject: What was evaluated.
        query: Its queries.
        gallery: Its gallery.
        truth: Which rows are hits of each query.
        verification: Thresholds and the scores of both kinds of pairs.
        cameras: The table of camera pairs; empty where no camera is known.
    """

    report: EvaluationReport
    subject: Subject
    query: Side
    gallery: Side
    truth: Truth
    verification: Verification
    cameras: tuple[CameraPair, ...]

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what `queries.csv` says of each query, in their order; empty where there is nothing to say."""
        single, why = self.report.scores.per_query, dict(self.report.scores.lost.why)
        wrong = self.verification.wrong
        for number, name in enumerate(self.query.names):
            valid = number not in why
            place = int(wrong.rows[number])
            yield {
                "query": name,
                **({"caption": self.query.texts[number]} if self.query.texts else {}),
                "identity": self.query.identities[number],
                "camera": self.query.cameras[number],
                "average_precision": float(single.average_precision[number]) if valid else "",
                "first_rank": int(single.first_rank[number]) if valid else "",
                "matches": int(single.matches[number]),
                "ignored": len(self.truth.never_false(number)) - len(self.truth.hits(number)),
                "best_wrong": self.gallery.names[place] if place >= 0 else "",
                **(
                    {"best_wrong_caption": self.gallery.texts[place] if place >= 0 else ""}
                    if self.gallery.texts
                    else {}
                ),
                "best_wrong_identity": self.gallery.identities[place] if place >= 0 else "",
                "best_wrong_score": float(wrong.scores[number]) if place >= 0 else "",
                "lost": why.get(number, ""),
            }

    def extremes(self) -> dict[str, list[int]]:
        """Return the numbers of the worst, the median and the best queries by average precision, none twice."""
        best, worst = self._ordered(1), self._ordered(-1)
        middle = max(len(best) // 2 - SHOWN // 2, 0)
        groups: dict[str, list[int]] = {}
        taken: set[int] = set()
        for name, part in (("worst", worst), ("best", best), ("median", best[middle:])):
            groups[name] = [number for number in part if number not in taken][:SHOWN]
            taken.update(groups[name])
        return {name: groups[name] for name in ("worst", "median", "best")}

    def _ordered(self, sign: int) -> list[int]:
        """Return the valid queries by average precision, best first for 1, worst first for -1.

        Of equal ones, each person's first comes before all second ones: a page of rankings shows many people.
        """
        precision = self.report.scores.per_query.average_precision
        valid = np.flatnonzero(np.isfinite(precision)).tolist()[::sign]
        seen: Counter[tuple[float, str]] = Counter()
        places = {}
        for place, number in enumerate(valid):
            own = (float(precision[number]), self.query.identities[number])
            places[number] = (-sign * own[0], seen[own], place)
            seen[own] += 1
        return sorted(valid, key=places.__getitem__)

    def rankings(self, numbers: Sequence[int]) -> Mapping[int, list[tuple[int, float]]]:
        """Return some queries' best rows under the protocol, right and wrong ones, with their cosines."""
        rankings = {}
        asked = np.asarray(self.query.vectors[np.asarray(numbers, dtype=np.int64)], np.float32)
        blocks = (self.gallery.vectors[low : low + BLOCK] for low in range(0, len(self.gallery.names), BLOCK))
        scores = np.concatenate([asked @ block.T for block in blocks], axis=1)  # (len(numbers), N)
        for number, own in zip(numbers, scores, strict=True):
            own[np.setdiff1d(self.truth.never_false(number), self.truth.hits(number))] = -np.inf
            best = np.argsort(-own, kind="stable")[:HITS]
            rankings[number] = [(int(row), float(own[row])) for row in best if np.isfinite(own[row])]
        return rankings


def gather(
    report: EvaluationReport,
    sides: tuple[Side, Side],
    subject: Subject,
    *,
    products: Products | None,
    reporter: Reporter,
) -> Findings:
    """Compare all pairs and all cameras, as the evaluation did.

    Args:
        report: The evaluation.
        sides: Its queries and its gallery.
        subject: What was evaluated.
        products: What multiplies; numpy on the CPU if None.
        reporter: Where progress goes.
    """
    query, gallery = sides
    shared: dict[str, Any] = {"protocol": report.protocol.name, "products": products, "reporter": reporter}
    cameras: tuple[CameraPair, ...] = ()
    if any(query.cameras) and any(gallery.cameras):
        cameras = compare_cameras(query, gallery, **shared)
    return Findings(
        report=report,
        subject=subject,
        query=query,
        gallery=gallery,
        truth=find_truth(query, gallery, protocol=report.protocol.name),
        verification=verify(query, gallery, **shared),
        cameras=cameras,
    )
