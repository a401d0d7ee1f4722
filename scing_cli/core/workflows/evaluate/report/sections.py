"""The sections of the page: what was found, as charts, tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import Run
from scing_cli.core.evaluation import CameraPair
from scing_cli.core.evaluation.rates import OperatingPoint, four_digits
from scing_cli.core.evaluation.sampling import Estimate
from scing_cli.core.figures.report.charts import cmc_chart, roc_chart, score_chart, training_chart
from scing_cli.core.figures.report.page import Block, Cell, Chart, Facts, Picture, Section, Table, Text
from scing_cli.core.safe_reading import check_ordinary, read_limited
from scing_cli.core.settings import with_effect
from scing_cli.core.workflows.evaluate.report.findings import Findings
from scing_cli.core.workflows.evaluate.report.ranking_pictures import RankingPicture

TRAINED_ON = ("name", "layout", "include_val", "fingerprint")  # not where it lies: a report is passed on
LARGEST = 1e30  # of a loss: more is damage, and no chart can show it
BINS = 128
LEFT_OUT = "left-out.csv"
CAMERAS_SHOWN = 12  # a table of more is too wide for a page: it is in report.json
SPREAD = "How the scores of each kind of pairs are spread."
ROC = "ROC: the true-match rate over the false-match rate."
SHOWN_RANKINGS = "The {} queries by average precision (AP), with their nearest {}s that the protocol counts."
STAGES = ("train-prompts", "train-visual")
GRADIENT = "gradient_"  # a log has the norm of the gradient of each loss term, by the term's name


def ranking(findings: Findings) -> Section:
    """Return the CMC curve, the measures next to the published ones, and the queries without a true match."""
    report, scores = findings.report, findings.report.scores
    rows: list[Sequence[Cell]] = [_measures("this evaluation", scores)]
    if report.reranked:
        rows.append(_measures("re-ranked", report.reranked.scores))
    rows += [(f"published, Table {row.table}", row.mAP, None, row.rank1, None, None) for row in report.published]
    blocks: list[Block] = [
        *([Text(report.words.line())] if report.words else []),
        Chart(cmc_chart(scores.cmc), "CMC: the share of queries with a true hit at rank k or before."),
        Table(("", "mAP", "mINP", "rank-1", "rank-5", "rank-10"), rows, "In percent"),
    ]
    if not any(caution.kind == "no-camera" for caution in report.cautions):  # it names the protocol
        blocks.append(Text(f"Protocol {report.protocol.name}: {report.protocol.reason}."))
    if report.published_note:
        blocks.append(Text(report.published_note))
    return Section("Ranking", blocks)


def attention(findings: Findings) -> list[str]:
    """Return what the page opens with: what flatters the figures, and the images and queries that are not in them."""
    texts = [caution.text for caution in findings.report.cautions]
    if findings.report.words:
        texts += findings.report.words.faults()
    if line := findings.report.left_out_line():
        texts.append(f"{line} They are listed in {LEFT_OUT}.")
    if line := findings.report.unseen_line():
        texts.append(line)
    if line := findings.report.lost_line():
        texts.append(line)
    return texts


def _measures(name: str, scores: Any) -> Sequence[Cell]:
    return (name, *(f"{getattr(scores, field):.2f}" for field in ("mAP", "mINP", "rank1", "rank5", "rank10")))


def thresholds(findings: Findings) -> Section:
    """Return how scores of both kinds of pairs are spread, the ROC curve, and the thresholds with their errors."""
    found = findings.verification
    histogram = found.histogram.rebinned(BINS)
    marks = {f"{point.rate:g}": point for point in found.points if point.threshold is not None}
    at = {
        name: (point.false_match.value, point.true_match.value)
        for name, point in marks.items()
        if point.false_match and point.true_match
    }
    lines = {f"FMR {name}": float(point.threshold or 0.0) for name, point in marks.items()}
    rows: list[Sequence[Cell]] = [_point(point) for point in found.points if point.threshold is not None]
    if found.equal_error:
        equal = found.equal_error
        rows.append(("equal error rate", four_digits(equal.threshold), _share(equal.rate), None))
    return Section(
        "Which score means the same identity",
        [
            Text(
                f"{found.same_pairs:,} same-identity and {found.different_pairs:,} different-identity pairs of "
                f"{found.identities:,} people. A pair matches if its score is at least the threshold. The threshold of "
                "a false-match rate is the lowest at which no larger share of different-identity pairs matches. In "
                "brackets: the 95 % interval of the sampling error, with people as the unit."
            ),
            Chart(score_chart(histogram.edges, histogram.same, histogram.different, lines), SPREAD),
            Chart(roc_chart(found.curve.false_match, found.curve.true_match, at), ROC),
            *([Table(("false-match rate", "threshold", "measured", "true-match rate"), rows)] if rows else []),
            *(Text(f"No threshold: {point.reason}.") for point in found.points if point.threshold is None),
        ],
    )


def _point(point: OperatingPoint) -> Sequence[Cell]:
    false_match, true_match = (_share(rate) if rate else None for rate in (point.false_match, point.true_match))
    return (f"{point.rate:g}", four_digits(point.threshold or 0.0), false_match, true_match)


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
    rows = [[camera or "unknown", *(_cell(by_pair[camera, other]) for other in across)] for camera in down]
    return Section(
        "Cameras",
        [
            Text("mAP of each camera's queries among the rows of one camera alone, and how many queries that is."),
            Table(("query \\ gallery", *(camera or "unknown" for camera in across)), rows, "mAP, percent (queries)"),
        ],
    )


def _cell(pair: CameraPair) -> str:
    return "" if pair.mAP is None else f"{pair.mAP:.1f} ({pair.valid_queries:,})"


def pictures(heading: str, montages: Mapping[str, RankingPicture], names: Sequence[str], of: str) -> Section:
    """Return the rankings of some groups of queries, such as the worst ones, by average precision.

    Args:
        heading: The section's heading.
        montages: By group; a group without queries is missing.
        names: The groups.
        of: What the rows of the gallery are: `image` or `caption`.
    """
    blocks: list[Block] = []
    for name in (name for name in names if name in montages):
        drawn = montages[name]
        blocks.append(Picture(drawn.light, SHOWN_RANKINGS.format(name, of), drawn.dark))
        if drawn.words:
            blocks.append(Facts(f"captions of the {name} queries", drawn.words))
    return Section(heading, blocks)


def training(run: Run | None) -> Section:
    """Return the course of a run's training; nothing for a plain model, or where the log cannot be read."""
    return Section("Training", list(_courses(run.metrics)) if run is not None else [])


