"""The images of queries: a photo, and the near-infrared and thermal images of the same moment, in any combination."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.errors import ImageError, SettingError, counted, spelled
from scing_cli.core.imagefile import image_size
from scing_cli.core.index import Rows
from scing_cli.core.paths import as_paths, file_keys
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import SPECTRA, VISIBLE, View, in_words
from scing_cli.core.workflows.search.moved_images import MovedImages
from scing_cli.core.workflows.search.queries import hint_at_boxes, photo_files
from scing_cli.core.workflows.search.query_photo import Photo
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.read_spectra import READS, note_across

OPTIONS: Mapping[str, str] = MappingProxyType({VISIBLE: "photo", "nir": "--near-infrared", "tir": "--thermal"})
LIKE = 0.05  # share by which a strip may be wider or narrower than those of the gallery
LOOKED_AT = 100  # strips of the gallery, in search of one that is on this machine


def find_photos(given: Sequence[Any], reporter: Reporter) -> tuple[list[Photo], tuple[PassedOver, ...]]:
    """Return the queries that files and folders of files give, and what was passed over in the folders.

    Args:
        given: Of each spectrum, in the order of `SPECTRA`: a path, several, or none.
        reporter: Receives notes.

    Raises:
        DataError: If a folder has no images.
        ImageError: If a photo is missing.
        SettingError: As for `paired`.
    """
    found: dict[str, list[Path]] = {}
    passed: list[PassedOver] = []
    for spectrum, paths in zip(SPECTRA, given, strict=True):
        option = "" if spectrum == VISIBLE else OPTIONS[spectrum]
        found[spectrum], skipped = photo_files(as_paths(paths), reporter, option=option)
        passed += skipped
    return paired(found), tuple(passed)


def paired(given: Mapping[str, Sequence[Path]]) -> list[Photo]:
    """Return the queries of photos and of images of other spectra, which belong together in their order.

    Args:
        given: The files of each spectrum; none for a spectrum that was not given.

    Raises:
        SettingError: If there are different numbers of them, or one file is given for two spectra.
    """
    present = {spectrum: list(given[spectrum]) for spectrum in SPECTRA if given.get(spectrum)}
    counts = {spectrum: len(files) for spectrum, files in present.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(
            counted(count, "photo") if spectrum == VISIBLE else f"{count} {OPTIONS[spectrum]}"
            for spectrum, count in counts.items()
        )
        raise SettingError(
            f"{said}: the images of a query belong together in their order.",
            "Give as many of each, or search for the others in a command of their own.",
        )
    if set(present) <= {VISIBLE}:
        return [Photo(file) for file in present.get(VISIBLE, [])]
    photos = []
    for files in zip(*present.values(), strict=True):
        keys = file_keys(files)
        twice = next((number for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            names = [OPTIONS[spectrum] for spectrum in present]
            first = names[keys.index(keys[twice])]
            raise SettingError(
                f"{spelled(files[twice])} is given as {first} and as {names[twice]} of one query.",
                "Each spectrum has an image of its own; leave out what there is not.",
            )
        views = {spectrum: View(file) for spectrum, file in zip(present, files, strict=True)}
        photos.append(Photo(files[0], views))
    return photos


def check_spectra(photos: Sequence[Photo], model: OpenedModel) -> None:
    """Check that a model reads the images of the queries.

    Raises:
        SettingError: If it does not read one of them.
    """
    read = model.spectra or (VISIBLE,)
    shown = {spectrum for photo in photos if not photo.is_strip for spectrum in photo.spectra}
    unread = tuple(spectrum for spectrum in SPECTRA if spectrum in shown and spectrum not in read)
    if not unread:
        return
    options = " and ".join(OPTIONS[spectrum] for spectrum in unread)
    if not model.spectra:
        raise SettingError(
            f"{options}: {model.label()} reads one image of each query, the visible one.",
            f"Leave {options} out. {READS}",
        )
    ways = " and ".join(OPTIONS[spectrum] for spectrum in read)
    what = f"{spelled(photos[0].file)}, a photo" if unread[0] == VISIBLE else options
    raise SettingError(
        f"{what}: {model.label()} reads {in_words(read)} images, no {in_words(unread)} ones.",
        f"Give what it reads: {ways}.",
    )


def beside_gallery(
    photos: Sequence[Photo],
    rows: Rows,
    model: OpenedModel,
    *,
    moved: MovedImages | None,
    boxed: bool,
    reporter: Reporter,
) -> list[Photo]:
    """Return the queries as the gallery suggests to read them, and say what people should know of them.

    Args:
        photos: The queries.
        rows: The rows of the index.
        model: The model.
        moved: Finds the gallery's images if they were moved.
        boxed: Whether the user said where the person is.
        reporter: Receives notes and warnings.

    Raises:
        SettingError: If the model does not read an image of a query.
    """
    photos = as_strips(photos, rows, model.spectra, moved, reporter)
    check_spectra(photos, model)
    asked = {spectrum for photo in photos for spectrum in photo.spectra}
    note_across(asked, _spectra(rows), model.missing, reporter)
    if not boxed:
        hint_at_boxes([photo.file for photo in photos if not photo.is_strip], rows, reporter)
    return photos


def as_strips(
    photos: Sequence[Photo], rows: Rows, spectra: Sequence[str], moved: MovedImages | None, reporter: Reporter
) -> list[Photo]:
    """Return photos that are strips, in a gallery of strips, with the parts that show the spectra.

    A strip shows three images side by side; a photo is taken for one if it has the shape of the gallery's.

    Args:
        photos: The queries.
        rows: The rows of the index.
        spectra: The model's spectra.
        moved: Finds the gallery's images if they were moved.
        reporter: Receives a note; a warning if the shape is not known, because no strip of the gallery can be read.
    """
    found = (row for row in rows.observations() if any(view.part is not None for view in row.images.values()))
    strips = list(itertools.islice(found, LOOKED_AT))
    alone = [photo.file for photo in photos if not photo.views]
    if not strips or not alone:
        return list(photos)
    looked_at = (row if moved is None else moved.row(row) for row in strips)
    shape = next((shape for row in looked_at if (shape := _shape(Path(row.path)))), None)
    if shape is None:
        reporter.warn(
            "The gallery's images are strips of three images side by side, of which none is found on this machine: "
            "a photo is read as one image, even if it is a strip. Name the folder of the gallery's images with --data."
        )
        return list(photos)
    alike = {file for file in alone if (own := _shape(file)) and abs(own / shape - 1) < LIKE}
    if alike:
        read = in_words(tuple(spectra) or (VISIBLE,))
        reporter.note(
            f"{counted(len(alike), 'photo is read as a strip', 'photos are read as strips')} of three images side by "
            f"side, as the gallery's are: {read}."
        )
    return [
        Photo(photo.file, {spectrum: View(photo.file, part) for part, spectrum in enumerate(SPECTRA)})
        if photo.file in alike
        else photo
        for photo in photos
    ]


def _spectra(rows: Rows) -> set[str]:
    """Return the spectra of all images of a gallery."""
    observed, found = 0, set[str]()
    for row in rows.observations():
        observed += 1
        found |= row.images.keys()
    return found | {VISIBLE} if observed < len(rows) else found


def _shape(file: Path) -> float | None:
    """Return width / height of an image, read from its header; None if that fails."""
    try:
        width, height = image_size(file)
    except ImageError:
        return None  # the decoder reports the fault later
    return width / height
