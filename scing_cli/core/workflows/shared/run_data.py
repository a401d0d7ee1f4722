"""Reads the data of a command: a data set from `--data`, or the rows that are saved in a run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets import DataSet, join_data, locate, read_data
from scing_cli.core.datasets.missing_values import missing_notes
from scing_cli.core.datasets.passed_over import report_passed
from scing_cli.core.datasets.reading import overlaps
from scing_cli.core.datasets.spelling import spelling_notes
from scing_cli.core.datasets.table import read_rows
from scing_cli.core.errors import DataError, RunError, counted, spelled
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.paths import StrPath, as_paths
from scing_cli.core.runtime import Reporter

SAMPLED = 100  # rows whose images are looked for


def read_source(
    path: Path, *, layout: str, reporter: Reporter, include_val: bool = False, trained: bool = True
) -> DataSet:
    """Read a data set and report the files that were left out.

    Args:
        path: The data set.
        layout: Its layout.
        reporter: Receives notes and warnings.
        include_val: Whether rows of the split `val` are used for training too.
        trained: Whether a model is trained on it: then people in both training and test are worth a note.
    """
    data = read_data(path, layout=layout, include_val=include_val)
    unsaid = () if trained else tuple(overlaps(data.manifest))
    for note in data.notes:
        if note not in unsaid:
            reporter.note(note)
    if data.dropped:
        first = data.dropped[0]
        left = counted(len(data.dropped), "file was", "files were")
        reporter.warn(f"{left} left out, such as {first.path}: {first.reason}.")
    if data.junk:
        reporter.note(f"{counted(data.junk, 'file')} of identity -1, which marks junk: left out.")
    for warning in data.warnings:
        reporter.warn(warning)
    report_passed(data.passed, reporter)
    return data


def read_sources(
    paths: Sequence[Path],
    *,
    layout: str,
    reporter: Reporter,
    include_val: bool = False,
    trained: bool = True,
    check: Callable[[DataSet], object],
) -> DataSet:
    """Read one data set, or several as one (`join_data`), and report the files that were left out.

    Args:
        paths: Folders or CSV files.
        layout: The layout of each of them, or `auto`.
        reporter: Receives notes and warnings.
        include_val: Whether rows of the split `val` are used for training too.
        trained: Whether a model is trained on them, as for `read_source`.
        check: Raises if a data set does not have what is needed; called with each of them.

    Raises:
        DataError: If one cannot be read, or two share an image.
    """
    if not paths:
        raise DataError("No data set was given.", "Name a folder or a table: --data DIR or --data FILE.csv")
    sources = [
        read_source(path, layout=layout, reporter=reporter, include_val=include_val, trained=trained) for path in paths
    ]
    for source in sources:
        check(source)
    if len(sources) == 1:
        return sources[0]
    joint = join_data(sources)
    for note in joint.notes:
        reporter.note(note)
    return joint


def run_manifest(run: Run, *, moved_to: Path | None = None, check_files: bool = True) -> Manifest:
    """Return the rows a run was trained on.

    Args:
        run: The run.
        moved_to: New folder of the data, if it has moved.
        check_files: Whether to check that images exist: if none of the first `SAMPLED` does, the data has moved.

    Raises:
        RunError: If the rows are missing or were changed, or the identity map does not match them.
        DataError: If the images are not where they were.
    """
    data = run.info["data"]
    name = data["name"]
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & {"/", os.sep, "\0"}:
        raise RunError(
            f"{run.path / 'run.json'} names its data {name!r}: that is not a valid name.", "Use another run."
        )
    if not run.manifest.is_file():
        raise RunError(f"{run.manifest} is missing.", "Copy the whole run folder, or train again.")
    try:
        saved = read_rows(run.manifest).manifest
    except DataError as error:
        raise RunError(error.what, "Restore it, or train again.") from error
    root = Path(data["root"]) if moved_to is None else _root(moved_to, joint="sources" in data)
    manifest = dataclasses.replace(saved, root=root, name=name)
    if manifest.fingerprint() != data["fingerprint"]:
        raise RunError(f"{run.manifest} is not the data that {run.path} was trained on.", "Restore it, or train again.")
    if (found := manifest.part("train").identities()) != run.identities:
        other = sorted(map(str, set(run.identities) - set(found))) or ["its order"]
        raise RunError(
            f"The identity map in {run.path / 'run.json'} does not match its rows: {spelled(other[0])} is not theirs.",
            "Restore it, or train again.",
        )
    first = manifest.samples[:SAMPLED]
    # os.path.exists: False for a name that is too long for the system
    if check_files and not any(os.path.exists(manifest.file(sample)) for sample in first):  # noqa: PTH110
        raise DataError(
            f"The images of {run.path} are not in {spelled(manifest.root)}: {spelled(first[0].path)} is missing.",
            "Give the new folder of the data: --data DIR",
        )
    return manifest


def _root(path: Path, *, joint: bool) -> Path:
    """Return the folder that paths are relative to: the data set's folder, which may be below `path`, or the CSV's.

    The paths of several data sets are relative to the folder that has all of them: `path` itself.
    """
    if joint:
        return path
    try:
        found = locate(path.absolute())
    except DataError:  # not a data set: the folder of images that a CSV elsewhere refers to
        return path
    return found.root.parent if found.root.is_file() else found.root


def own_cameras(part: Manifest, whole: Manifest, run: Run | None) -> list[str]:
    """Return the camera of each row that is part of a run's data, for camera vectors (R15); empty texts for other rows.

    A row is part of it if its file is one of the run's files, or if the data sets have equal rows (moved data). The
    cameras of a plain model are those that the user named for these data.

    Args:
        part: The rows.
        whole: The data set of the rows.
        run: The model's run; None for a plain model.
    """
    if run is None:
        return [row.camera for row in part]
    # Equal names are not enough: camera 1 of another data set is another camera.
    saved = run_manifest(run, check_files=False)
    if same_rows(saved, whole):
        return [row.camera for row in part]
    known = dict(zip(file_keys(saved.files()), (row.camera for row in saved), strict=True))
    keys = file_keys(part.files())
    return [row.camera if known.get(key) == row.camera else "" for key, row in zip(keys, part, strict=True)]


def same_rows(one: Manifest, other: Manifest) -> bool:
    """Return whether two data sets have equal rows, in any folder, as moved data have."""
    first, second = ({(row.path, row.identity, row.camera) for row in manifest} for manifest in (one, other))
    return first == second


def open_data(
    run: Run | None,
    path: StrPath | Sequence[StrPath] | None,
    *,
    layout: str,
    reporter: Reporter,
    split: str = "all",
) -> DataSet:
    """Return the data of `path` if it is given, else the rows that are saved in a run, with their layout.

    Args:
        run: The run; None for a plain model.
        path: A data set, or several that become one (`read_sources`).
        layout: The layout of each of them, or `auto`.
        reporter: Receives notes and warnings.
        split: A split that each of them must have.

    Raises:
        DataError: If neither is given, or a data set lacks the split.
    """
    if path is not None:
        return read_sources(
            as_paths(path),
            layout=layout,
            reporter=reporter,
            trained=False,
            check=lambda source: source.manifest.part(split),
        )
    if run is None:
        raise DataError("A plain --model has no data of its own.", "Give the data: --data DIR or --data FILE.csv")
    manifest = run_manifest(run)
    for warning in (*spelling_notes(manifest), *missing_notes(manifest)):
        reporter.warn(warning)
    return DataSet(manifest, str(run.info["data"].get("layout", "csv")))
