"""`scing evaluate`: compute mAP, mINP and CMC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scing_cli.commands import caption_options, model_options, options, spectra_options
from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import check_machine, not_with, only_with
from scing_cli.commands.show_evaluate import show

if TYPE_CHECKING:
    from scing_cli.core.evaluation import Reranking
    from scing_cli.core.workflows.evaluate.ranked import EvaluationReport


def evaluate(
    run: options.RunFolder = None,
    model: model_options.PlainModel = None,
    pretrained: model_options.PlainPretrained = None,
    stride: model_options.PlainStride = None,
    statistics: model_options.PlainStatistics = "auto",
    interpolation: model_options.PlainInterpolation = "auto",
    cameras: model_options.PlainCameras = None,
    camera_factor: model_options.PlainCameraFactor = 1.0,
    spectra: model_options.PlainSpectra = None,
    missing: model_options.Missing = None,
    queries: caption_options.Queries = "images",
    direction: caption_options.Direction = None,
    split: options.QuerySplit = "query",
    data: options.SeveralData = None,
    layout: options.Layout = "auto",
    index: options.GalleryIndexFile = None,
    embeddings: options.SavedEmbeddings = None,
    protocol: options.Protocol = "auto",
    descriptor: options.DescriptorKind = "projected",
    drop: spectra_options.Drop = None,
    list_lost: options.ListLost = False,
    output: options.ReportFolder = None,
    strict: options.StrictImages = False,
    rerank: options.Rerank = False,
    k1: options.K1 = None,
    k2: options.K2 = None,
    lambda_: options.Lambda = None,
    yes: options.Yes = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.BatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Rank the gallery for every query, a photo or a caption: mAP, mINP, CMC; no re-ranking unless asked for."""
    terminal, first = Terminal(as_json=as_json), (run, model, pretrained, stride, seed, statistics, interpolation)
    seen: dict[str, Any] = {"cameras": cameras, "camera_factor": camera_factor, "spectra": spectra, "missing": missing}
    reranking = _reranking({"k1": k1, "k2": k2, "lambda": lambda_, "yes": yes or None}, rerank)
    asked: dict[str, Any] = {"queries": queries, "direction": direction, "protocol": protocol, "reranking": reranking}
    asked |= {"yes": yes, "output": output, "reporter": terminal}
    if embeddings is not None:
        given: dict[str, object] = {"run": run, "data": data, "index": index, "model": model, "stride": stride}
        given |= {"pretrained": pretrained, "statistics": statistics, "interpolation": interpolation}
        usual = {"split": (split, "query"), "layout": (layout, "auto"), "descriptor": (descriptor, "projected")}
        not_with("--embeddings", model_options.given(**given, **seen, drop=drop), **usual, strict=(strict, False))
        check_machine(device, precision, workers, batch_size)
        from scing_cli.core.workflows.evaluate.evaluate_saved import evaluate_saved

        report = evaluate_saved(embeddings, **asked)
        _show([report], "query", list_lost, terminal)
        return
    from scing_cli.core.workflows.evaluate.evaluate_data import evaluate_on
    from scing_cli.core.workflows.shared.machine import Machine

    if data and len(data) > 1:
        not_with("several --data", {"index": index})
    reports = evaluate_on(
        model_options.choose(*first, **seen),
        data or [None],
        split=split,
        layout=layout,
        index=index,
        descriptor=descriptor,
        drop=drop,
        strict=strict,
        machine=Machine(device, precision, workers, batch_size),
        **asked,
    )
    _show(reports, split, list_lost, terminal)


def _reranking(given: Mapping[str, Any], wanted: bool) -> Reranking | None:
    settings = only_with("--rerank", wanted=wanted, given=given)
    if not wanted:
        return None
    from scing_cli.core.evaluation import Reranking

    return Reranking(**{name.replace("lambda", "lambda_"): settings[name] for name in settings if name != "yes"})


def _show(reports: list[EvaluationReport], split: str, list_lost: bool, terminal: Terminal) -> None:
    payloads = [report.summary(list_lost=list_lost) for report in reports]
    if terminal.as_json:  # a table says it below its figures
        for text in dict.fromkeys(caution.text for report in reports for caution in report.cautions):
            terminal.warn(text)
    if not terminal.result(payloads[0] if len(payloads) == 1 else {"evaluations": payloads}):
        show(reports, split, list_lost=list_lost, terminal=terminal)
