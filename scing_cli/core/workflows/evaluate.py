"""How good is a model: mAP, mINP and CMC on a data set's queries and gallery."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from scing_cli.core.artifacts import FORMAT, file_digest, read_json, replacing, text_digest, write_json
from scing_cli.core.datasets import DataSet
from scing_cli.core.datasets.checks import gallery_of
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import DataError, IndexFileError, RunError, ScingError, SettingError, counted
from scing_cli.core.evaluation import Reranking, choose_protocol
from scing_cli.core.evaluation.device import DeviceProducts
from scing_cli.core.evaluation.ranking import check_truth
from scing_cli.core.evaluation.truth import find_truth
from scing_cli.core.index import GalleryIndex, file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.beside import published_beside
from scing_cli.core.workflows.data import open_data, own_cameras
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model
from scing_cli.core.workflows.saved import EvaluationReport, Side, check_cost, rank_sides
from scing_cli.core.workflows.scoring import sides
from scing_cli.core.workflows.vectors import embed_files


def evaluate(
    choice: ModelChoice,
    *,
    split: str = "query",
    data: Path | None = None,
    layout: str = "auto",
    index: Path | None = None,
    protocol: str = "auto",
    descriptor: str = "projected",
    reranking: Reranking | None = None,
    yes: bool = False,
    machine: Machine | None = None,
    reporter: Reporter | None = None,
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
        descriptor: `projected` or `concat` (R10); `projected` gives way to what `index` holds.
        reranking: How to re-rank, if the figures with it are wanted too.
        yes: Whether that may take long.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        DataError: If there is no query, no gallery, or no query has a true match left.
        IndexFileError: If the index is of another model.
        SettingError: If re-ranking would take long, and that was not agreed to.
    """
    return evaluate_on(
        choice,
        [data],
        split=split,
        layout=layout,
        index=index,
        protocol=protocol,
        descriptor=descriptor,
        reranking=reranking,
        yes=yes,
        machine=machine,
        reporter=reporter,
    )[0]


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
    machine: Machine | None = None,
    reporter: Reporter | None = None,
) -> list[EvaluationReport]:
    """Evaluate one model on several data sets: as `evaluate` each, the model opened once.

    Raises:
        DataError: Before anything is embedded, if one of them cannot be read or no query of it has a true match.
        SettingError: Before anything is embedded, if re-ranking would take long, and that was not agreed to.
    """
    machine, reporter = machine or Machine(), reporter or Silent()
    settings = _Settings(split, index, protocol, descriptor, reranking, yes, machine, reporter)
    model = open_model(choice, reporter=reporter)
    sources = [open_data(model.run, path, layout=layout, reporter=reporter) for path in data]
    if index is None:
        for source in sources:
            _check_truth(source.manifest, split, protocol)
        width = machine.embedder(model.encoder, kind=descriptor).width
        for source in sources:
            settings.check_cost(*sides(source.manifest, split), width)
    reports = [_score(model, source, settings) for source in sources]
    if len({report.data for report in reports}) < len(reports):  # folders of one name
        reports = [dataclasses.replace(own, data=str(path)) for own, path in zip(reports, data, strict=True)]
    return reports


def _check_truth(manifest: Manifest, split: str, protocol: str) -> None:
    """Make sure that a query has a true match left.

    Raises:
        DataError: If none has, or a part is empty.
    """
    query, gallery = sides(manifest, split)
    identities, cameras = (
        [[getattr(row, name) for row in part] for part in (query, gallery)] for name in ("identity", "camera")
    )
    chosen = choose_protocol(protocol, *cameras).name
    keys = {"query_keys": file_keys(query.files()), "gallery_keys": file_keys(gallery.files())}
    check_truth(find_truth(*identities, *cameras, protocol=chosen, **keys), chosen)


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What all evaluations of one call share; see `evaluate`."""

    split: str
    index: Path | None
    protocol: str
    descriptor: str
    reranking: Reranking | None
    yes: bool
    machine: Machine
    reporter: Reporter

    def __post_init__(self) -> None:
        if self.split == "all":
            raise SettingError(
                "--split all cannot be evaluated.", "Use query (searched in gallery), or val (in itself)."
            )

    def check_cost(self, query: Sized, gallery: Sized, width: int) -> None:
        """Look at what a re-ranking will take, if there is to be one."""
        if self.reranking is not None:
            check_cost(self.reranking, (len(query), len(gallery), width), yes=self.yes, reporter=self.reporter)


def _score(model: OpenedModel, source: DataSet, settings: _Settings) -> EvaluationReport:
    reporter, split, index, manifest = settings.reporter, settings.split, settings.index, source.manifest
    if index is None:
        embedder = settings.machine.embedder(model.encoder, kind=settings.descriptor)
        query, gallery = _both(manifest, split, model, embedder, reporter)
    else:
        opened = GalleryIndex.read(index)
        kind = _index_descriptor(opened, index, settings.descriptor, reporter)
        embedder = settings.machine.embedder(model.encoder, kind=kind)
        gallery = _indexed(opened, index, model, embedder)
        settings.check_cost(manifest.part(split), opened, opened.width)
        query = _embedded(manifest, split, model, embedder, reporter)
        own = len(set(query.keys) & set(gallery.keys))
        if own:
            reporter.warn(f"{counted(own, 'query is', 'queries are')} in {index} too, as gallery for all others.")
    products = None if embedder.device.type == "cpu" else DeviceProducts(embedder.device)
    chosen, scores, reranked = rank_sides(
        query, gallery, settings.protocol, reporter, products=products, reranking=settings.reranking
    )
    samples = manifest.part(split).samples
    lost = tuple((samples[number].path, reason) for number, reason in scores.lost.why)
    run = model.run.path if model.run else None
    rows = len(gallery.identities)
    report = EvaluationReport(scores, chosen, rows, manifest.name, model.label(), run, lost, reranked=reranked)
    if model.run is None or split != "query" or index is not None:
        return report
    published, note = published_beside(model.run, source, protocol=chosen.name)
    return dataclasses.replace(report, published=published, published_note=note)


def _both(
    manifest: Manifest, split: str, model: OpenedModel, embedder: Embedder, reporter: Reporter
) -> tuple[Side, Side]:
    queries, rows = sides(manifest, split)
    query = _embedded(manifest, split, model, embedder, reporter)
    if rows == queries:
        return query, query
    return query, _embedded(manifest, gallery_of(split), model, embedder, reporter)


def _index_descriptor(index: GalleryIndex, source: Path, asked: str, reporter: Reporter) -> str:
    """Return what the queries have to be: the index's kind, unless another than the usual one was asked for."""
    own = index.stamp.descriptor
    if asked != "projected" or own == asked:
        return asked
    reporter.note(f"{source} holds the descriptor {own}: the queries get it too.")
    return own


