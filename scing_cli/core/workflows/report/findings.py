"""What a report says beyond the scores: thresholds, cameras, and each query's own line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scing_cli.core.evaluation import CameraPair, Verification, compare_cameras, verify
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.truth import Truth, find_truth
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.saved import EvaluationReport, Side

SHOWN = 5  # queries in each picture
HITS = 10  # of each


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """All a report is made of.

    Args:
        report: The evaluation.
        query: Its queries.
        gallery: Its gallery.
        truth: Which rows are hits of each query.
        verification: Thresholds and the scores of both kinds of pairs.
        cameras: The table of camera pairs; empty where no camera is known.
    """

    report: EvaluationReport
    query: Side
    gallery: Side
    truth: Truth
    verification: Verification
    cameras: tuple[CameraPair, ...]

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what `queries.csv` says of each query, in their order; empty where there is nothing to say."""
        single, why = self.report.scores.per_query, dict(self.report.scores.lost.why)
        wrong = self.verification.wrong
        for number, name in enumerate(self.query.names()):
            valid = number not in why
            place = int(wrong.rows[number])
            yield {
                "query": name,
                "identity": self.query.identities[number],
                "camera": self.query.cameras[number],
                "average_precision": float(single.average_precision[number]) if valid else "",
                "first_rank": int(single.first_rank[number]) if valid else "",
                "matches": int(single.matches[number]),
                "ignored": len(self.truth.never_false(number)) - len(self.truth.hits(number)),
                "best_wrong": self.gallery.names()[place] if place >= 0 else "",
                "best_wrong_identity": self.gallery.identities[place] if place >= 0 else "",
                "best_wrong_score": float(wrong.scores[number]) if place >= 0 else "",
                "lost": why.get(number, ""),
            }

    def extremes(self) -> dict[str, list[int]]:
        """Return the numbers of the best, the median and the worst queries by average precision, none twice."""
        precision = self.report.scores.per_query.average_precision
        valid = np.flatnonzero(np.isfinite(precision))
        order = valid[np.lexsort((valid, -precision[valid]))].tolist()
        middle = max(len(order) // 2 - SHOWN // 2, 0)
        groups: dict[str, list[int]] = {}
        taken: set[int] = set()
        for name, part in (("worst", order[::-1]), ("best", order), ("median", order[middle:])):
            groups[name] = [number for number in part if number not in taken][:SHOWN]
            taken.update(groups[name])
        return {name: groups[name] for name in ("best", "median", "worst")}

    def ranking(self, number: int) -> Sequence[tuple[int, float]]:
        """Return a query's best rows that the protocol counts, with their cosines; wrong and right ones."""
        scores = np.asarray(self.gallery.vectors[:], np.float32) @ np.asarray(self.query.vectors[number], np.float32)
        left_out = np.setdiff1d(self.truth.never_false(number), self.truth.hits(number))
        scores[left_out] = -np.inf
        order = np.argsort(-scores, kind="stable")[:HITS]
        return [(int(row), float(scores[row])) for row in order if np.isfinite(scores[row])]


def gather(
    report: EvaluationReport, query: Side, gallery: Side, *, products: Products | None, reporter: Reporter
) -> Findings:
    """Compare all pairs and all cameras, as the evaluation did."""
    labels = (query.identities, gallery.identities, query.cameras, gallery.cameras)
    options = {"protocol": report.protocol.name, "query_keys": query.keys, "gallery_keys": gallery.keys}
    both = (query.vectors, gallery.vectors, *labels)
    cameras: tuple[CameraPair, ...] = ()
    if any(query.cameras) and any(gallery.cameras):
        cameras = compare_cameras(*both, **options, products=products, reporter=reporter)
    return Findings(
        report=report,
        query=query,
        gallery=gallery,
        truth=find_truth(*labels, **options),
        verification=verify(*both, **options, products=products, reporter=reporter),
        cameras=cameras,
    )
