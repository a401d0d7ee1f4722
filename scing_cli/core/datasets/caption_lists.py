"""Find JSON lists of images with captions next to the folder of the images, and refuse those of unknown names."""

from __future__ import annotations

import os
from pathlib import Path

from scing_cli.core.datasets.listing import Listing, list_folder
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.layouts import ANY_LIST, LAYOUTS
from scing_cli.core.safe_reading import check_ordinary

HEAD = 2**16  # bytes; an entry has about a thousand
FIELDS = ('"file_path"', '"captions"')
FOLDERS = ("imgs", "images")
"""Names of folders of images next to which such lists are."""
NAMED = {
    name: layout
    for layout, spec in LAYOUTS.items()
    for variant in spec.variants
    for name in variant.lists
    if name != ANY_LIST
}
"""Name of a list -> its layout."""
CUHK, CAMERAS = frozenset({"CUHK01", "CUHK03"}), frozenset({"cam_a", "cam_b"})
"""Folders that CUHK-PEDES has in `imgs`; other data sets have folders of these cameras too, but not of those sets."""
LOOKED_AT = 100  # most folders that are looked into


def lists_in(folder: Path) -> list[str]:
    """Return the JSON files of unknown names next to a folder `images` whose first entries have the fields."""
    if "images" not in names_in(folder) or not (folder / "images").is_dir():
        return []
    return [name for name in _json_names(list_folder(folder)) if name not in NAMED and _is_list(folder / name)]


def names_in(folder: Path) -> frozenset[str]:
    """Return the names in a folder, without asking the system for each; none if it cannot be listed."""
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - names alone are needed
    except OSError:
        return frozenset()


def check_lists(folder: Path) -> None:
    """Check that neither a folder nor one of its folders is a data set with captions that no layout fits.

    Its images would otherwise be read as those of one person per folder.

    Raises:
        DataError: If one is; the message says what its list should be called, or that it is missing.
    """
    listing = list_folder(folder)
    for place in (folder, *(folder / name for name in listing.folders[:LOOKED_AT])):
        inside = listing if place == folder else list_folder(place)
        _check_names(place, inside)
        names = set(inside.folders)
        if "imgs" in names:
            names |= set(list_folder(place / "imgs").folders)
        if CUHK & names and len((CUHK | CAMERAS) & names) > 1:
            seen = ", ".join(sorted((CUHK | CAMERAS) & names))
            raise DataError(
                f"{spelled(place)} has folders of CUHK-PEDES ({seen}), but its list reid_raw.json is missing.",
                "Put it next to the folder imgs: it says who is in each image. To read all images without labels: "
                "--layout images.",
            )


def check_only_list(folder: Path) -> None:
    """Check that a folder that is read by its only list does not have several.

    Raises:
        DataError: If it has.
    """
    names = lists_in(folder)
    if len(names) > 1:
        raise DataError(
            f"{_several(folder, names, 'images')} Which of them says who is in the images is not known.",
            "Move all but one of them out of the folder.",
        )


def _several(place: Path, names: list[str], folder: str) -> str:
    return f"{spelled(place)} has several lists next to {folder}: {', '.join(map(spelled, names))}."


def _check_names(place: Path, listing: Listing) -> None:
    """Raise if a JSON file next to `imgs`, or a list next to `images`, has no known name."""
    near = [name for name in FOLDERS if name in listing.folders]
    unnamed = [name for name in _json_names(listing) if name not in NAMED]
    names = unnamed if "imgs" in near else lists_in(place) if near else []
    if not names:
        return
    first = {layout: name for name, layout in reversed(NAMED.items())}
    known = ", ".join(f"{name} ({layout})" for layout, name in reversed(first.items()))
    if "imgs" in near or len(names) == 1:
        what = f"{spelled(place)} has {spelled(names[0])} next to {near[0]}, a name that no layout has."
    else:
        what = _several(place, names, near[0])
    raise DataError(
        f"{what} The folders in {near[0]} are not read as people, because such files say who is in an image.",
        f"Lists of images with captions are named {known}, or are the only one next to a folder images (ufine6926): "
        "rename or move it. A CSV can describe any data. To read all images without labels: --layout images.",
    )


def _json_names(listing: Listing) -> list[str]:
    return [name for name in listing.others if name.lower().endswith(".json")]


def _is_list(file: Path) -> bool:
    """Return whether a file begins as a list whose entries have the fields of images with captions."""
    try:
        check_ordinary(file)
        with file.open("rb") as stream:
            head = stream.read(HEAD).decode("utf-8-sig", "ignore")
    except (OSError, ValueError):
        return False
    return head.lstrip().startswith("[") and all(field in head for field in FIELDS)
