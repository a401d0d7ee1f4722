"""Detect the layout of a data set, and the folder that contains it."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.caption_file import CAPTIONS
from scing_cli.core.datasets.listing import Listing, list_folder, passed_over, walk_images
from scing_cli.core.datasets.passed_over import passed_text
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.image_formats import IMAGE_SUFFIXES
from scing_cli.core.layouts import LAYOUTS, Parts, Variant
from scing_cli.core.manifest import SPLITS

EMBED_REMEDY = (
    "For your own data: use a CSV with the columns path, identity, camera, split (only path is needed).\n"
    "Unlabelled images in any folder can be embedded and searched: scing embed --images DIR."
)
LOOKED_INTO = 100  # most folders searched per level
DEPTH = 4  # levels searched for markers
SHOWN = 5  # most names that a message lists
PARTS_NAMES = frozenset({*SPLITS, "test"})
"""Folder names that are common outside known data sets too."""
TELLING = (
    frozenset(
        name
        for spec in LAYOUTS.values()
        for variant in spec.variants
        for marker in (*variant.folders, *variant.files)
        for name in marker.split("/")
    )
    - PARTS_NAMES
)
"""Names that only known data sets have."""


@dataclasses.dataclass(frozen=True, slots=True)
class Location:
    """The folder and the layout of a data set.

    Args:
        root: The folder that contains the marker folders (the given folder, or one in it), or the CSV file.
        layout: A name of `LAYOUTS`.
        parts: The folders of each split; empty for a file.
    """

    root: Path
    layout: str
    parts: Parts


def detect(path: Path) -> str:
    """Return the name of the layout that `locate` finds for a folder or file."""
    return locate(path.absolute()).layout


def locate(path: Path, *, layout: str = "auto") -> Location:
    """Find the data set in a folder, and its layout.

    The order is: a layout whose markers are in the folder itself, one whose markers are in exactly one of its folders,
    the user's own folders.

    Args:
        path: The folder or file.
        layout: A name of `LAYOUTS`, or `auto`.

    Raises:
        DataError: If the path is missing, the layout is unknown, or not exactly one layout fits. The message lists the
            markers.
    """
    if layout != "auto" and layout not in LAYOUTS:
        close = difflib.get_close_matches(layout, LAYOUTS, n=1)
        known = "\n".join(f"  {name}: {spec.summary}" for name, spec in LAYOUTS.items())
        hint = f"Did you mean {close[0]}? " if close else ""
        raise DataError(f"The layout {layout!r} is unknown.", f"{hint}Known layouts are auto and\n{known}")
    if not path.exists():
        raise DataError(f"{path} does not exist.", "Pass the data set's folder, or a CSV file.")
    if not path.is_dir() or layout == "csv":
        return _file(path, layout)
    names = list(LAYOUTS) if layout == "auto" else [layout]
    # Without this check, a part such as DIR/query would be read as unlabelled images.
    if layout == "auto" and path.name in TELLING | PARTS_NAMES and _marked(path.absolute().parent, names) is not None:
        raise DataError(f"{path} is a part of the data set {path.absolute().parent}.", "Pass that folder instead.")
    found = _marked(path, names) or _marked_below(path, names)
    if found is not None:
        return found
    if layout != "auto" and LAYOUTS[layout].variants:
        raise DataError(f"{path} lacks what --layout {layout} needs:\n{_needed(path, layout)}", _remedy(path))
    return _user_folders(path, layout)


def _file(path: Path, layout: str) -> Location:
    """Return the location of a CSV file.

    Raises:
        DataError: If a folder is passed for a CSV layout, a file for a folder layout, or an image.
    """
    leave = "Leave out --layout, or set it to auto."
    if path.is_dir():
        raise DataError(f"--layout csv needs a file; {path} is a folder.", leave)
    if layout not in ("auto", "csv"):
        raise DataError(f"--layout {layout} needs a folder; {path} is a file.", leave)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"{path} is an image, not a data set.", "Pass its folder, or a CSV file.")
    return Location(path, "csv", {})


def _marked(path: Path, names: list[str]) -> Location | None:
    """Return the location whose markers are in the folder, or None.

    Raises:
        DataError: If more than one layout fits, or one layout fits in two ways.
    """
    fitting = [
        Location(path, name, variant.parts)
        for name in names
        for variant in LAYOUTS[name].variants
        if _fits(path, variant)
    ]
    layouts = list(dict.fromkeys(location.layout for location in fitting))
    if len(layouts) > 1:
        raise DataError(f"{path} fits several layouts: {', '.join(layouts)}.", "Choose one with --layout NAME.")
    if len(fitting) > 1:
        ways = "\n".join(f"  {', '.join(Variant(location.parts).folders)}" for location in fitting)
        raise DataError(f"{path} matches {layouts[0]} in {len(fitting)} ways:\n{ways}", "Keep only one of them there.")
    return fitting[0] if fitting else None


def _fits(path: Path, variant: Variant) -> bool:
    if not all((path / folder).is_dir() for folder in variant.folders):
        return False
    if not all((path / file).is_file() for file in variant.files):
        return False
    if any((path / folder).is_dir() for folder in variant.absent):
        return False
    return not variant.names or all(_is_flat(path / folder, variant.names) for folder in variant.folders)


def _is_flat(folder: Path, names: str) -> bool:
    """Return whether a folder has no subfolders, and is empty or has an image whose name starts with the pattern."""
    listing = list_folder(folder)
    return not listing.folders and (not listing.images or any(re.match(names, name) for name in listing.images))


def _marked_below(path: Path, names: list[str]) -> Location | None:
    """Return the location in one of the folder's subfolders, or None; parts of a data set are not searched."""
    below = [path / name for name in list_folder(path).folders if name not in PARTS_NAMES][:LOOKED_INTO]
    found = [location for folder in below if (location := _marked(folder, names)) is not None]
    if len(found) > 1:
        listed = ", ".join(spelled(location.root.name) for location in found[:SHOWN])
        raise DataError(
            f"{path} contains {len(found)} data sets: {listed}.", f"Choose one, such as {spelled(found[0].root)}."
        )
    return found[0] if found else None


