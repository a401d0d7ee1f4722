"""Which images `embed` embeds: those of a data set or a folder, and of these the ones that are new or have changed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from scing_cli.core.datasets import DataSet
from scing_cli.core.datasets.disk_names import did_you_mean
from scing_cli.core.datasets.left_out import LeftOut, unreadable
from scing_cli.core.datasets.listing import find_images
from scing_cli.core.datasets.passed_over import passed_text, report_passed
from scing_cli.core.errors import DataError, ImageError, SettingError, counted, spelled
from scing_cli.core.imagefile import REMEDY
from scing_cli.core.index import (
    Entry,
    Row,
    entry_of,
    file_state,
    observed_state,
    shape_of,
)
from scing_cli.core.manifest import Manifest, Sample, display_name, is_text
from scing_cli.core.paths import StrPath, check_not_empty
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import VISIBLE, Source, View, file_of
from scing_cli.core.workflows.embed.former_rows import FormerRows
from scing_cli.core.workflows.shared.vectors import in_threads


@dataclasses.dataclass(frozen=True)
class GalleryChoice:
    """The images to embed.

    Args:
        data: A data set, or several, whose people and cameras stay apart; None for the one that the run was trained on.
        layout: The layout of each data set.
        split: The part to embed: train, val, query, gallery or all.
        images: Any folder of images, or several, instead of a data set; needs no labels.
    """

    data: StrPath | Sequence[StrPath] | None = None
    layout: str = "auto"
    split: str = "gallery"
    images: StrPath | Sequence[StrPath] | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.images is not None:
            raise SettingError(
                "--data and --images were both given.", "--images takes a plain folder, --data a data set."
            )
        for name, given in (("data", self.data), ("images", self.images)):
            if given is not None and not isinstance(given, str | os.PathLike) and not given:
                raise SettingError(f"{name} names no folder.", "Name one, or leave it out.")
        if self.images is not None and self.layout not in ("auto", "images"):
            raise SettingError("--layout has no effect with --images.", "Use --data to read a data set by its layout.")
        if self.images is not None and self.split not in ("gallery", "all"):
            raise SettingError(
                "--split has no effect with --images: every image is embedded.",
                "Leave --split out, or use --data to read a data set.",
            )


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
    if passed:
        report_passed(passed, reporter)
    files = [file for file in found if is_text(str(file))]
    if len(files) < len(found):
        files_of = counted(len(found) - len(files), "file of", "files of")
        reporter.warn(f"{files_of} {spelled(folder)} left out because of a name that is not UTF-8.")
    if not files:
        raise DataError(f"{spelled(folder)} holds no image. {passed_text(passed)}".strip(), REMEDY)
    samples = tuple(Sample(file.relative_to(folder).as_posix()) for file in files)
    return DataSet(Manifest(folder, samples, display_name(folder)), "images", passed=passed)


@dataclasses.dataclass(frozen=True)
class NewImages:
    """The images that are to be added to an index.

    Args:
        files: The image files, or observations.
        entries: Their entries.
        former: For each file, the ids of rows that show former contents of it.
        places: For each file, its place in the manifest, ascending.
        labels: New identity, camera and scene of rows whose files have not changed, by id, for each such file.
    """

    files: Sequence[Source]
    entries: Sequence[Entry]
    former: Sequence[Sequence[int]]
    places: Sequence[int]
    labels: Sequence[Mapping[int, tuple[str, str, str]]] = ()


def find_new_images(
    base: FormerRows | None,
    manifest: Manifest,
    *,
    spectra: Sequence[str] = (),
    with_camera: bool = False,
    workers: int,
    left_out: LeftOut,
    reporter: Reporter,
) -> NewImages:
    """Return the images that are new or have changed since the index was written, and the labels that have.

    An image with the size and time of its row counts as unchanged; of all others the digests are compared. An image
    without a label keeps that of its row.

    Args:
        base: The rows of the index; None for a new one.
        manifest: The images.
        spectra: The spectra that the model reads; none for a model of ordinary images.
        with_camera: Whether a vector depends on the camera, so that another camera makes another vector.
        workers: Threads that compute digests.
        left_out: Receives the files whose bytes cannot be read.
        reporter: Shows the progress.
    """
    files = manifest.sources(spectra)
    pictures = [_Pictures.of(manifest, sample, spectra) for sample in manifest]
    former: list[list[Row]] = [[] for _ in pictures]
    if base is not None:
        former = base.of([(picture.file, picture.files) for picture in pictures])
    samples = [_labelled(sample, rows) for sample, rows in zip(manifest, former, strict=True)]
    seen = [
        not with_camera or sample.camera in {row.camera for row in rows}
        for sample, rows in zip(samples, former, strict=True)
    ]
    candidates = [i for i in range(len(files)) if not (seen[i] and pictures[i].unchanged(former[i]))]
    # Digests are computed before the images are decoded: if a file changes in between, the next append finds it.
    entries = in_threads(
        lambda i: pictures[i].entry(samples[i]),
        candidates,
        workers=workers,
        reporter=reporter,
        text="digests",
    )
    same = [{(row.digest, shape_of(row.views)) for row in former[i]} if seen[i] else set() for i in range(len(files))]
    added = _changed(dict(zip(candidates, entries, strict=True)), files, same, left_out)
    labels = [
        changed
        for i, rows in enumerate(former)
        if i not in added and file_of(files[i]) not in left_out and (changed := _new_labels(samples[i], rows))
    ]
    rows_of = [[row.id for row in former[i]] for i in added]
    return NewImages([files[i] for i in added], list(added.values()), rows_of, list(added), labels)


def _labelled(sample: Sample, former: Sequence[Row]) -> Sample:
    """Return a sample with the labels of its last row where it has none itself."""
    if not former:
        return sample
    last = former[-1]
    return dataclasses.replace(sample, identity=sample.identity or last.identity, camera=sample.camera or last.camera)


def _new_labels(sample: Sample, rows: Sequence[Row]) -> dict[int, tuple[str, str, str]]:
    """Return the labels of a sample for those of its rows that have others; a scene is never taken away."""
    own = {row.id: (sample.identity, sample.camera, sample.scene or row.scene) for row in rows}
    return {row.id: own[row.id] for row in rows if (row.identity, row.camera, row.scene) != own[row.id]}


def _changed(
    entries: Mapping[int, Entry | ImageError],
    files: Sequence[Source],
    same: Sequence[Container[object]],
    left_out: LeftOut,
) -> dict[int, Entry]:
    """Return the entries whose digests are not among those of the rows that show the same."""
    changed = {}
    for i, entry in entries.items():
        if isinstance(entry, ImageError):
            left_out.add(file_of(files[i]), entry)
        elif (entry.digest, shape_of(entry.views)) not in same[i]:
            changed[i] = entry
    return changed


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """The files that show one row.

    Args:
        file: The image that names the row.
        images: The image of each spectrum that the model reads of an observation; None for an ordinary image.
    """

    file: Path
    images: Mapping[str, View] | None

    @classmethod
    def of(cls, manifest: Manifest, sample: Sample, spectra: Sequence[str]) -> _Pictures:
        """Return the files that a model of these spectra reads of a row of a manifest."""
        file, views = manifest.file(sample), manifest.views(sample)
        images = {spectrum: view for spectrum, view in views.items() if spectrum in (spectra or (VISIBLE,))}
        read = [view.file for view in images.values()]
        file = file if file in read else read[0]
        return cls(file, None if images == {VISIBLE: View(file)} else images)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of all images, each once."""
        return (self.file,) if self.images is None else tuple({view.file: 0 for view in self.images.values()})

    def unchanged(self, former: Sequence[Row]) -> bool:
        """Return whether all files have the sizes and times of one of their rows; False if one cannot be accessed."""
        if not former:
            return False
        try:
            state = (*file_state(self.file), "") if self.images is None else observed_state(self.images)
        except OSError:
            return False
        return state in {(row.size, row.mtime, row.views) for row in former}

    def entry(self, sample: Sample) -> Entry | ImageError:
        """Return the entry of a row; an error that names the file that cannot be read."""
        try:
            return entry_of(
                self.file, identity=sample.identity, camera=sample.camera, images=self.images, scene=sample.scene
            )
        except OSError as error:
            return unreadable(Path(error.filename or self.file), error)
