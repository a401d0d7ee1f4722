"""Write a synthetic data set in Market-1501's layout.

```text
FOLDER/bounding_box_train/0001_c1s1_000001_00.jpg   identities 1 .. N
FOLDER/query/, FOLDER/bounding_box_test/            identities from N + 1 on: other people, the same cameras
FOLDER/captions.csv                                 path, caption: one row per image, or two where a wording is named
```

With several spectra, each image is one file per spectrum, all with one name:

```text
FOLDER/train/RGB/0001_c1s1_000001_00.jpg            and the same in NI (near-infrared) and TI (thermal)
FOLDER/query/, FOLDER/gallery/                      in the same way
FOLDER/observations.csv                             path, identity, camera, split, near_infrared, thermal
```
"""

from __future__ import annotations

import csv
import dataclasses
import glob
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from scing_cli.core.artifacts import acquire_lock, lock_holder, release_lock
from scing_cli.core.errors import DataError, ScingError, SettingError
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import COLUMNS, VISIBLE, parse_spectra
from scing_cli.core.synthetic.captions import WORDINGS
from scing_cli.core.synthetic.plan import DRAWN, FOLDERS, LOOKS, SPLITS, Settings, Shot, plan
from scing_cli.core.synthetic.worker import draw_all
from scing_cli.core.threads import default_workers

OBSERVATIONS = "observations.csv"


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
    spectra: Sequence[str] = (),
    night: bool = False,
    look: str = DRAWN,
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
            wording. No shipped model has met the words and sentences of `unmet`. Images do not depend on it.
        spectra: Keys of `SPECTRA`, for one registered image per spectrum and no captions; by default Market-1501's
            layout.
        night: Whether visible images are dark and noisy; needs `spectra`. Images of the other spectra stay the same.
        look: `drawn`; `lifelike` for bodies, light, cloth, places and sensors that look like photographs, in files of
            different sizes; or `unmet`, the same by cameras whose height, sun, mean size, colours,
            contrast and compression lie outside the ranges of `lifelike`.
            Single pixels of these two may differ on another kind of processor.
        seed: Decides all random draws.
        workers: Number of processes; the default depends on the number of cores.
        reporter: Receives the progress.

    Returns:
        The counts of what was written.

    Raises:
        SettingError: If a number is too small, the share is outside 0 to 1, the wording or a spectrum is unknown, there
            is a wording for several spectra, or a night without spectra.
        DataError: If `folder` is not a folder or is not empty; nothing is changed.
        ScingError: If the data set cannot be written; nothing is left behind.
    """
    tested = identities if test_identities is None else test_identities
    _check(identities=identities, test_identities=tested, cameras=cameras, images_per_camera=images_per_camera)
    if not 0 <= occluded_training <= 1:
        raise SettingError(f"--occluded-training {occluded_training}: not a share.", "Give a number from 0 to 1.")
    if wording is not None and wording not in WORDINGS:
        raise SettingError(f"--wording {wording}: not a wording.", f"Give one of: {', '.join(WORDINGS)}.")
    spectra = parse_spectra(",".join(spectra), "--spectra") if spectra else ()
    if spectra and wording is not None:
        raise SettingError(f"--wording {wording}: images of several spectra get no captions.", "Leave --wording out.")
    if night and not spectra:
        raise SettingError("--night needs --spectra.", "Add --spectra rgb,nir,tir, or leave --night out.")
    if look not in LOOKS:
        raise SettingError(f"--look {look}: not a look.", f"Give one of: {', '.join(LOOKS)}.")
    if spectra and look != DRAWN:
        raise SettingError(f"--look {look}: images of several spectra are drawn.", "Leave --look or --spectra out.")
    target = folder.absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{folder} is not a folder.", "Name a new folder for the synthetic data set.")
    try:
        if target.is_dir() and any(target.iterdir()):
            raise DataError(
                f"{folder} is not empty.", "Name a new folder for the synthetic data set, or empty this one."
            )
        settings = Settings(
            identities,
            cameras,
            images_per_camera,
            occluded_queries,
            seed,
            tested,
            occluded_training,
            wording or "",
            spectra,
            night,
            look,
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
        for name in settings.folders:
            (temporary / name).mkdir(parents=True)
        shots = list(plan(settings))
        captions: list[list[str]] = []
        with reporter.progress("drawing", len(shots)) as advance:
            for texts in draw_all(temporary, settings, len(shots), workers):
                captions.append(texts)
                advance(1)
        if spectra := settings.spectra:
            _write_csv(temporary / OBSERVATIONS, _columns(spectra), (_observation(shot, spectra) for shot in shots))
        else:
            told = zip((shot.path for shot in shots), captions, strict=True)
            rows = ((path, text) for path, both in told for text in both)
            _write_csv(temporary / "captions.csv", ("path", "caption"), rows)
        shutil.copymode(temporary / settings.folders[0], temporary)  # mkdtemp gives access to this user alone
        if target.is_dir():
            target.rmdir()  # it is empty; Windows does not rename onto an existing folder
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = [sum(shot.folder == name for shot in shots) for name in FOLDERS]
    return WorldCounts(settings.identities, settings.test_identities, settings.cameras, *counts)


def _columns(spectra: Sequence[str]) -> list[str]:
    return ["path", "identity", "camera", "split", *(COLUMNS[one] for one in spectra if one in COLUMNS)]


def _observation(shot: Shot, spectra: Sequence[str]) -> list[str]:
    """Return the row of an observation; `path` is empty if there is no visible image."""
    visible = shot.path_in(VISIBLE) if VISIBLE in spectra else ""
    known = [f"{shot.identity:04d}", str(shot.camera_number), SPLITS[shot.folder]]
    return [visible, *known, *(shot.path_in(one) for one in spectra if one in COLUMNS)]


def _write_csv(target: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