def _courses(log: Path) -> Iterator[Block]:
    try:
        check_ordinary(log)
        rows = [json.loads(line) for line in read_limited(log).decode("utf-8").splitlines()]
    except (OSError, ValueError, RecursionError):
        return
    for stage in STAGES:
        own = [row for row in rows if isinstance(row, dict) and row.get("stage") == stage]
        drawn = [term for term in _terms(own) if _are_numbers(own, term)]
        if drawn and _are_numbers(own, "epoch"):
            yield Chart(training_chart(stage, own, drawn), f"Losses of {stage}, mean of each epoch.")


def _terms(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the loss terms in a log, in its order."""
    first = rows[0] if rows else {}
    return [name for name in first if GRADIENT + name in first and name.isascii() and name.isidentifier()]


def _are_numbers(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return bool(values) and all(isinstance(value, int | float) and abs(value) < LARGEST for value in values)


def settings(findings: Findings) -> Section:
    """Return which data and model were compared, and what the run was made with."""
    subject, report = findings.subject, findings.report
    facts = [Facts("this evaluation", {"data": report.data, "model": report.model, **subject.summary()})]
    if subject.run is not None:
        info = subject.run.info
        method = info["settings"].get("train-prompts", {}).get("method", "")
        facts += [
            Facts(stage, _texts(with_effect(stage, method, values))) for stage, values in info["settings"].items()
        ]
        facts += [
            Facts("data of the training", _texts({name: info["data"].get(name) for name in TRAINED_ON})),
            Facts("versions", _texts(info.get("versions", {}))),
        ]
    return Section("Settings", facts)


def _texts(values: Mapping[str, Any]) -> dict[str, Cell]:
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
