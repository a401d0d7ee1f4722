"""How good is a model: mAP, mINP and CMC on a data set's queries and gallery."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from scing_cli.core.artifacts import FORMAT, file_digest, read_json, replacing, text_digest, write_json
from scing_cli.core.datasets.checks import gallery_of
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import DataError, IndexFileError, RunError, ScingError, SettingError
from scing_cli.core.evaluation import Choice, Scores, choose_protocol
from scing_cli.core.evaluation import evaluate as rank
from scing_cli.core.index import GalleryIndex, file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.data import open_data
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model
from scing_cli.core.workflows.scoring import sides
from scing_cli.core.workflows.vectors import embed_files


@dataclasses.dataclass(frozen=True)
class EvaluationReport:
    """What `evaluate` found.

    Args:
        scores: In percent.
        protocol: Which rows counted, and why.
        gallery: Rows ranked.
        data: What was evaluated on.
        model: What embedded it.
        run: The run folder, if it is a run's model.
    """

    scores: Scores
    protocol: Choice
    gallery: int
    data: str
    model: str
    run: Path | None


@dataclasses.dataclass(frozen=True)
class _Part:
    """One side of the ranking: unit-length vectors, their labels, and which image each is."""

    vectors: Vectors
    identities: Sequence[str]
    cameras: Sequence[str]
    keys: Sequence[str]


def evaluate(
    choice: ModelChoice,
    *,
    split: str = "query",
    data: Path | None = None,
    layout: str = "auto",
    index: Path | None = None,
    protocol: str = "auto",
    descriptor: str = "projected",
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
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        DataError: If there is no query, no gallery, or no query has a true match left.
        IndexFileError: If the index is of another model.
    """
    machine, reporter = machine or Machine(), reporter or Silent()
    if split == "all":
        raise SettingError("--split all cannot be evaluated.", "Use query (searched in gallery), or val (in itself).")
    model = open_model(choice, reporter=reporter)
    manifest = open_data(model.run, data, layout=layout, reporter=reporter)
    if index is None:
        embedder = machine.embedder(model.encoder, kind=descriptor)
        query, gallery = _both(manifest, split, model, embedder, reporter)
    else:
        opened = GalleryIndex.read(index)
        embedder = machine.embedder(model.encoder, kind=_index_descriptor(opened, index, descriptor, reporter))
        gallery = _indexed(opened, index, model, embedder)
        query = _embedded(manifest.part(split), split, model, embedder, reporter)
    chosen = choose_protocol(protocol, query.cameras, gallery.cameras)
    if protocol == "auto" and chosen.name == "no-camera":
        reporter.warn("Nothing is left out of the ranking (protocol no-camera): " + chosen.reason + ".")
    scores = rank(
        query.vectors,
        gallery.vectors,
        query.identities,
        gallery.identities,
        query.cameras,
        gallery.cameras,
        protocol=chosen.name,
        query_keys=query.keys,
        gallery_keys=gallery.keys,
        reporter=reporter,
    )
    run = model.run.path if model.run else None
    return EvaluationReport(scores, chosen, len(gallery.identities), manifest.name, model.label(), run)


def _both(
    manifest: Manifest, split: str, model: OpenedModel, embedder: Embedder, reporter: Reporter
) -> tuple[_Part, _Part]:
    queries, rows = sides(manifest, split)
    query = _embedded(queries, split, model, embedder, reporter)
    if rows == queries:
        return query, query
    return query, _embedded(rows, gallery_of(split), model, embedder, reporter)


def _index_descriptor(index: GalleryIndex, source: Path, asked: str, reporter: Reporter) -> str:
    """Return what the queries have to be: the index's kind, unless another than the usual one was asked for."""
    own = index.stamp.descriptor
    if asked != "projected" or own == asked:
        return asked
    reporter.note(f"{source} holds the descriptor {own}: the queries get it too.")
    return own


def _indexed(index: GalleryIndex, source: Path, model: OpenedModel, embedder: Embedder) -> _Part:
    index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    rows = index.rows()
    if not any(row.identity for row in rows):
        raise IndexFileError(
            f"{source} knows no identities: nothing to score.", "Embed a data set with labels: scing embed --data DIR"
        )
    keys = file_keys(Path(row.path) for row in rows)
    return _Part(index.vectors(), [row.identity for row in rows], [row.camera for row in rows], keys)


def _embedded(part: Manifest, name: str, model: OpenedModel, embedder: Embedder, reporter: Reporter) -> _Part:
    """Embed a part, or take the run's own vectors of it where nothing has changed since."""
    stamp = {
        "format": FORMAT,
        "model_digest": model.digest,
        "descriptor": embedder.kind,
        "rows": len(part),
        "files": _files_digest(part),
        "precision": embedder.precision,
    }
    stem = model.run.path / "embeddings" / f"{part.name}-{name}" if model.run else None
    vectors = _kept(stem, stamp) if stem else None
    if vectors is None:
        vectors = embed_files(embedder, part.files(), reporter=reporter, text=f"embed {name}")
        if stem:
            _keep(stem, vectors, stamp, reporter)
    else:
        reporter.note(f"Vectors of {name}: kept from before, nothing has changed.")
    identities, cameras = [sample.identity for sample in part], [sample.camera for sample in part]
    return _Part(vectors, identities, cameras, file_keys(part.files()))


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
