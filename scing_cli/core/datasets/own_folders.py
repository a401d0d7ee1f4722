"""Find the user's own data in a folder: folders per split, per person or per camera, or unlabelled images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.datasets.camera_levels import people_below_cameras
from scing_cli.core.datasets.dataset import folder_levels
from scing_cli.core.datasets.folder_names import is_part, split_parts
from scing_cli.core.datasets.image_names import names_match
from scing_cli.core.datasets.listing import Listing, list_folder, walk_images
from scing_cli.core.datasets.location import Location
from scing_cli.core.datasets.not_people import Doubt, doubt_levels, doubt_people
from scing_cli.core.datasets.spectrum_folders import is_of_spectra
from scing_cli.core.datasets.unknown_layout import known_markers, nearest_markers, no_known_layout, table_names
from scing_cli.core.datasets.wrapping import people_root, wrapped_folders
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.layouts import LAYOUTS, Parts
from scing_cli.core.manifest import SPLITS

SPECTRUM_FOLDERS = "spectrum-folders"
SAMPLED = 20  # file names that are compared with those of known data sets
CSV_REMEDY = "A CSV can describe any data: columns path, identity, camera, split (only path is needed)."
FORCED = {
    "identity-folders": "To read each of them as one person all the same: --layout identity-folders.",
    "split-folders": "To read each of them as one person all the same: --layout split-folders.",
    "camera-folders": "To read them as cameras, and the folders inside as people: --layout camera-folders.",
    "images": "To read all images without labels: --layout images.",
}
"""What `--layout` does with folders that are not certainly people."""


def find_own(path: Path, layout: str) -> Location:
    """Return the location of the user's own data.

    Args:
        path: The folder.
        layout: `auto`, or the name of a layout without markers.

    Raises:
        DataError: If the folder has no such data, or its names leave doubt how to read it.
    """
    if layout != "auto":
        return _named(path, layout)
    from scing_cli.core.datasets.caption_lists import check_lists  # a search does not need it

    for folder in wrapped_folders(path):
        check_lists(folder)
        # Part of a known data set is an error, not a folder of people: otherwise a missing folder would go unnoticed.
        if known_markers(folder):
            raise no_known_layout(folder)
        if is_of_spectra(folder):
            return Location(folder, SPECTRUM_FOLDERS, {"train": (".",)})
        if parts := split_parts(list_folder(folder).folders):
            return _split(path, folder, parts)
    listing = list_folder(path)
    if next(walk_images(path, "."), None) is None:
        raise no_known_layout(path)
    if table_names(listing):
        return _beside_table(path, listing)
    if listing.images and not any(map(is_part, listing.folders)):
        return Location(path, "images", {"": (".",)})
    return _people(people_root(path))


def _beside_table(path: Path, listing: Listing) -> Location:
    """Return the location of folders of people with a CSV next to them; the CSV of other images is meant itself."""
    if listing.images or len(listing.folders) < 2:
        raise no_known_layout(path)
    try:
        return _people(path)
    except DataError:
        raise no_known_layout(path) from None


def flat_parts(folder: Path) -> Parts | None:
    """Return the parts of a folder in the layout split-files; None if it has another layout."""
    parts = split_parts(list_folder(folder).folders)
    listings = [list_folder(folder / name) for names in parts.values() for name in names]
    return parts if _are_flat(listings) else None


def _named(path: Path, layout: str) -> Location:
    """Return the location for a layout that the user named."""
    if layout == "images":
        return Location(path, layout, {"": (".",)})
    if layout in ("identity-folders", SPECTRUM_FOLDERS):
        return Location(path, layout, {"train": (".",)})
    for folder in wrapped_folders(path):
        if parts := split_parts(list_folder(folder).folders):
            return Location(folder, layout, parts)
    if layout == "camera-folders":
        return Location(path, layout, {"train": (".",)})
    raise DataError(f"{path} has none of the folders {', '.join(SPLITS)}.", "Leave out --layout.")


def _split(path: Path, root: Path, parts: Parts) -> Location:
    """Return the location of folders per split.

    Raises:
        DataError: If they have neither folders of people nor names of files that can be read.
    """
    folders = [name for names in parts.values() for name in names]
    listings = [list_folder(root / name) for name in folders]
    if _are_flat(listings):
        return Location(root, "split-files", parts)
    if not any(listing.folders or listing.images for listing in listings):
        raise no_known_layout(path)
    if any(listing.images for listing in listings):
        raise _unnamed_files(root, folders)
    doubts = [doubt for name in folders if (doubt := doubt_people(root / name)) is not None]
    levels = _levels(root, folders)
    fits = bool(doubts) and people_below_cameras(levels)
    if fits and all(doubt.sure for doubt in doubts) and len(doubts) == len(folders):
        return Location(root, doubts[0].layouts[0], parts)
    doubt = doubts[0] if doubts else doubt_levels(levels)
    if doubt:
        raise _refusal(root, doubt, "split-folders", fits)
    _check_signature(root, "split-folders")
    return Location(root, "split-folders", parts)


def _people(root: Path) -> Location:
    """Return the location of a folder per person, or of a folder per camera with people inside."""
    levels = _levels(root, ["."])
    doubt = doubt_people(root) or doubt_levels(levels)
    if doubt is None:
        _check_signature(root, "identity-folders")
        return Location(root, "identity-folders", {"train": (".",)})
    fits = people_below_cameras(levels)
    if doubt.sure and fits:
        return Location(root, doubt.layouts[0], {"train": (".",)})
    raise _refusal(root, doubt, "identity-folders", fits)


def _levels(root: Path, folders: Sequence[str]) -> list[list[str]]:
    """Return the levels of each image below some folders: the folders around it, and its name."""
    return [folder_levels(path, folder) for folder in folders for path in walk_images(root, folder)]


def _refusal(root: Path, doubt: Doubt, layout: str, fits: bool) -> DataError:
    """Return the error for folders in doubt; camera-folders is named only if it `fits`."""
    layouts = [name for name in doubt.layouts if fits or name != "camera-folders"]
    remedies = [FORCED[name] for name in (*layouts, layout)]
    against = ", but deeper folders or file names contradict this" if doubt.sure and not fits else ""
    what = f"{spelled(root)} is not read as one folder per person: {doubt.seen}{against}."
    return DataError(what, "\n".join([*remedies, CSV_REMEDY]))


def _unnamed_files(root: Path, folders: Sequence[str]) -> DataError:
    pattern = LAYOUTS["split-files"].pattern
    paths = [path for name in folders for path in itertools.islice(walk_images(root, name), SAMPLED)]
    other = next((path for path in paths if not names_match([path.rpartition("/")[2]], pattern)), paths[0])
    one = len(folders) == 1
    which = f"the folder {folders[0]}, but it does" if one else f"the folders {', '.join(folders)}, but they do"
    return DataError(
        f"{spelled(root)} has {which} not hold one folder per person, and the files are not named as 0001_c1 "
        f"(identity, camera), as in Market-1501: {spelled(other)}.",
        f"Rename the files, or sort them into one folder per person. {CSV_REMEDY}\n"
        f"{FORCED['images']}\n{FORCED['identity-folders']}",
    )


def _check_signature(root: Path, layout: str) -> None:
    """Raise if the files are named as only those of a known data set are; its markers were not found."""
    sample = list(itertools.islice(walk_images(root, "."), SAMPLED))
    names = [path.rpartition("/")[2] for path in sample]
    for name, spec in LAYOUTS.items():
        if spec.signature and names_match(names, spec.signature):
            raise DataError(
                f"{spelled(root)} has files named as in {name}, such as {spelled(sample[0])}, but this layout also "
                f"needs {nearest_markers(root, name)}.",
                f"Put them there. To read each folder as one person all the same: --layout {layout}.",
            )


def _are_flat(listings: Sequence[Listing]) -> bool:
    """Return whether folders have images named as in Market-1501, or nothing; folders next to images are not read."""
    images = [listing.images for listing in listings if listing.images or listing.folders]
    return bool(images) and all(names and names_match(names, LAYOUTS["split-files"].pattern) for names in images)
