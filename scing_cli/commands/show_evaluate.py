"""Print the result of `scing evaluate` as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import agreeing, counted

if TYPE_CHECKING:
    from scing_cli.commands.console import Figures
    from scing_cli.core.workflows.evaluate.ranked import EvaluationReport


def show(reports: Sequence[EvaluationReport], split: str, *, list_lost: bool, terminal: Terminal) -> None:
    """Print one table of all evaluations with published figures, then the protocol and notes of each."""
    several, sets = len(reports) > 1, len({report.data for report in reports}) > 1
    title = ", ".join(
        filter(None, ("" if sets else reports[0].data if several else reports[0].title(), split, reports[0].direction))
    )
    terminal.scores(f"{title}: {reports[0].model}", [row for report in reports for row in _rows(report, several, sets)])
    for report in reports:
        name = f"{report.title(data=sets)}: " if several else ""
        for line in _lines(report):
            terminal.say(f"{name}{line}")
        if list_lost:
            from scing_cli.core.evaluation import reason_of

            for query, reason in report.lost:
                terminal.say(f"  {query} {reason_of(reason, 1, report.gallery_of())}")


def _rows(report: EvaluationReport, named: bool, sets: bool) -> Iterator[tuple[str, Figures]]:
    title = report.title(data=sets or not named)
    yield title if named or report.published or report.reranked else "", report.scores
    if report.reranked:
        yield "re-ranked", report.reranked.scores
    for row in report.published:
        yield f"published, Table {row.table}", row


def _lines(report: EvaluationReport) -> Iterator[str]:
    scores = report.scores
    queries = counted(scores.queries, "query", "queries")
    are = agreeing(scores.valid_queries, "is", "are")
    yield f"{scores.valid_queries:,} of {queries} {are} valid, {counted(report.gallery, 'gallery row')}."
    if report.words:
        yield report.words.line()
        yield from report.words.faults()
    for line in filter(None, (report.left_out_line(), report.unseen_line())):
        yield line
    if not any(caution.kind == "no-camera" for caution in report.cautions):  # it names the protocol
        yield f"Protocol {report.protocol.name}: {report.protocol.reason}."
    for caution in report.cautions:
        yield f"Warning: {caution.text}"
    if report.reranked:
        yield f"Re-ranked by k-reciprocal neighbours: {report.reranked.settings}."
    if report.published:
        notes = ((row, f" ({row.note})" if row.note else "") for row in report.published)
        yield f"Published: {'; '.join(f'Table {row.table}, {row.row}{note}' for row, note in notes)}."
    if report.published_note:
        yield report.published_note
    if line := report.lost_line():
        yield line
    if report.output:
        yield f"Report: {report.output / 'report.html'}"
