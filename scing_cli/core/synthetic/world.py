"""Write a rendered world to disk in Market-1501's layout.

```text
FOLDER/bounding_box_train/0001_c1s1_000001_00.jpg   identities 1 .. N
FOLDER/query/, FOLDER/bounding_box_test/            identities from N + 1 on: other people, the same cameras
FOLDER/captions.csv                                 path, caption: one row per image
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
from scing_cli.core.synthetic.plan import FOLDERS, GALLERY, QUERY, TRAIN, Settings, plan
from scing_cli.core.synthetic.worker import draw_all


@dataclasses.dataclass(frozen=True, slots=True)
class WorldCounts:
    """What was written: people to train on and to test, cameras, and images per part."""

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
    seed: int = 0,
    workers: int | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> WorldCounts:
    """Draw a data set of pedestrians: the same bytes for the same arguments, whatever the number of workers.

    Args:
        folder: Where to write it; it must not exist, or be empty.
        identities: People in training.
        test_identities: Others, to test; by default as many.
        cameras: Cameras; train and test share them.
        images_per_camera: Images of each person by each camera in training and gallery. Each test person has one
            query per camera besides.
        occluded_queries: Whether something hides 30-60 % of the body in every query. All other images stay the same.
        occluded_training: The share of training images, 0 to 1, in which something does. All others stay the same.
        seed: Which world.
        workers: Processes; by default as many as there are cores.
        reporter: Where progress is told.

    Returns:
        What was written.

    Raises:
        SettingError: If a number is too small, or the share outside 0 to 1.
        DataError: If the folder holds something; nothing is touched.
        ScingError: If it cannot be written; nothing is left behind.
    """
    others = identities if test_identities is None else test_identities
    _check(identities=identities, test_identities=others, cameras=cameras, images_per_camera=images_per_camera)
    if not 0 <= occluded_training <= 1:
        raise SettingError(f"--occluded-training {occluded_training}: not a share.", "Give a number from 0 to 1.")
    target = folder.absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{folder} is no folder.", "Name a new folder for the drawn world.")
    try:
        if target.is_dir() and any(target.iterdir()):
            raise DataError(f"{folder} is not empty.", "Name a new folder for the drawn world, or empty this one.")
        settings = Settings(identities, cameras, images_per_camera, occluded_queries, seed, others, occluded_training)
        return _write(target, settings, workers or default_workers(), reporter)
    except OSError as error:
        raise ScingError(
            f"Cannot write {folder}: {error.strerror or error}.", "Choose another place for it, or make room there."
        ) from error


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            option = name.replace("_", "-")
            raise SettingError(f"--{option} {value}: a drawn world needs at least 1.", "Give a larger number.")


def _write(target: Path, settings: Settings, workers: int, reporter: Reporter) -> WorldCounts:
    """Draw all images beside the target, then put them in its place by one rename; one process at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f".{target.name}.lock")
    handle = acquire_lock(lock)
    if handle is None:
        raise ScingError(f"Another process is drawing {target}{lock_holder(lock)}.", "Name another folder.")
    try:
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):  # of a process that was killed
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
            for caption in draw_all(temporary, settings, len(paths), workers):
                captions.append(caption)
                advance(1)
        _write_captions(temporary / "captions.csv", paths, captions)
        shutil.copymode(temporary / QUERY, temporary)
        if target.is_dir():
            target.rmdir()
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = [sum(path.startswith(f"{name}/") for path in paths) for name in (TRAIN, QUERY, GALLERY)]
    return WorldCounts(settings.identities, settings.test_identities, settings.cameras, *counts)


def _write_captions(target: Path, paths: list[str], captions: list[str]) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("path", "caption"))
        writer.writerows(zip(paths, captions, strict=True))
