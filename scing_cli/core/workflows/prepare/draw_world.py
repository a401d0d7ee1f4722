"""Draw a synthetic data set, after checking that its manifest can be written."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.datasets.overwrite import check_overwrite
from scing_cli.core.manifest import Manifest
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import parse_spectra
from scing_cli.core.synthetic import OBSERVATIONS, write_world
from scing_cli.core.workflows.prepare.manifest_target import check_workers, manifest_target


def draw_world(
    folder: StrPath,
    *,
    identities: int = 32,
    test_identities: int | None = None,
    cameras: int = 4,
    images_per_camera: int = 2,
    occluded_queries: bool = False,
    occluded_training: float = 0.0,
    wording: str | None = None,
    spectra: str | None = None,
    night: bool = False,
    look: str = "drawn",
    seed: int = 0,
    output: StrPath | None = None,
    workers: int | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Path:
    """Draw a synthetic data set of pedestrians, with `scing_cli.core.synthetic.write_world`.

    Args:
        folder: A new or empty folder.
        identities: The number of people for training.
        test_identities: The number of other people, for testing; by default the same number.
        cameras: The number of cameras.
        images_per_camera: Images of each person from each camera.
        occluded_queries: Whether an object hides part of the body in every query.
        occluded_training: The share of training images with such an object, 0 to 1.
        wording: `usual` or `unmet` for two captions per image in this wording; by default one in the usual wording.
        spectra: Names of spectra with commas between them, for one image per spectrum and a CSV; by default
            Market-1501's layout.
        night: Whether visible images are dark and noisy; needs `spectra`.
        look: As for `write_world`.
        seed: Selects the data set.
        output: The manifest that `prepare` will write; checked before drawing starts.
        workers: Processes that draw.
        reporter: Receives progress.

    Returns:
        What `prepare` reads: the folder, or with several spectra the CSV in it.

    Raises:
        DataError: If the folder is not empty, or the manifest's path is occupied by another file.
        SettingError: If a number is too small, the share is outside 0 to 1, the wording or a spectrum is unknown, or
            options do not fit each other.
    """
    folder, output = as_path(folder), as_path(output)
    threads = check_workers(workers)
    chosen = () if spectra is None else parse_spectra(spectra, "--spectra")
    check_overwrite(manifest_target(folder, output), Manifest(folder.absolute(), (), str(folder)), folder=True)
    write_world(
        folder,
        identities=identities,
        test_identities=test_identities,
        cameras=cameras,
        images_per_camera=images_per_camera,
        occluded_queries=occluded_queries,
        occluded_training=occluded_training,
        wording=wording,
        spectra=chosen,
        night=night,
        look=look,
        seed=seed,
        workers=threads,
        reporter=reporter,
    )
    return folder / OBSERVATIONS if chosen else folder
