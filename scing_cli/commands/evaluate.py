"""`scing evaluate`: mAP, mINP and CMC."""

from __future__ import annotations

from scing_cli.commands import options
from scing_cli.commands.console import Terminal


def evaluate(
    run: options.RunFolder = None,
    model: options.PlainModel = None,
    pretrained: options.PlainPretrained = None,
    stride: options.PlainStride = None,
    split: options.QuerySplit = "query",
    data: options.Data = None,
    layout: options.Layout = "auto",
    index: options.GalleryIndexFile = None,
    protocol: options.Protocol = "auto",
    descriptor: options.DescriptorKind = "projected",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.BatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Rank the gallery for every query: mAP, mINP, CMC; single query, no re-ranking."""
    from scing_cli.core.workflows.evaluate import evaluate as score
    from scing_cli.core.workflows.machine import Machine
    from scing_cli.core.workflows.models import ModelChoice

    terminal = Terminal(as_json=as_json)
    report = score(
        ModelChoice(run, model, pretrained, stride, seed),
        split=split,
        data=data,
        layout=layout,
        index=index,
        protocol=protocol,
        descriptor=descriptor,
        machine=Machine(device, precision, workers, batch_size),
        reporter=terminal,
    )
    scores = report.scores
    payload = {
        **{
            name: getattr(scores, name)
            for name in ("mAP", "mINP", "rank1", "rank5", "rank10", "queries", "valid_queries")
        },
        "gallery": report.gallery,
        "protocol": report.protocol.name,
        "data": report.data,
        "run": str(report.run) if report.run else None,
        "model": report.model,
    }
    if not terminal.result(payload):
        terminal.scores(f"{report.data}, {split}: {report.model}", scores)
        lost = scores.queries - scores.valid_queries
        terminal.say(f"{scores.valid_queries:,} of {scores.queries:,} queries count, {report.gallery:,} gallery rows.")
        terminal.say(f"Protocol {report.protocol.name}: {report.protocol.reason}.")
        if lost:
            terminal.say(f"{lost:,} queries have no true match left: {scores.lost.reasons()}.")
