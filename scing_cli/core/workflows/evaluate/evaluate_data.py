"""How good is a model: mAP, mINP and CMC on a data set's queries and gallery."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path

from scing_cli.core.datasets import DataSet
from scing_cli.core.datasets.checks import gallery_of
from scing_cli.core.datasets.left_out import LeftOut, report_left_out
from scing_cli.core.datasets.spelling import side_notes
from scing_cli.core.embeddings import Embedder
from scing_cli.core.encoders.geometry import check_descriptor
from scing_cli.core.errors import SettingError, counted
from scing_cli.core.evaluation import Reranking, Side
from scing_cli.core.evaluation.truth import checked_truth
from scing_cli.core.index import GalleryIndex, check_complete, read_stamp
from scing_cli.core.manifest import is_junk
from scing_cli.core.paths import StrPath, as_path, check_once
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.evaluate.cautions import of_copies, of_training
from scing_cli.core.workflows.evaluate.index_gallery import index_descriptor, indexed_side
from scing_cli.core.workflows.evaluate.published import published_rows
from scing_cli.core.workflows.evaluate.ranked import EvaluationReport, check_cost, rank_sides, without_cameras
from scing_cli.core.workflows.evaluate.report import Subject, check_folder, write_report
from scing_cli.core.workflows.evaluate.vector_cache import cached_side
from scing_cli.core.workflows.shared.embedder_choice import choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model, open_run_model
from scing_cli.core.workflows.shared.run_data import open_data
from scing_cli.core.workflows.shared.scoring import labels_of, sides


def evaluate(
    choice: ModelChoice,
    *,
    split: str = "query",
    data: StrPath | None = None,
    layout: str = "auto",
    index: StrPath | None = None,
    protocol: str = "auto",
    descriptor: str = "projected",
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
        data: A data set; None for the run's own.
        layout: How to read it.
        index: An index to take as gallery instead of the data's.
        protocol: auto, market or no-camera.
        descriptor: `projected` or `concat` (R10); `projected` is replaced by the descriptor of `index`.
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
        SettingError: If re-ranking would take long, and that was not agreed to.
    """
    data, index, output = as_path(data), as_path(index), as_path(output)
    (report,) = evaluate_on(
        choice,
        [data],
        split=split,
        layout=layout,
        index=index,
        protocol=protocol,
        descriptor=descriptor,
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
    layout: str = "auto",
    index: Path | None = None,
    protocol: str = "auto",
    descriptor: str = "projected",
    reranking: Reranking | None = None,
    yes: bool = False,
    output: Path | None = None,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> list[EvaluationReport]:
    """Evaluate one model on several data sets: as `evaluate` each, the model opened once, without its warnings.

    Raises:
        DataError: Before anything is embedded, if one of them cannot be read or no query of it has a true match.
        SettingError: Before anything is embedded, if re-ranking would take long, and that was not agreed to.
    """
    machine = machine or Machine()
    check_once([path for path in data if path is not None], "--data")
    settings = _Settings(split, index, protocol, descriptor, reranking, yes, output, strict, machine, reporter)
    if output is not None:
        check_folder(output)
        if len(data) > 1:
            raise SettingError("--output: a report is of one data set.", "Evaluate them one by one, a folder for each.")
    check_descriptor(descriptor)
    if index is not None:
        check_complete(index)
        read_stamp(index)
    # The data come before a plain model, which takes seconds to load.
    trained = open_run_model(choice, reporter=reporter)
    run = trained.run if trained is not None else None
    sources = [open_data(run, path, layout=layout, reporter=reporter) for path in data]
    if index is None:
        for source in sources:
            query, gallery = map(labels_of, sides(source.manifest, split))
            checked_truth(query, gallery, protocol)
    model = trained or open_model(choice, reporter=reporter)
    if index is None:
        width = settings.embedder(model, descriptor).width
        for source in sources:
            settings.check_cost(*sides(source.manifest, split), width)
    reports = [_score(model, source, settings) for source in sources]
    if len({report.data for report in reports}) < len(reports):  # folders of one name
        reports = [dataclasses.replace(own, data=str(path)) for own, path in zip(reports, data, strict=True)]
    return reports


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What all evaluations of one call share; see `evaluate`."""

    split: str
    index: Path | None
    protocol: str
    descriptor: str
    reranking: Reranking | None
    yes: bool
    output: Path | None
    strict: bool
    machine: Machine
    reporter: Reporter

    def __post_init__(self) -> None:
        if self.split == "all":
            raise SettingError(
                "--split all cannot be evaluated.", "Use query (searched in gallery), or val (in itself)."
            )

    def embedder(self, model: OpenedModel, kind: str) -> Embedder:
        """Return what embeds: float32 by torch; with `--precision bf16` the inference copy, where there is one."""
        if self.machine.precision == "bf16":
            return choose_embedder(model, self.machine, kind=kind, reporter=self.reporter)
        return model.embedder(self.machine, kind=kind)

    def check_cost(self, query: Sized, gallery: Sized, width: int) -> None:
        """Look at what a re-ranking will take, if there is to be one."""
        if self.reranking is not None:
            check_cost(self.reranking, (len(query), len(gallery), width), yes=self.yes, reporter=self.reporter)


def _score(model: OpenedModel, source: DataSet, settings: _Settings) -> EvaluationReport:
    reporter, split, index, manifest = settings.reporter, settings.split, settings.index, source.manifest
    lost = {part: LeftOut(strict=settings.strict) for part in dict.fromkeys((split, gallery_of(split)))}
    if index is None:
        embedder = settings.embedder(model, settings.descriptor)
        query, gallery = _both(source, model, embedder, settings, lost)
        known: list[str] = []
    else:
        embedder, query, gallery, known = _against_index(model, source, index, settings, lost[split])
    device = settings.machine.torch_device()
    products = None
    if device.type != "cpu":
        from scing_cli.core.evaluation.device import DeviceProducts

        products = DeviceProducts(device)
    chosen, scores, reranked = rank_sides(
        query, gallery, settings.protocol, reporter, products=products, reranking=settings.reranking
    )
    no_match = tuple((query.names[number], reason) for number, reason in scores.lost.why)
    left_out = {part: found.dropped() for part, found in lost.items() if len(found)}
    run, threads = model.run.path if model.run else None, settings.machine.threads()
    cautions = (
        *of_copies(query, gallery, chosen.name, known=known, workers=threads, reporter=reporter),
        *of_training(model.run, manifest, manifest.part(split), workers=threads, reporter=reporter),
        *without_cameras(chosen, query, gallery),
    )
    report = EvaluationReport(
        scores,
        chosen,
        len(gallery.identities),
        manifest.name,
        model.label(),
        run,
        no_match,
        reranked=reranked,
        left_out=left_out,
        cautions=cautions,
    )
    for part, dropped in left_out.items():
        report_left_out(dropped, len(manifest.part(part)), reporter, what=f"{part} image")
    if left_out:
        note = "No published figures to compare with: images were left out."
        report = dataclasses.replace(report, published_note=note)
    elif model.run is not None and split == "query" and index is None:
        published, note = published_rows(model.run, source, protocol=chosen.name)
        report = dataclasses.replace(report, published=published, published_note=note)
    if settings.output is None:
        return report
    subject = Subject(
        model.run,
        model.digest,
        embedder.kind,
        manifest.fingerprint(),
        split,
        index=index.name if index else "",
        precision=embedder.precision,
    )
    return write_report(
        settings.output, report, (query, gallery), subject, products=products, workers=threads, reporter=reporter
    )


def _against_index(
    model: OpenedModel, source: DataSet, index: Path, settings: _Settings, lost: LeftOut
) -> tuple[Embedder, Side, Side, list[str]]:
    """Return the embedder, the queries, the rows of an index as gallery, and the digests of those rows' files."""
    split, reporter = settings.split, settings.reporter
    check_complete(index)
    opened = GalleryIndex.read(index)
    embedder = settings.embedder(model, index_descriptor(opened, index, settings.descriptor, reporter))
    gallery = indexed_side(opened, index, model, embedder, reporter)
    settings.check_cost(source.manifest.part(split), opened, opened.width)
    query = cached_side(source.manifest, split, model, embedder, reporter, left_out=lost)
    for warning in side_notes(query, gallery):
        if warning not in source.warnings:
            reporter.warn(warning)
    own = len(set(query.keys) & set(gallery.keys))
    if own:
        reporter.warn(f"{counted(own, 'query is', 'queries are')} in {index} too, as gallery for all others.")
    return embedder, query, gallery, [row.digest for row in opened.rows() if not is_junk(row.identity)]


def _both(
    source: DataSet, model: OpenedModel, embedder: Embedder, settings: _Settings, lost: Mapping[str, LeftOut]
) -> tuple[Side, Side]:
    manifest, split, reporter = source.manifest, settings.split, settings.reporter
    queries, rows = sides(manifest, split)
    query = cached_side(manifest, split, model, embedder, reporter, left_out=lost[split])
    if rows == queries:
        return query, query
    other = gallery_of(split)
    return query, cached_side(manifest, other, model, embedder, reporter, left_out=lost[other])
