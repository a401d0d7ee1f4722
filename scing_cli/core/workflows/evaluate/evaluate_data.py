"""How good is a model: mAP, mINP and CMC on a data set's queries and gallery."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.datasets import DataSet
from scing_cli.core.datasets.checks import gallery_of
from scing_cli.core.datasets.left_out import report_left_out
from scing_cli.core.embeddings.text_embedder import TextEmbedder
from scing_cli.core.errors import SettingError
from scing_cli.core.evaluation import Reranking
from scing_cli.core.index import as_location
from scing_cli.core.manifest import Manifest
from scing_cli.core.paths import StrPath, as_path, check_once
from scing_cli.core.reporting import LIBRARY_REPORTER, Once
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import parse_spectra
from scing_cli.core.workflows.evaluate.cautions import of_copies, of_other_rows, of_training
from scing_cli.core.workflows.evaluate.compared_sides import compare
from scing_cli.core.workflows.evaluate.evaluation_request import Request
from scing_cli.core.workflows.evaluate.published import published_rows
from scing_cli.core.workflows.evaluate.ranked import EvaluationReport, lost_queries, rank_sides, without_cameras
from scing_cli.core.workflows.evaluate.report import Subject, write_report
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model, open_run_model
from scing_cli.core.workflows.shared.read_spectra import EACH, drop_cases, rows_seen
from scing_cli.core.workflows.shared.run_data import open_data
from scing_cli.core.workflows.shared.scoring import sides


def evaluate(
    choice: ModelChoice,
    *,
    split: str = "query",
    queries: str = "images",
    direction: str | None = None,
    data: StrPath | None = None,
    layout: str = "auto",
    index: StrPath | None = None,
    protocol: str = "auto",
    descriptor: str = "projected",
    drop: str | None = None,
    reranking: Reranking | None = None,
    yes: bool = False,
    output: StrPath | None = None,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> EvaluationReport:
    """Rank the gallery for every query and score the ranking.

    Args:
        choice: Which model.
        split: Whose images are the queries. The gallery of `query` is the split `gallery`; any other split is searched
            in itself. No image counts for itself.
        queries: `images`, or `text` to compare the captions of the data with their images: of `query` and `gallery`
            together, or of another split. Nothing is left out, not even the image that a caption describes.
        direction: With `text`: `text-to-image` (the usual one) searches the images for every caption, `image-to-text`
            the captions for every image of a known identity.
        data: A data set; None for the run's own.
        layout: How to read it.
        index: An index to take as gallery instead of the data's.
        protocol: auto, market, scene or no-camera; for words `auto` alone, which is then `text`.
        descriptor: `projected`, `concat` (R10), or `class` of dmpt; that of `index` replaces `projected`.
        drop: Spectra that are taken away from every image, such as `near-infrared,thermal`; of an `index` nothing is
            taken away.
        reranking: How to re-rank, to get these figures as well.
        yes: Whether that may take long.
        output: A folder for a report. Optional.
        strict: Raise at the first image that cannot be read, instead of leaving such images out.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        ImageError: If no query or no gallery image can be read, or with `strict` if one cannot.
        DataError: If there is no query, no gallery, or no query has a true match left.
        IndexFileError: If the index is of another model.
        SettingError: If re-ranking would take long, and that was not agreed to; or if words cannot be compared so; or
            if the model does not read what `drop` names.
    """
    if drop == EACH:
        raise SettingError(f"drop={EACH!r} gives several reports.", "evaluate_on returns all of them.")
    data, output = as_path(data), as_path(output)
    (report,) = evaluate_on(
        choice,
        [data],
        split=split,
        queries=queries,
        direction=direction,
        layout=layout,
        index=index,
        protocol=protocol,
        descriptor=descriptor,
        drop=drop,
        reranking=reranking,
        yes=yes,
        output=output,
        strict=strict,
        machine=machine,
        reporter=reporter,
    )
    for caution in report.cautions:
        reporter.warn(caution.text)
    return report


def evaluate_on(
    choice: ModelChoice,
    data: Sequence[Path | None],
    *,
    split: str = "query",
    queries: str = "images",
    direction: str | None = None,
    layout: str = "auto",
    index: StrPath | None = None,
    protocol: str = "auto",
    descriptor: str = "projected",
    drop: str | None = None,
    reranking: Reranking | None = None,
    yes: bool = False,
    output: Path | None = None,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> list[EvaluationReport]:
    """Evaluate one model on several data sets: as `evaluate` each, the model opened once, without its warnings.

    With `drop` as `each`, there is a report of each data set for every case of spectra that are away.

    Raises:
        DataError: Before anything is embedded, if one of them cannot be read or no query of it has a true match.
        SettingError: Before anything is embedded, if re-ranking would take long, and that was not agreed to.
    """
    machine = machine or Machine()
    check_once([path for path in data if path is not None], "--data")
    if output is not None and len(data) > 1:
        raise SettingError("--output: a report is of one data set.", "Evaluate them one by one, a folder for each.")
    if output is not None and drop == EACH:
        raise SettingError(f"--output: a report is of one case of --drop {EACH}.", "Name one: --drop thermal")
    if drop is not None and drop != EACH:
        parse_spectra(drop, "--drop")
    asked = Request(
        split=split,
        queries=queries,
        direction=direction,
        index=None if index is None else as_location(index, reporter),
        protocol=protocol,
        descriptor=descriptor,
        reranking=reranking,
        yes=yes,
        output=output,
        strict=strict,
        machine=machine,
        reporter=reporter,
    )
    # The data come before a plain model, which takes seconds to load.
    trained = open_run_model(choice, reporter=reporter)
    asked.check_model(trained)
    if trained is not None:
        drop_cases(drop, trained)
    run = trained.run if trained is not None else None
    sources = [open_data(run, path, layout=layout, reporter=reporter) for path in data]
    for source in sources:
        asked.check_data(source)
    opening = Once(reporter)  # both towers of a model have the same warnings
    model = trained or open_model(choice, reporter=opening)
    if reranking is not None and index is None:
        width = asked.embedder(model, descriptor).width
        for source in sources:
            asked.check_cost(*sides(source.manifest, split), width)
    tower = asked.text_embedder(model, opening)
    hearing = Once(reporter) if drop == EACH else reporter
    cases = [
        dataclasses.replace(asked, drop=case, direction=asked.direction or None, reporter=hearing)
        for case in drop_cases(drop, model)
    ]
    reports = [[_score(model, tower, source, case) for case in cases] for source in sources]
    if len({own[0].data for own in reports}) < len(reports):  # folders of one name
        reports = [
            [dataclasses.replace(one, data=str(path)) for one in own] for own, path in zip(reports, data, strict=True)
        ]
    return [one for own in reports for one in own]


def _score(model: OpenedModel, tower: TextEmbedder | None, source: DataSet, asked: Request) -> EvaluationReport:
    reporter, split, whole = asked.reporter, asked.split, source.manifest
    manifest = _seen(whole, model, asked)
    found = compare(model, tower, dataclasses.replace(source, manifest=manifest), asked)
    query, gallery = found.query, found.gallery
    device = asked.machine.torch_device()
    products = None
    if device.type != "cpu":
        from scing_cli.core.evaluation.device import DeviceProducts

        products = DeviceProducts(device)
    chosen, scores, reranked = rank_sides(
        query, gallery, asked.protocol, reporter, products=products, reranking=asked.reranking
    )
    left_out = {part: own.dropped() for part, own in found.left_out.items() if len(own)}
    run, threads = model.run.path if model.run else None, asked.machine.threads()
    cautions = (
        *of_copies(query, gallery, chosen.name, known=found.digests, workers=threads, reporter=reporter),
        *of_training(model.run, manifest, found.people, workers=threads, reporter=reporter),
        *without_cameras(chosen, query, gallery),
        *of_other_rows(len(whole) - len(manifest), len(whole), asked.drop),
    )
    report = EvaluationReport(
        scores,
        chosen,
        len(gallery.identities),
        manifest.name,
        model.label(),
        run,
        lost_queries(query, scores),
        reranked=reranked,
        left_out=left_out,
        cautions=cautions,
        direction=asked.direction or "",
        words=found.words,
        drop=asked.drop,
        unseen=len(whole) - len(manifest),
    )
    for part, dropped in left_out.items():
        report_left_out(dropped, len(manifest.part(part)), reporter, what=f"{part} image")
    report = _with_published(report, model, source, asked)
    if asked.output is None:
        return report
    subject = Subject(
        model.run,
        model.digest,
        found.embedder.kind,
        whole.fingerprint(),
        split,
        index=asked.index.short if asked.index else "",
        precision=found.embedder.precision,
    )
    return write_report(
        asked.output, report, (query, gallery), subject, products=products, workers=threads, reporter=reporter
    )


def _seen(whole: Manifest, model: OpenedModel, asked: Request) -> Manifest:
    """Return the data without those rows of both sides that the model cannot read, which are counted."""
    used = {asked.split} if asked.index is not None and not asked.direction else {asked.split, gallery_of(asked.split)}
    rows = dataclasses.replace(whole, samples=tuple(row for row in whole if row.split in used))
    seen = rows_seen(rows, model.spectra, asked.reporter, model=model.label(), drop=asked.drop)
    if len(seen) == len(rows):
        return whole
    kept = set(seen)
    return dataclasses.replace(whole, samples=tuple(row for row in whole if row.split not in used or row in kept))


def _with_published(report: EvaluationReport, model: OpenedModel, source: DataSet, asked: Request) -> EvaluationReport:
    """Return the report with the published figures of the same method on the same data; none are of words."""
    if asked.direction or asked.drop:
        return report
    if report.left_out or report.unseen:
        note = "No published figures to compare with: images were left out."
        return dataclasses.replace(report, published_note=note)
    if model.run is None or asked.split != "query" or asked.index is not None:
        return report
    published, note = published_rows(model.run, source, protocol=report.protocol.name)
    return dataclasses.replace(report, published=published, published_note=note)
