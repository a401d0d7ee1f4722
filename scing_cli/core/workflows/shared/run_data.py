"""What a stage reads: a data set anew from `--data`, or the rows a run has kept."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets import DataSet, locate, read_data
from scing_cli.core.errors import DataError, RunError, counted, spelled
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter

SAMPLED = 100  # rows


def read_source(path: Path, *, layout: str, reporter: Reporter, include_val: bool = False) -> DataSet:
    """Read a data set and say what was left out."""
    data = read_data(path, layout=layout, include_val=include_val)
    for note in data.notes:
        reporter.note(note)
    if data.dropped:
        first = data.dropped[0]
        left = counted(len(data.dropped), "file was", "files were")
        reporter.warn(f"{left} left out, {first.path} for one: {first.reason}.")
    return data


def run_manifest(run: Run, *, moved_to: Path | None = None, check_files: bool = True) -> Manifest:
    """Return the rows a run was trained on.

    Args:
        run: The run.
        moved_to: Where the data lies now, if not where it lay then.
        check_files: Whether images must be there: where none of the first is, the data has moved.

    Raises:
        RunError: If the rows are gone or were changed, or the identity map is not theirs.
        DataError: If the images are not where they were.
    """
    data = run.info["data"]
    name = data["name"]
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & {"/", os.sep, "\0"}:
        raise RunError(f"{run.path / 'run.json'} calls its data {name!r}: that is no name.", "Take another run.")
    if not run.manifest.is_file():
        raise RunError(f"{run.manifest} is missing.", "Copy the whole run folder, or train anew.")
    try:
        kept = read_data(run.manifest, layout="csv").manifest
    except DataError as error:
        raise RunError(error.what, "Restore it, or train anew.") from error
    root = Path(data["root"]) if moved_to is None else _root(moved_to)
    manifest = dataclasses.replace(kept, root=root, name=name)
    if manifest.fingerprint() != data["fingerprint"]:
        raise RunError(f"{run.manifest} is not what {run.path} was trained on.", "Restore it, or train anew.")
    if manifest.part("train").identities() != run.identities:
        raise RunError(
            f"The identity map in {run.path / 'run.json'} is not that of its rows.", "Restore it, or train anew."
        )
    first = manifest.samples[:SAMPLED]
    if check_files and not any(manifest.file(sample).exists() for sample in first):
        raise DataError(
            f"The images of {run.path} are not in {spelled(manifest.root)}: {spelled(first[0].path)} is missing.",
            "Say where the data lies now: --data DIR",
        )
    return manifest


def _root(path: Path) -> Path:
    """Return the folder that paths are relative to: of a CSV its own, of a data set a folder deeper that one."""
    try:
        place = locate(path.absolute())
    except DataError:  # no data set by itself: the folder of a CSV that lies elsewhere
        return path
    return place.root.parent if place.root.is_file() else place.root


def own_cameras(part: Manifest, whole: Manifest, run: Run | None) -> list[str]:
    """Return the camera of each row that a run knows, for camera vectors (R15); empty texts for other rows.

    Equal names are not enough: camera 1 of another data set is another camera. An image must be one of the run's own:
    the very file, or all rows are those of the run, whose data has moved.

    Args:
        part: The rows.
        whole: The data set they are from.
        run: Whose model it is; None for a plain one, which knows no cameras.
    """
    if run is None:
        return [""] * len(part)
    kept = run_manifest(run, check_files=False)
    if _seen(kept) == _seen(whole):
        return [row.camera for row in part]
    known = dict(zip(file_keys(kept.files()), (row.camera for row in kept), strict=True))
    keys = file_keys(part.files())
    return [row.camera if known.get(key) == row.camera else "" for key, row in zip(keys, part, strict=True)]


def _seen(manifest: Manifest) -> set[tuple[str, str, str]]:
    return {(row.path, row.identity, row.camera) for row in manifest}


def open_data(run: Run | None, path: Path | None, *, layout: str, reporter: Reporter) -> DataSet:
    """Return the data of `path` where it is given, else the rows that a run has kept, with their layout.

    A `path` that holds the run's own images (the data has moved) reads as the same rows, since both are read alike.

    Raises:
        DataError: If there is neither.
    """
    if path is not None:
        return read_source(path, layout=layout, reporter=reporter)
    if run is None:
        raise DataError("A plain --model knows no data.", "Name it: --data DIR or --data FILE.csv")
    return DataSet(run_manifest(run), str(run.info["data"].get("layout", "csv")))
