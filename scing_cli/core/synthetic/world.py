"""Write a synthetic data set in Market-1501's layout.

```text
FOLDER/bounding_box_train/0001_c1s1_000001_00.jpg   identities 1 .. N
FOLDER/query/, FOLDER/bounding_box_test/            identities from N + 1 on: other people, the same cameras
FOLDER/captions.csv                                 path, caption: one row per image, or two where a wording is named
```
"""

from __future__ import annotations

import csv
import dataclasses
import glob
import shutil
import tempfile
from pathlib import Path

from scing_cli.core.artifacts import acquire_lock, lock_holder, release_lock
from scing_cli.core.errors import DataError, ScingError, SettingError
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, default_workers
from scing_cli.core.synthetic.captions import WORDINGS
from scing_cli.core.synthetic.plan import FOLDERS, GALLERY, QUERY, TRAIN, Settings, plan
from scing_cli.core.synthetic.worker import draw_all


@dataclasses.dataclass(frozen=True, slots=True)
class WorldCounts:
    """Counts of a written data set: training and test people, cameras, and images of each part."""

    identities: int
    test_identities: int
    cameras: int
    train: int
    query: int
    gallery: int


def write_world(
    folder: Path,
    *,
    identities: int = 32,
    test_identities: int | None = None,
    cameras: int = 4,
    images_per_camera: int = 2,
    occluded_queries: bool = False,
    occluded_training: float = 0.0,
    wording: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> WorldCounts:
    """Draw a synthetic data set of pedestrians. Equal arguments give equal bytes; `workers` does not matter.

    Args:
        folder: Folder to write; it must be empty or not exist.
        identities: Number of training people.
        test_identities: Number of test people; the default is `identities`.
        cameras: Number of cameras; training and test people are seen by the same ones.
        images_per_camera: Images of each person by each camera in training and gallery. Each test person also has one
            query per camera.
        occluded_queries: Whether something hides 30-60 % of the body in every query. All other images stay the same.
        occluded_training: Share of training images, 0 to 1, in which something hides 30-60 % of the body. All other
            images stay the same.
        wording: `usual` or `unmet` for two different captions per image in this wording; by default one in the usual
            wording. `scing-tiny` has not met the words and sentences of `unmet`. Images do not depend on it.
        seed: Decides all random draws.
        workers: Number of processes; the default depends on the number of cores.
        reporter: Receives the progress.

    Returns:
        The counts of what was written.

    Raises:
        SettingError: If a number is too small, the share is outside 0 to 1, or the wording is unknown.
        DataError: If `folder` is not a folder or is not empty; nothing is changed.
        ScingError: If the data set cannot be written; nothing is left behind.
    """
    tested = identities if test_identities is None else test_identities
    _check(identities=identities, test_identities=tested, cameras=cameras, images_per_camera=images_per_camera)
    if not 0 <= occluded_training <= 1:
        raise SettingError(f"--occluded-training {occluded_training}: not a share.", "Give a number from 0 to 1.")
    if wording is not None and wording not in WORDINGS:
        raise SettingError(f"--wording {wording}: not a wording.", f"Give one of: {', '.join(WORDINGS)}.")
    target = folder.absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{folder} is not a folder.", "Name a new folder for the synthetic data set.")
    try:
        if target.is_dir() and any(target.iterdir()):
            raise DataError(
                f"{folder} is not empty.", "Name a new folder for the synthetic data set, or empty this one."
            )
        settings = Settings(
            identities, cameras, images_per_camera, occluded_queries, seed, tested, occluded_training, wording or ""
        )
        return _write(target, settings, workers or default_workers(), reporter)
    except OSError as error:
        raise ScingError(
            f"Cannot write {folder}: {error.strerror or error}.", "Choose another place for it, or make room there."
        ) from error


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            option = name.replace("_", "-")
            raise SettingError(f"--{option} {value}: a synthetic data set needs at least 1.", "Give a larger number.")


def _write(target: Path, settings: Settings, workers: int, reporter: Reporter) -> WorldCounts:
    """Draw all images into a folder next to the target, then rename it; a lock lets in one process at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    handle = acquire_lock(lock)
    if handle is None:
        raise ScingError(f"Another process is drawing {target}{lock_holder(lock)}.", "Name another folder.")
    try:
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):  # left by killed processes
            shutil.rmtree(left, ignore_errors=True)
        return _draw(target, settings, workers, reporter)
    finally:
        release_lock(lock, handle)


def _draw(target: Path, settings: Settings, workers: int, reporter: Reporter) -> WorldCounts:
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        for name in FOLDERS:
            (temporary / name).mkdir()
        paths = [shot.path for shot in plan(settings)]
        captions = []
        with reporter.progress("drawing", len(paths)) as advance:
            for told in draw_all(temporary, settings, len(paths), workers):
                captions.append(told)
                advance(1)
        _write_captions(temporary / "captions.csv", paths, captions)
        shutil.copymode(temporary / QUERY, temporary)  # mkdtemp gives access to this user alone
        if target.is_dir():
            target.rmdir()  # it is empty; Windows does not rename onto an existing folder
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = [sum(path.startswith(f"{name}/") for path in paths) for name in (TRAIN, QUERY, GALLERY)]
    return WorldCounts(settings.identities, settings.test_identities, settings.cameras, *counts)


def _write_captions(target: Path, paths: list[str], captions: list[list[str]]) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "caption"))
        writer.writerows((path, text) for path, texts in zip(paths, captions, strict=True) for text in texts)
