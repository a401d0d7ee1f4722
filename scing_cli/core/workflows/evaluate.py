"""How good is a model: mAP, mINP and CMC on a data set's queries and gallery."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from scing_cli.core.artifacts import FORMAT, read_json, replacing, text_digest, write_json
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import DataError, IndexFileError, RunError
from scing_cli.core.evaluation import Choice, Scores, choose_protocol
from scing_cli.core.evaluation import evaluate as rank
from scing_cli.core.index import GalleryIndex
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.data import open_data
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model
from scing_cli.core.workflows.scoring import sides


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
    """One side of the ranking: unit-length vectors and their labels."""

    vectors: Vectors
    identities: Sequence[str]
    cameras: Sequence[str]


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
        split: Whose images are the queries; the gallery is the split `gallery`.
        data: A data set; None for the run's own.
        layout: How to read it.
        index: An index to take as gallery instead of the data's.
        protocol: auto, market or no-camera.
        descriptor: `projected` or `concat` (R10).
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Raises:
        DataError: If there is no query, no gallery, or no query has a true match left.
        IndexFileError: If the index is of another model.
    """
    machine, reporter = machine or Machine(), reporter or Silent()
    model = open_model(choice, reporter=reporter)
    manifest = open_data(model.run, data, layout=layout, reporter=reporter)
    embedder = machine.embedder(model.encoder, kind=descriptor)
    if index is None:
        names = (split, "gallery" if split == "query" else f"{split}-gallery")
        parts = zip(sides(manifest, split), names, strict=True)
        query, gallery = (_embedded(part, name, model, embedder, reporter) for part, name in parts)
    else:
        gallery = _indexed(index, model, embedder)
        query = _embedded(manifest.part(split), split, model, embedder, reporter)
    chosen = choose_protocol(protocol, query.cameras, gallery.cameras)
    tell = reporter.warn if protocol == "auto" and chosen.name == "no-camera" else reporter.note
    tell(f"Protocol {chosen.name}: {chosen.reason}.")
    scores = rank(
        query.vectors,
        gallery.vectors,
        query.identities,
        gallery.identities,
        query.cameras,
        gallery.cameras,
        protocol=chosen.name,
    )
    run = model.run.path if model.run else None
    return EvaluationReport(scores, chosen, len(gallery.identities), manifest.name, model.label(), run)


def _indexed(source: Path, model: OpenedModel, embedder: Embedder) -> _Part:
    index = GalleryIndex.read(source)
    index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    rows = index.rows()
    if not any(row.identity for row in rows):
        raise IndexFileError(
            f"{source} knows no identities: nothing to score.", "Embed a data set with labels: scing embed --data DIR"
        )
    return _Part(index.vectors(), [row.identity for row in rows], [row.camera for row in rows])


def _embedded(part: Manifest, name: str, model: OpenedModel, embedder: Embedder, reporter: Reporter) -> _Part:
    """Embed a part, or take the run's own vectors of it where nothing has changed since."""
    stamp = {
        "format": FORMAT,
        "model_digest": model.digest,
        "descriptor": embedder.kind,
        "rows": _rows_digest(part),
        "precision": embedder.precision,
    }
    folder = model.run.path / "embeddings" if model.run else None
    vectors = _kept(folder / f"{part.name}-{name}", stamp) if folder else None
    if vectors is None:
        vectors = embedder.files(part.files(), reporter=reporter, text=f"embed {name}")
        if folder:
            _keep(folder / f"{part.name}-{name}", vectors, stamp)
    else:
        reporter.note(f"Vectors of {name}: kept from before, nothing has changed.")
    return _Part(vectors, [sample.identity for sample in part], [sample.camera for sample in part])


def _rows_digest(part: Manifest) -> str:
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


def _kept(stem: Path, stamp: dict[str, object]) -> Vectors | None:
    try:
        if read_json(stem.with_name(stem.name + ".json")) != stamp:
            return None
        vectors: Vectors = load_file(stem.with_name(stem.name + ".safetensors"))["vectors"]
    except (RunError, OSError, SafetensorError, KeyError):
        return None
    return vectors


def _keep(stem: Path, vectors: Vectors, stamp: dict[str, object]) -> None:
    stem.with_name(stem.name + ".json").unlink(missing_ok=True)
    with replacing(stem.with_name(stem.name + ".safetensors")) as temporary:
        save_file({"vectors": np.ascontiguousarray(vectors)}, temporary)
    write_json(stem.with_name(stem.name + ".json"), stamp)
