"""What `scing evaluate` found, as JSON and as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import counted

if TYPE_CHECKING:
    from scing_cli.commands.console import Figures
    from scing_cli.core.workflows.saved import EvaluationReport, Reranked

NUMBERS = ("mAP", "mINP", "rank1", "rank5", "rank10", "queries", "valid_queries")
PUBLISHED = ("table", "row", "mAP", "rank1", "source", "note")


def payload(report: EvaluationReport, *, list_lost: bool) -> dict[str, Any]:
    """Return one evaluation as `--json` prints it."""
    lost = {"lost": [{"query": query, "reason": reason} for query, reason in report.lost]} if list_lost else {}
    run = str(report.run) if report.run else None
    numbers = {name: getattr(report.scores, name) for name in NUMBERS} | {"gallery": report.gallery}
    chosen = {"protocol": report.protocol.name, "protocol_reason": report.protocol.reason}
    beside: dict[str, Any] = {
        "published": [{name: getattr(row, name) for name in PUBLISHED} for row in report.published]
    }
    if report.published_note:
        beside["published_note"] = report.published_note
    if report.reranked:
        beside["reranked"] = _reranked(report.reranked)
    return numbers | chosen | {"data": report.data, "run": run, "model": report.model} | beside | lost


def _reranked(reranked: Reranked) -> dict[str, Any]:
    settings = {"k1": reranked.settings.k1, "k2": reranked.settings.k2, "lambda": reranked.settings.lambda_}
    return {name: getattr(reranked.scores, name) for name in NUMBERS[:5]} | settings


def show(reports: Sequence[EvaluationReport], split: str, *, list_lost: bool, terminal: Terminal) -> None:
    """Print one table of all evaluations, published figures below each, then what there is to know of each."""
    several = len(reports) > 1
    title = split if several else f"{reports[0].data}, {split}"
    terminal.scores(f"{title}: {reports[0].model}", [row for report in reports for row in _rows(report, several)])
    for report in reports:
        name = f"{report.data}: " if several else ""
        for line in _lines(report):
            terminal.say(f"{name}{line}")
        if list_lost:
            from scing_cli.core.evaluation import REASONS

            for query, reason in report.lost:
                terminal.say(f"  {query} {REASONS[reason][0]}")


def _rows(report: EvaluationReport, named: bool) -> Iterator[tuple[str, Figures]]:
    yield report.data if named or report.published or report.reranked else "", report.scores
    if report.reranked:
        yield "re-ranked", report.reranked.scores
    for row in report.published:
        yield f"published, Table {row.table}", row


def _lines(report: EvaluationReport) -> Iterator[str]:
    scores = report.scores
    yield f"{scores.valid_queries:,} of {scores.queries:,} queries count, {report.gallery:,} gallery rows."
    yield f"Protocol {report.protocol.name}: {report.protocol.reason}."
    if report.reranked:
        yield f"Re-ranked by k-reciprocal neighbours: {report.reranked.settings}."
    if report.published:
        notes = ((row, f" ({row.note})" if row.note else "") for row in report.published)
        yield f"Published: {'; '.join(f'Table {row.table}, {row.row}{note}' for row, note in notes)}."
    if report.published_note:
        yield report.published_note
    if report.lost:
        lost = counted(scores.lost.total, "query has", "queries have")
        yield f"{lost} no true match left: {scores.lost.reasons()}."