def _user_folders(path: Path, layout: str) -> Location:
    """Return the location of the user's own folders: one per split, one per person, or unlabelled images."""
    listing = list_folder(path)
    splits = {name: (name,) for name in SPLITS if name in listing.folders}
    known = _known_markers(path)
    if layout == "split-folders" or (layout == "auto" and not known and splits and _nested(path, splits)):
        if not splits:
            raise DataError(f"{path} has none of the folders {', '.join(SPLITS)}.", "Leave out --layout.")
        return Location(path, "split-folders", splits)
    if layout == "identity-folders":
        return Location(path, layout, {"train": (".",)})
    if layout == "images":
        return Location(path, layout, {"": (".",)})
    # Part of a known data set is an error, not a folder of people: otherwise a missing folder would go unnoticed.
    plain = not known and not _tables(listing) and not PARTS_NAMES.intersection(listing.folders)
    if plain and next(walk_images(path, "."), None) is not None:
        name, split = ("images", "") if listing.images else ("identity-folders", "train")
        return Location(path, name, {split: (".",)})
    looked = "\n".join(_looked_for(path))
    found = f"\nFound {', '.join(known[:SHOWN])}." if known else ""
    skipped = _passed(path) if plain else ""
    raise DataError(f"{path} has no known layout. Looked for\n{looked}{found}{_nearly(path)}{skipped}", _remedy(path))


def _known_markers(path: Path) -> list[str]:
    """Return the folders and lists, up to `DEPTH` levels deep, that only known data sets have."""
    found: list[str] = []
    prefixes = [""]
    for _ in range(DEPTH):
        deeper: list[str] = []
        for prefix in prefixes:
            listing = list_folder(path / prefix)
            found += [prefix + name for name in (*listing.folders, *listing.others) if name.lower() in TELLING]
            deeper += [f"{prefix}{name}/" for name in listing.folders]
        prefixes = deeper[:LOOKED_INTO]
    return found


def _nearly(path: Path) -> str:
    """Return a line about the layout that lacks exactly one marker; empty if there is none."""
    for name, spec in LAYOUTS.items():
        for variant in spec.variants:
            missing = [marker for marker, exists in _existing(path, variant).items() if not exists]
            if len(missing) == 1:
                return f"\nFor {name}, only {missing[0]} is missing."
    return ""


def _nested(path: Path, splits: Parts) -> bool:
    listings = [list_folder(path / name) for name in splits]
    return any(listing.folders for listing in listings) and not any(listing.images for listing in listings)


def _markers(variant: Variant) -> Iterator[tuple[str, str]]:
    """Yield the name and kind of each marker."""
    yield from ((file, "file") for file in variant.files)
    yield from ((folder, "folder") for folder in variant.folders)


def _existing(path: Path, variant: Variant) -> dict[str, bool]:
    return {
        name: (path / name).is_dir() if kind == "folder" else (path / name).is_file()
        for name, kind in _markers(variant)
    }


def _needed(path: Path, layout: str) -> str:
    lines = []
    for variant in LAYOUTS[layout].variants:
        missing = [name for name, exists in _existing(path, variant).items() if not exists]
        what = ", ".join(missing) or "images named IDENTITY_NUMBER, without subfolders"
        lines.append(f"  {what}")
    return "\n  or\n".join(lines)


def _looked_for(path: Path) -> Iterator[str]:
    for name, spec in LAYOUTS.items():
        for variant in spec.variants:
            markers = _existing(path, variant)
            found = [marker for marker, exists in markers.items() if exists]
            called = " with images named IDENTITY_NUMBER" if variant.names else ""
            yield f"  {', '.join(markers)}{called} ({name}){'; found ' + ', '.join(found) if found else ''}"
    yield f"  {', '.join(SPLITS)} with one folder per person (split-folders)"
    yield "  one folder per person (identity-folders), or images (images)"


def _remedy(path: Path) -> str:
    """Return the remedy for a folder without a known layout; it suggests a CSV if the folder contains one."""
    tables = _tables(list_folder(path))
    return f"Did you mean {spelled(path / tables[0])}? {EMBED_REMEDY}" if tables else EMBED_REMEDY


def _passed(path: Path) -> str:
    """Return a line about what the folder holds that is not an image; empty if there is nothing."""
    text = passed_text(passed_over(path, ["."]))
    return f"\n{text}" if text else ""


def _tables(listing: Listing) -> list[str]:
    return [name for name in listing.others if name.lower().endswith(".csv") and name != CAPTIONS]
