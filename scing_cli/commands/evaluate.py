"""`scing evaluate`: mAP, mINP and CMC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scing_cli.commands import options
from scing_cli.commands.console import Terminal
from scing_cli.commands.given import check_machine, not_with
from scing_cli.core.errors import counted

if TYPE_CHECKING:
    from scing_cli.core.workflows.saved import EvaluationReport

NUMBERS = ("mAP", "mINP", "rank1", "rank5", "rank10", "queries", "valid_queries")


def evaluate(
    run: options.RunFolder = None,
    model: options.PlainModel = None,
    pretrained: options.PlainPretrained = None,
    stride: options.PlainStride = None,
    split: options.QuerySplit = "query",
    data: options.SeveralData = None,
    layout: options.Layout = "auto",
    index: options.GalleryIndexFile = None,
    embeddings: options.SavedEmbeddings = None,
    protocol: options.Protocol = "auto",
    descriptor: options.DescriptorKind = "projected",
    list_lost: options.ListLost = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.BatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Rank the gallery for every query: mAP, mINP, CMC; single query, no re-ranking."""
    terminal = Terminal(as_json=as_json)
    if embeddings is not None:
        given = {"run": run, "model": model, "pretrained": pretrained, "stride": stride, "data": data, "index": index}
        usual = {"split": (split, "query"), "layout": (layout, "auto"), "descriptor": (descriptor, "projected")}
        not_with("--embeddings", given, **usual)
        check_machine(device, precision, workers, batch_size)
        from scing_cli.core.workflows.saved import evaluate_saved

        _tell([evaluate_saved(embeddings, protocol=protocol, reporter=terminal)], "query", list_lost, terminal)
        return
    from scing_cli.core.workflows.evaluate import evaluate_on
    from scing_cli.core.workflows.machine import Machine
    from scing_cli.core.workflows.models import ModelChoice

    if data and len(data) > 1:
        not_with("several --data", {"index": index})
    reports = evaluate_on(
        ModelChoice(run, model, pretrained, stride, seed),
        data or [None],
        split=split,
        layout=layout,
        index=index,
        protocol=protocol,
        descriptor=descriptor,
        machine=Machine(device, precision, workers, batch_size),
        reporter=terminal,
    )
    _tell(reports, split, list_lost, terminal)


def _tell(reports: list[EvaluationReport], split: str, list_lost: bool, terminal: Terminal) -> None:
    payloads = [_payload(report, list_lost) for report in reports]
    if terminal.result(payloads[0] if len(payloads) == 1 else {"evaluations": payloads}):
        return
    if len(reports) > 1:
        terminal.scores(f"{split}: {reports[0].model}", [(report.data, report.scores) for report in reports])
    for report in reports:
        scores, name = report.scores, f"{report.data}: " if len(reports) > 1 else ""
        if not name:
            terminal.scores(f"{report.data}, {split}: {report.model}", [("", scores)])
        counts = f"{scores.valid_queries:,} of {scores.queries:,} queries count, {report.gallery:,} gallery rows."
        terminal.say(f"{name}{counts}")
        terminal.say(f"{name}Protocol {report.protocol.name}: {report.protocol.reason}.")
        if report.lost:
            lost = counted(scores.lost.total, "query has", "queries have")
            terminal.say(f"{name}{lost} no true match left: {scores.lost.reasons()}.")
        if list_lost:
            from scing_cli.core.evaluation import REASONS

            for query, reason in report.lost:
                terminal.say(f"  {query} {REASONS[reason][0]}")


def _payload(report: EvaluationReport, list_lost: bool) -> dict[str, Any]:
    lost = {"lost": [{"query": query, "reason": reason} for query, reason in report.lost]} if list_lost else {}
    run = str(report.run) if report.run else None
    numbers = {name: getattr(report.scores, name) for name in NUMBERS} | {"gallery": report.gallery}
    chosen = {"protocol": report.protocol.name, "protocol_reason": report.protocol.reason}
    return numbers | chosen | {"data": report.data, "run": run, "model": report.model} | lost
