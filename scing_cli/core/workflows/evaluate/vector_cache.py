"""A part of a data set -> its vectors; those of a run are kept in it, and taken again where nothing has changed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from scing_cli.core.artifacts import FORMAT, file_digest, read_json, replacing, text_digest, write_json
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import UNREADABLE_REMEDY, DataError, ImageError, RunError, ScingError, spelled
from scing_cli.core.evaluation import Side
from scing_cli.core.manifest import Manifest
from scing_cli.core.pairs import Rows
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source, file_of
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.read_spectra import sources_of
from scing_cli.core.workflows.shared.run_data import own_cameras
from scing_cli.core.workflows.shared.scoring import side_of
from scing_cli.core.workflows.shared.vectors import embed_files

MOVED_REMEDY = "Say where the data lies now: --data DIR"


@dataclasses.dataclass(frozen=True)
class _Kept:
    """The vectors of a part that were kept, and the images that were left out then, with the reasons."""

    vectors: Vectors
    left_out: Sequence[Dropped]


def cached_side(
    whole: Manifest,
    name: str,
    model: OpenedModel,
    embedder: Embedder,
    reporter: Reporter,
    *,
    drop: Sequence[str] = (),
    left_out: LeftOut | None = None,
) -> Side:
    """Embed a part of a data set, or take the run's own vectors of it where nothing has changed since.

    Args:
        whole: The data set.
        name: The part's split.
        model: The model.
        embedder: Embeds with it.
        reporter: Shows the progress.
        drop: Spectra that are taken away from what the model reads.
        left_out: Receives the images that cannot be read; the side is without them. None to raise for the first one.

    Raises:
        ImageError: If no image of the part can be read, or with `strict` if one cannot.
    """
    part, left_out = whole.part(name), left_out if left_out is not None else LeftOut(strict=True)
    known = own_cameras(part, whole, model.run) if model.cameras else None
    sources = sources_of(part, embedder.spectra, drop)
    stamp = {
        "format": FORMAT,
        "model_digest": model.digest,
        "descriptor": embedder.kind,
        "rows": len(part),
        "files": _files_digest(part, sources, strict=left_out.strict),
        "precision": embedder.precision,
        "engine": embedder.engine,
        "cameras": text_digest("\n".join(known)) if known else "",
    }
    if embedder.spectra:
        stamp |= {"spectra": list(embedder.spectra), "missing": _missing(embedder), "drop": list(drop)}
    named = "-".join([part.name, name, *(["without", *drop] if drop else [])])
    stem = model.run.path / "embeddings" / named if model.run else None
    kept = _kept(stem, stamp, reporter) if stem else None
    if kept is not None and not (left_out.strict and kept.left_out):
        for fault in kept.left_out:
            file = Path(fault.path)
            left_out.add(file, ImageError(f"{spelled(file)} {fault.reason}."))
        reporter.note(f"Vectors of {name}: kept from before, nothing has changed.")
        return _side(part, sources, left_out, kept.vectors)
    vectors = embed_files(embedder, sources, cameras=known, reporter=reporter, text=f"embed {name}", left_out=left_out)
    files = [file_of(source) for source in sources]
    gone = not any(os.path.exists(file) for file in files)  # noqa: PTH110 - as in `_kept`
    left_out.check_not_all(files, remedy=MOVED_REMEDY if gone else UNREADABLE_REMEDY)
    if len(left_out):
        vectors = vectors[[row for row, file in enumerate(files) if file not in left_out]]
        stamp["left_out"] = [[fault.path, fault.reason] for fault in left_out.dropped()]
    if stem:
        _keep(stem, vectors, stamp, reporter)
    return _side(part, sources, left_out, vectors)


def _missing(embedder: Embedder) -> str:
    """Return what a missing spectrum counts as."""
    return str(getattr(getattr(embedder, "encoder", None), "missing", ""))


def _side(part: Manifest, sources: Sequence[Source], left_out: LeftOut, vectors: Rows) -> Side:
    """Return the side of the rows that can be read, which `vectors` belong to."""
    pairs = [(row, source) for row, source in zip(part, sources, strict=True) if file_of(source) not in left_out]
    readable = dataclasses.replace(part, samples=tuple(row for row, _ in pairs)) if len(pairs) < len(part) else part
    return side_of(readable, vectors, [source for _, source in pairs])


def _files_digest(part: Manifest, sources: Sequence[Source], *, strict: bool) -> str:
    """Return a digest of the sizes and times of all files; one that cannot be accessed is an error with `strict`."""
    states = []
    for sample, source in zip(part, sources, strict=True):
        for name, file in _named(sample.path, source, part.root):
            try:
                state = file.stat()
            except OSError as error:
                if strict:
                    what = f"{spelled(file)} cannot be read: {error.strerror}."
                    raise DataError(what, MOVED_REMEDY) from error
                states.append(f"{name}\0{error.strerror}")
            else:
                states.append(f"{name}\0{state.st_size}\0{state.st_mtime_ns}")
    return text_digest("\n".join(states))


def _named(path: str, source: Source, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a row with a name of each, which says as what the model reads it."""
    if isinstance(source, Path):
        yield path, source
        return
    for place, view in enumerate(source.views):
        if view is not None:
            own = view.file.relative_to(root) if view.file.is_relative_to(root) else view.file
            yield f"{path}\0{place}\0{view.part}\0{own}", view.file


def _kept(stem: Path, stamp: Mapping[str, object], reporter: Reporter) -> _Kept | None:
    """Return the vectors kept under a name, if they match the stamp; warn of damaged ones."""
    file, note = _places(stem)
    if not os.path.exists(note):  # noqa: PTH110 - False for a name too long for the system, too
        return None
    try:
        kept = read_json(note)
        if file_digest(file) == kept.pop("file_digest", None):
            left_out = [Dropped(str(path), str(reason)) for path, reason in kept.pop("left_out", ())]
            vectors: Vectors = load_file(file)["vectors"]
            count = len(vectors) + len(left_out) if vectors.ndim == 2 else -1
            whole = count == stamp["rows"] and vectors.dtype == np.float32 and bool(np.isfinite(vectors).all())
            return _Kept(vectors, left_out) if kept == stamp and whole else None
        fault = f"{file} does not match {note.name} next to it: the digests differ."
    except RunError as error:
        fault = error.what
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
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
