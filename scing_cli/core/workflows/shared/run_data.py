"""Reads the data of a command: a data set from `--data`, or the rows that are saved in a run."""

from __future__ import annotations

import contextlib
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
from scing_cli.core.errors import DataError, RunError, SettingError, counted, spelled
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.paths import StrPath, as_paths, check_once
from scing_cli.core.runtime import Reporter
from scing_cli.core.threads import default_workers

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
    check_once(paths, "--data")
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
    from scing_cli.core.workflows.shared.equal_files import warn_of_equal_data  # with one data set, it is not needed

    warn_of_equal_data(sources, workers=default_workers(), reporter=reporter)
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
    former = Path(data["root"])
    root = former if moved_to is None else _root(moved_to, former, saved)
    manifest = dataclasses.replace(saved, root=root, name=name)
    if manifest.fingerprint() != data["fingerprint"]:
        raise RunError(f"{run.manifest} is not the data that {run.path} was trained on.", "Restore it, or train again.")
    if (found := manifest.part("train").identities()) != run.identities:
        other = sorted(map(str, set(run.identities) - set(found))) or ["its order"]
        raise RunError(
            f"The identity map in {run.path / 'run.json'} does not match its rows: {spelled(other[0])} is not theirs.",
            "Restore it, or train again.",
        )
    if check_files and not _has_images(manifest):
        first = spelled(manifest.samples[0].path)
        raise DataError(
            f"The images of {run.path} are not in {spelled(manifest.root)}: {first} is missing.",
            f"Give the new folder of the data: --data DIR (the folder that has {first.replace('../', '')} now)",
        )
    return manifest


def _has_images(manifest: Manifest, root: Path | None = None) -> bool:
    """Return whether one of the first images is there, in the manifest's root or in another one."""
    files = ((root or manifest.root) / row.path for row in manifest.samples[:SAMPLED])
    # os.path.exists: False for a name that is too long for the system
    return any(os.path.exists(file) for file in files)  # noqa: PTH110


def _root(path: Path, former: Path, saved: Manifest) -> Path:
    """Return the folder that the rows' paths are relative to now; `path` if no candidate has the images.

    Args:
        path: What `--data` names: this folder, one below or above it, a data set, or a CSV.
        former: The folder that they were relative to.
        saved: The rows.
    """
    folder = path.parent if path.is_file() else path
    candidates = [folder]
    with contextlib.suppress(DataError):  # it need not be a data set
        found = locate(path.absolute())
        candidates.insert(0, found.root.parent if found.root.is_file() else found.root)
    names = former.parts[1:]
    candidates += [folder.joinpath(*names[start:]) for start in range(len(names) - 1, -1, -1)]
    candidates += folder.absolute().parents
    return next((root for root in candidates if _has_images(saved, root)), folder)


def _moved_rows(run: Run, paths: Sequence[Path]) -> Manifest | None:
    """Return the rows of a run that was trained from a CSV or several data sets, if `paths` is where they moved to.

    Such a folder of images has no labels of its own. A folder that is a data set is read as one while the images are
    where they were.
    """
    if not (len(paths) == 1 and paths[0].is_dir() and run.info["data"].get("layout", "csv") == "csv"):
        return None
    if _has_images(run_manifest(run, check_files=False)):
        return None
    moved = run_manifest(run, moved_to=paths[0], check_files=False)
    return moved if _has_images(moved) else None


def spectra_of(run: Run) -> tuple[str, ...]:
    """Return the spectra that a run's encoder reads of each observation; none for a model of ordinary images."""
    return tuple(run.info["model"].get("spectra") or ())


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
        SettingError: If there is a layout, but no data set.
    """
    moved = _moved_rows(run, as_paths(path)) if run is not None and path is not None else None
    if path is not None and moved is None:
        return read_sources(
            as_paths(path),
            layout=layout,
            reporter=reporter,
            trained=False,
            check=lambda source: source.manifest.part(split),
        )
    if layout != "auto":
        raise SettingError("--layout has no effect without --data.", "Name the data set with --data, or leave it out.")
    if run is None:
        raise DataError("A plain --model has no data of its own.", "Give the data: --data DIR or --data FILE.csv")
    manifest = moved or run_manifest(run)
    if moved:
        reporter.note(f"The data of {run.path}: its images are read from {spelled(moved.root)}.")
    own_layout = str(run.info["data"].get("layout", "csv"))
    for warning in (*spelling_notes(manifest), *missing_notes(manifest, several=own_layout == "csv")):
        reporter.warn(warning)
    return DataSet(manifest, own_layout)
