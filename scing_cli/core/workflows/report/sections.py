"""The sections of the page: what was found, as charts, tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from scing_cli.core.artifacts import Run
from scing_cli.core.errors import ScingError, counted
from scing_cli.core.evaluation.rates import OperatingPoint
from scing_cli.core.evaluation.sampling import Estimate
from scing_cli.core.figures.report.charts import cmc_chart, course_chart, roc_chart, score_chart
from scing_cli.core.figures.report.page import Block, Cell, Chart, Facts, Picture, Section, Table, Text
from scing_cli.core.workflows.report.findings import Findings

BINS = 128
CAMERAS_SHOWN = 12  # a table of more is too wide for a page: it is in report.json
TERMS = {
    "train-prompts": ("contrast", "consistency"),
    "train-visual": ("identity", "triplet", "image_to_text"),
}


def ranking(findings: Findings) -> Section:
    """Return the CMC curve, the measures beside the published ones, and the queries that do not count."""
    report, scores = findings.report, findings.report.scores
    rows: list[Sequence[Cell]] = [_measures("this evaluation", scores)]
    if report.reranked:
        rows.append(_measures("re-ranked", report.reranked.scores))
    rows += [
        (f"published, Table {row.table}", row.mAP, None, row.rank1, None, None) for row in report.published
    ]
    blocks: list[Block] = [
        Chart(cmc_chart(scores.cmc), "The share of queries with a true hit at rank k or before."),
        Table(("", "mAP", "mINP", "rank-1", "rank-5", "rank-10"), rows, "In percent"),
        Text(f"Protocol {report.protocol.name}: {report.protocol.reason}."),
    ]
    if report.published_note:
        blocks.append(Text(report.published_note))
    if scores.lost.total:
        lost = counted(scores.lost.total, "query has", "queries have")
        blocks.append(Text(f"{lost} no true match left: {scores.lost.reasons()}."))
    return Section("Ranking", blocks)


def _measures(name: str, scores: Any) -> Sequence[Cell]:
    return (name, *(f"{getattr(scores, field):.2f}" for field in ("mAP", "mINP", "rank1", "rank5", "rank10")))


def thresholds(findings: Findings) -> Section:
    """Return how scores of both kinds of pairs are spread, the ROC curve, and the thresholds with their errors."""
    found = findings.verification
    histogram = found.histogram.rebinned(BINS)
    marks = {f"{point.rate:g}": point for point in found.points if point.threshold is not None}
    at = {name: (point.false_match.value, point.true_match.value) for name, point in marks.items() if point.false_match and point.true_match}
    lines = {f"FMR {name}": float(point.threshold or 0.0) for name, point in marks.items()}
    rows: list[Sequence[Cell]] = [_point(point) for point in found.points]
    if found.equal_error:
        equal = found.equal_error
        rows.append(("equal error rate", f"{equal.threshold:.4f}", _share(equal.rate), None, None))
    return Section(
        "Which score means the same person",
        [
            Text(
                f"{found.same_pairs:,} same-identity and {found.different_pairs:,} different-identity pairs of "
                f"{found.identities:,} people. A pair matches if its score is at least the threshold; the threshold of a "
                "false-match rate is the lowest at which no more different-identity pairs than that match. Intervals are of "
                "95 %, for other people of the same kind at the same threshold."
            ),
            Chart(score_chart(histogram.edges, histogram.same, histogram.different, lines), "Scores, each kind of pairs by itself."),
            Chart(roc_chart(found.curve.false_match, found.curve.true_match, at), "True-match rate over false-match rate."),
            Table(("false-match rate", "threshold", "measured", "true-match rate", ""), rows),
        ],
    )


def _point(point: OperatingPoint) -> Sequence[Cell]:
    if point.threshold is None or point.false_match is None or point.true_match is None:
        return (f"{point.rate:g}", None, None, None, point.reason)
    return (f"{point.rate:g}", f"{point.threshold:.4f}", _share(point.false_match), _share(point.true_match), None)


def _share(estimate: Estimate) -> str:
    value = f"{100 * estimate.value:.3g} %"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} ({100 * estimate.low:.3g} to {100 * estimate.high:.3g})"


def cameras(findings: Findings) -> Section:
    """Return mAP by query camera and gallery camera; nothing where no camera is known."""
    pairs = findings.cameras
    across = list(dict.fromkeys(pair.gallery_camera for pair in pairs))
    down = list(dict.fromkeys(pair.query_camera for pair in pairs))
    if not pairs:
        return Section("Cameras", [])
    if max(len(across), len(down)) > CAMERAS_SHOWN:
        return Section("Cameras", [Text(f"{len(down)} by {len(across)} cameras: the table is in report.json.")])
    by_pair = {(pair.query_camera, pair.gallery_camera): pair for pair in pairs}
    rows = [
        [camera or "unknown", *(_cell(by_pair[camera, other].mAP, by_pair[camera, other].valid_queries) for other in across)]
        for camera in down
    ]
    return Section(
        "Cameras",
        [
            Text("mAP of each camera's queries among the rows of one camera alone, and how many queries that is."),
            Table(("query \\ gallery", *(camera or "unknown" for camera in across)), rows, "mAP, percent (queries)"),
        ],
    )


def _cell(value: float | None, queries: int) -> str:
    return "" if value is None else f"{value:.1f} ({queries:,})"


def pictures(montages: Mapping[str, Image.Image]) -> Section:
    """Return the rankings of the best, the median and the worst queries, by average precision."""
    return Section("Rankings", [Picture(image, f"The {name} queries by average precision.") for name, image in montages.items()])


def training(run: Run | None) -> Section:
    """Return the course of a run's training; nothing for a plain model, or where the log cannot be read."""
    return Section("Training", list(_courses(run.metrics)) if run is not None else [])


def _courses(log: Path) -> Iterator[Block]:
    try:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, ScingError):
        return
    for stage, terms in TERMS.items():
        own = [row for row in rows if row.get("stage") == stage]
        drawn = [term for term in terms if own and all(term in row for row in own)]
        if drawn:
            yield Chart(course_chart(stage, own, drawn), f"Losses of {stage}, mean of each epoch.")


def settings(run: Run | None) -> Section:
    """Return what the run was made with."""
    if run is None:
        return Section("Settings", [])
    facts = [Facts(stage, {name: _text(value) for name, value in values.items()}) for stage, values in run.info["settings"].items()]
    data = {name: _text(value) for name, value in run.info["data"].items()}
    return Section("Settings", [*facts, Facts("data of the training", data)])


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