def _indexed(index: GalleryIndex, source: Path, model: OpenedModel, embedder: Embedder) -> Side:
    index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    rows = index.rows()
    if not any(row.identity for row in rows):
        raise IndexFileError(
            f"{source} knows no identities: nothing to score.", "Embed a data set with labels: scing embed --data DIR"
        )
    keys = file_keys(Path(row.path) for row in rows)
    return Side(index.vectors(), [row.identity for row in rows], [row.camera for row in rows], keys)


def _embedded(whole: Manifest, name: str, model: OpenedModel, embedder: Embedder, reporter: Reporter) -> Side:
    """Embed a part of a data set, or take the run's own vectors of it where nothing has changed since."""
    part = whole.part(name)
    identities, cameras = [sample.identity for sample in part], [sample.camera for sample in part]
    known = own_cameras(part, whole, model.run) if model.encoder.cameras else None
    stamp = {
        "format": FORMAT,
        "model_digest": model.digest,
        "descriptor": embedder.kind,
        "rows": len(part),
        "files": _files_digest(part),
        "precision": embedder.precision,
        "cameras": text_digest("\n".join(known)) if known else "",
    }
    stem = model.run.path / "embeddings" / f"{part.name}-{name}" if model.run else None
    vectors = _kept(stem, stamp) if stem else None
    if vectors is None:
        vectors = embed_files(embedder, part.files(), cameras=known, reporter=reporter, text=f"embed {name}")
        if stem:
            _keep(stem, vectors, stamp, reporter)
    else:
        reporter.note(f"Vectors of {name}: kept from before, nothing has changed.")
    return Side(vectors, identities, cameras, file_keys(part.files()))


def _files_digest(part: Manifest) -> str:
    states = []
    for sample in part:
        try:
            state = part.file(sample).stat()
        except OSError as error:
            raise DataError(
                f"{part.file(sample)} cannot be read: {error.strerror}.", "Say where the data lies now: --data DIR"
            ) from error
        states.append(f"{sample.path}\0{state.st_size}\0{state.st_mtime_ns}")
    return text_digest("\n".join(states))


def _kept(stem: Path, stamp: Mapping[str, object]) -> Vectors | None:
    """Return the vectors kept under a name, if they are those of the stamp and whole."""
    file = stem.with_name(stem.name + ".safetensors")
    try:
        kept = read_json(stem.with_name(stem.name + ".json"))
        if kept != {**stamp, "file_digest": file_digest(file)}:
            return None
        vectors: Vectors = load_file(file)["vectors"]
    except (RunError, OSError, SafetensorError, KeyError):
        return None
    return vectors if len(vectors) == stamp["rows"] else None


def _keep(stem: Path, vectors: Vectors, stamp: Mapping[str, object], reporter: Reporter) -> None:
    """Write vectors and their stamp into the run; where that cannot be written, only say so."""
    file, note = (stem.with_name(stem.name + suffix) for suffix in (".safetensors", ".json"))
    try:
        note.unlink(missing_ok=True)
        with replacing(file) as temporary:
            save_file({"vectors": np.ascontiguousarray(vectors)}, temporary)
        write_json(note, {**stamp, "file_digest": file_digest(file)})
    except (ScingError, SafetensorError, OSError) as error:
        reporter.warn(f"The vectors could not be kept for the next time: {str(error).splitlines()[0]}")
