"""A part of a data set -> its vectors; those of a run are kept in it, and taken again where nothing has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from scing_cli.core.artifacts import FORMAT, file_digest, read_json, replacing, text_digest, write_json
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import DataError, RunError, ScingError, spelled
from scing_cli.core.evaluation import Side
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.run_data import own_cameras
from scing_cli.core.workflows.shared.scoring import side_of
from scing_cli.core.workflows.shared.vectors import embed_files


def cached_side(whole: Manifest, name: str, model: OpenedModel, embedder: Embedder, reporter: Reporter) -> Side:
    """Embed a part of a data set, or take the run's own vectors of it where nothing has changed since."""
    part = whole.part(name)
    known = own_cameras(part, whole, model.run) if model.cameras else None
    stamp = {
        "format": FORMAT,
        "model_digest": model.digest,
        "descriptor": embedder.kind,
        "rows": len(part),
        "files": _files_digest(part),
        "precision": embedder.precision,
        "engine": embedder.engine,
        "cameras": text_digest("\n".join(known)) if known else "",
    }
    stem = model.run.path / "embeddings" / f"{part.name}-{name}" if model.run else None
    vectors = _kept(stem, stamp, reporter) if stem else None
    if vectors is None:
        vectors = embed_files(embedder, part.files(), cameras=known, reporter=reporter, text=f"embed {name}")
        if stem:
            _keep(stem, vectors, stamp, reporter)
    else:
        reporter.note(f"Vectors of {name}: kept from before, nothing has changed.")
    return side_of(part, vectors)


def _files_digest(part: Manifest) -> str:
    states = []
    for sample in part:
        try:
            state = part.file(sample).stat()
        except OSError as error:
            raise DataError(
                f"{spelled(part.file(sample))} cannot be read: {error.strerror}.",
                "Say where the data lies now: --data DIR",
            ) from error
        states.append(f"{sample.path}\0{state.st_size}\0{state.st_mtime_ns}")
    return text_digest("\n".join(states))


def _kept(stem: Path, stamp: Mapping[str, object], reporter: Reporter) -> Vectors | None:
    """Return the vectors kept under a name, if they match the stamp; warn of damaged ones."""
    file, note = _places(stem)
    if not os.path.exists(note):  # noqa: PTH110 - False for a name too long for the system, too
        return None
    try:
        kept = read_json(note)
        if file_digest(file) == kept.pop("file_digest", None):
            vectors: Vectors = load_file(file)["vectors"]
            whole = vectors.ndim == 2 and len(vectors) == stamp["rows"] and vectors.dtype == np.float32
            return vectors if kept == stamp and whole and np.isfinite(vectors).all() else None
        fault = f"{file} does not match {note.name} next to it: the digests differ."
    except RunError as error:
        fault = error.what
    except (OSError, SafetensorError, KeyError) as error:
        fault = f"{file} cannot be read: {getattr(error, 'strerror', None) or error}."
    reporter.warn(f"{fault} The vectors are computed again.")
    return None


def _keep(stem: Path, vectors: Vectors, stamp: Mapping[str, object], reporter: Reporter) -> None:
    """Write vectors and their stamp into the run; where that cannot be written, only say so."""
    file, note = _places(stem)
    try:
        note.unlink(missing_ok=True)
        with replacing(file) as temporary:
            save_file({"vectors": np.ascontiguousarray(vectors)}, temporary)
        write_json(note, {**stamp, "file_digest": file_digest(file)})
    except (ScingError, SafetensorError, OSError) as error:
        reporter.warn(f"The vectors could not be kept for the next time: {str(error).splitlines()[0]}")


def _places(stem: Path) -> tuple[Path, Path]:
    """Return where vectors kept under a name lie, and their stamp."""
    return stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".json")
