"""The listing of a gallery: which rows are to be embedded, each image once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets import DataSet, join_manifests
from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.errors import counted
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.paths import as_paths, check_once
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source
from scing_cli.core.workflows.embed.gallery_images import GalleryChoice, folder_data
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model, open_run_model
from scing_cli.core.workflows.shared.read_spectra import rows_seen
from scing_cli.core.workflows.shared.run_data import open_data, own_cameras


@dataclasses.dataclass(frozen=True)
class Listed:
    """The rows of a gallery that a model can see.

    Args:
        manifest: The rows; no two of them have the same image.
        cameras: For each row the camera that the encoder uses (R15); None for an encoder without camera vectors.
        passed: What was passed over in the folders of images.
    """

    manifest: Manifest
    cameras: Sequence[str] | None = None
    passed: tuple[PassedOver, ...] = ()

    def sources(self, model: OpenedModel) -> list[Source]:
        """Return what the model reads of each row."""
        return self.manifest.sources(model.spectra)

    def part(self, start: int, end: int) -> Listed:
        """Return the rows of a range."""
        rows = dataclasses.replace(self.manifest, samples=self.manifest.samples[start:end])
        return Listed(rows, self.cameras and self.cameras[start:end])

    def portions(self, size: int) -> list[Listed]:
        """Return the rows in portions of a size; observations in one, because an index knows them by any image."""
        if len(self.manifest) <= size or self.manifest.spectra():
            return [self]
        return [self.part(start, start + size) for start in range(0, len(self.manifest), size)]


def open_and_list(choice: ModelChoice, gallery: GalleryChoice, reporter: Reporter) -> tuple[OpenedModel, Listed]:
    """Open the model and list the images. The images come before a plain model, which takes seconds to load.

    Args:
        choice: Which model.
        gallery: Which images.
        reporter: Receives notes and warnings.

    Raises:
        DataError: If there is no data, or it cannot be read.
        RunError: If the run cannot be used.
        WeightsError: If the plain model cannot be used.
    """
    trained = open_run_model(choice, reporter=reporter)
    rows, whole = gallery_rows(trained.run if trained is not None else None, gallery, reporter)
    model = trained or open_model(choice, reporter=reporter)
    manifest = _unique(rows_seen(rows, model.spectra, reporter, model=model.label()), reporter)
    cameras = own_cameras(manifest, whole.manifest, model.run) if model.cameras else None
    return model, Listed(manifest, cameras, whole.passed)


def gallery_rows(run: Run | None, gallery: GalleryChoice, reporter: Reporter) -> tuple[Manifest, DataSet]:
    """Return the rows that were chosen, and the whole data set that they belong to.

    Args:
        run: The run whose own data is used if none was named; None for a plain model.
        gallery: Which images.
        reporter: Receives notes and warnings.

    Raises:
        DataError: If there is no data, or it cannot be read.
    """
    if gallery.images is not None:
        named = as_paths(gallery.images)
        check_once(named, "--images")
        folders = [folder_data(folder, reporter=reporter) for folder in named]
        images = folders[0] if len(folders) == 1 else _joint_folders(folders)
        return images.manifest, images
    data = open_data(run, gallery.data, layout=gallery.layout, split=gallery.split, reporter=reporter)
    rows = data.manifest.part(gallery.split)
    if len(rows) < len(data.manifest):
        others = "|".join([*(split for split in data.manifest.splits() if split != gallery.split), "all"])
        share = f"{len(rows):,} of {counted(len(data.manifest), 'image')}"
        reporter.note(f"Only the split {gallery.split} is embedded, {share}. For others: --split {others}")
    return rows, data


def _joint_folders(folders: Sequence[DataSet]) -> DataSet:
    """Return several folders of unlabelled images as one."""
    joint = join_manifests([folder.manifest for folder in folders])
    return DataSet(joint, "images", passed=tuple(passed for folder in folders for passed in folder.passed))


def _unique(manifest: Manifest, reporter: Reporter) -> Manifest:
    """Return the manifest with only the first row of each image."""
    first: dict[str, Sample] = {}
    for key, sample in zip(file_keys(manifest.files()), manifest, strict=True):
        first.setdefault(key, sample)
    if len(first) < len(manifest):
        rows = counted(len(manifest) - len(first), "row repeats", "rows repeat")
        reporter.note(f"{rows} an image: each image is embedded once.")
    return dataclasses.replace(manifest, samples=tuple(first.values()))
