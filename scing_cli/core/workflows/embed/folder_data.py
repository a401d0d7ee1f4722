"""The images of a plain folder as rows without labels."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.datasets import DataSet
from scing_cli.core.datasets.dataset import display_name, is_text
from scing_cli.core.datasets.disk_names import did_you_mean
from scing_cli.core.datasets.listing import find_images
from scing_cli.core.datasets.passed_over import passed_text
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.imagefile import REMEDY
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.paths import check_not_empty
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.run_data import report_passed


def folder_data(folder: Path, *, reporter: Reporter) -> DataSet:
    """Return all images below a folder, without labels, sorted by path, and what was passed over.

    Raises:
        DataError: If it is not a folder or has no images.
    """
    if not folder.is_dir():
        raise DataError(
            f"{spelled(folder)} is not a folder.", f"{did_you_mean(folder)}--images takes a folder of images."
        )
    check_not_empty(folder, "--images takes a folder of images.")
    found, passed = find_images(folder)
    report_passed(passed, reporter)
    files = [file for file in found if is_text(str(file))]
    if len(files) < len(found):
        reporter.warn(f"{len(found) - len(files)} files of {folder} were left out: their names are not UTF-8.")
    if not files:
        raise DataError(f"{spelled(folder)} holds no image. {passed_text(passed)}".strip(), REMEDY)
    samples = tuple(Sample(file.relative_to(folder).as_posix()) for file in files)
    return DataSet(Manifest(folder, samples, display_name(folder)), "images", passed=passed)
