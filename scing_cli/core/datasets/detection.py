"""Where in a folder data lies, and in which layout."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.caption_file import CAPTIONS
from scing_cli.core.datasets.listing import Listing, list_folder, walk_images
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.imagefile import IMAGE_SUFFIXES
from scing_cli.core.layouts import LAYOUTS, Parts, Variant
from scing_cli.core.manifest import SPLITS

EMBED_REMEDY = (
    "Data of your own: a CSV with the columns path, identity, camera, split (only path is needed).\n"
    "Images in any folder, without labels, can be embedded and searched: scing embed --images DIR."
)
LOOKED_INTO = 100  # folders
DEPTH = 4
SHOWN = 5
PARTS_NAMES = frozenset({*SPLITS, "test"})
"""Names that a part of a data set may have, and many another folder."""
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
"""Names that nothing has but a known data set."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where data lies and how it is laid out.

    Args:
        root: The folder with the marker folders, which may be one in the folder that was named; or the CSV file.
        layout: A name of `LAYOUTS`.
        parts: Which folders hold which split; empty for a file.
    """

    root: Path
    layout: str
    parts: Parts


def detect(path: Path) -> str:
    """Return the name of the layout that a folder or file has; see `locate`."""
    return locate(path.absolute()).layout


def locate(path: Path, *, layout: str = "auto") -> Place:
    """Find out where in a folder data lies and how.

    A layout with markers that fits the folder itself comes first, then one that fits a single folder in it, then
    folders of one's own.

    Args:
        path: The folder or file.
        layout: A name of `LAYOUTS`, or `auto`.

    Raises:
        DataError: If the path is missing, the layout is unknown, or none or more than one fits; the message lists the
            markers.
    """
    if layout != "auto" and layout not in LAYOUTS:
        close = difflib.get_close_matches(layout, LAYOUTS, n=1)
        known = "\n".join(f"  {name}: {spec.summary}" for name, spec in LAYOUTS.items())
        hint = f"Did you mean {close[0]}? " if close else ""
        raise DataError(f"There is no layout {layout!r}.", f"{hint}Known are auto and\n{known}")
    if not path.exists():
        raise DataError(f"{path} does not exist.", "Give the data set's folder, or a CSV file.")
    if not path.is_dir() or layout == "csv":
        return _file(path, layout)
    names = list(LAYOUTS) if layout == "auto" else [layout]
    if layout == "auto" and path.name in TELLING | PARTS_NAMES and _marked(path.absolute().parent, names) is not None:
        raise DataError(f"{path} is a part of the data set {path.absolute().parent}.", "Name that folder.")
    found = _marked(path, names) or _marked_below(path, names)
    if found is not None:
        return found
    if layout != "auto" and LAYOUTS[layout].variants:
        raise DataError(f"{path} lacks what --layout {layout} needs:\n{_needed(path, layout)}", _remedy(path))
    return _own_folders(path, layout)


def _file(path: Path, layout: str) -> Place:
    """Return the place of a CSV file.

    Raises:
        DataError: If a folder was given for it, a file for a folder, or an image.
    """
    leave = "Leave --layout out, or set it to auto."
    if path.is_dir():
        raise DataError(f"--layout csv needs a file; {path} is a folder.", leave)
    if layout not in ("auto", "csv"):
        raise DataError(f"--layout {layout} needs a folder; {path} is a file.", leave)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise DataError(f"{path} is an image, not a data set.", "Give the folder that holds it, or a CSV file.")
    return Place(path, "csv", {})


def _marked(path: Path, names: list[str]) -> Place | None:
    """Return the place whose markers are in the folder, or None.

    Raises:
        DataError: If more than one layout fits, or one in two ways.
    """
    fitting = [
        Place(path, name, variant.parts) for name in names for variant in LAYOUTS[name].variants if _fits(path, variant)
    ]
    layouts = list(dict.fromkeys(place.layout for place in fitting))
    if len(layouts) > 1:
        raise DataError(f"{path} fits several layouts: {', '.join(layouts)}.", "Say which with --layout NAME.")
    if len(fitting) > 1:
        ways = "\n".join(f"  {', '.join(Variant(place.parts).folders)}" for place in fitting)
        raise DataError(f"{path} holds {layouts[0]} in {len(fitting)} ways:\n{ways}", "Leave one of them there.")
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
    """Tell whether a folder holds no folder, and images only if the names of some begin so."""
    listing = list_folder(folder)
    return not listing.folders and (not listing.images or any(re.match(names, name) for name in listing.images))


def _marked_below(path: Path, names: list[str]) -> Place | None:
    """Return the place in one of the folder's folders, or None; a part of a data set is never taken for a whole one."""
    below = [path / name for name in list_folder(path).folders if name not in PARTS_NAMES][:LOOKED_INTO]
    found = [place for folder in below if (place := _marked(folder, names)) is not None]
    if len(found) > 1:
        listed = ", ".join(spelled(place.root.name) for place in found[:SHOWN])
        raise DataError(
            f"{path} holds {len(found)} data sets: {listed}.", f"Name one, such as {spelled(found[0].root)}."
        )
    return found[0] if found else None


def _own_folders(path: Path, layout: str) -> Place:
    """Return folders of one's own: split by split, person by person, or without labels."""
    listing = list_folder(path)
    splits = {name: (name,) for name in SPLITS if name in listing.folders}
    known = _known_markers(path)
    if layout == "split-folders" or (layout == "auto" and not known and splits and _nested(path, splits)):
        if not splits:
            raise DataError(f"{path} has none of the folders {', '.join(SPLITS)}.", "Leave --layout out.")
        return Place(path, "split-folders", splits)
    if layout == "identity-folders":
        return Place(path, layout, {"train": (".",)})
    if layout == "images":
        return Place(path, layout, {"": (".",)})
    some = not known and not _tables(listing) and not PARTS_NAMES.intersection(listing.folders)
    if some and next(walk_images(path, "."), None) is not None:
        name, split = ("images", "") if listing.images else ("identity-folders", "train")
        return Place(path, name, {split: (".",)})
    looked = "\n".join(_looked_for(path))
    there = f"\nFound {', '.join(known[:SHOWN])}." if known else ""
    there += _nearly(path)
    raise DataError(f"{path} has no known layout. Looked for\n{looked}{there}", _remedy(path))


def _known_markers(path: Path) -> list[str]:
    """Return the folders and lists, up to two folders deeper, that only a known data set has: part of one is there."""
    found: list[str] = []
    ways = [""]
    for _ in range(DEPTH):
        deeper: list[str] = []
        for way in ways:
            listing = list_folder(path / way)
            found += [way + name for name in (*listing.folders, *listing.others) if name.lower() in TELLING]
            deeper += [f"{way}{name}/" for name in listing.folders]
        ways = deeper[:LOOKED_INTO]
    return found


def _nearly(path: Path) -> str:
    """Say which layout lacks just one marker."""
    for name, spec in LAYOUTS.items():
        for variant in spec.variants:
            missing = [marker for marker, there in _there(path, variant).items() if not there]
            if len(missing) == 1:
                return f"\nTo be {name} it lacks {missing[0]}."
    return ""


def _nested(path: Path, splits: Parts) -> bool:
    listings = [list_folder(path / name) for name in splits]
    return any(listing.folders for listing in listings) and not any(listing.images for listing in listings)


def _markers(variant: Variant) -> Iterator[tuple[str, str]]:
    """Yield each marker with its kind."""
    yield from ((file, "file") for file in variant.files)
    yield from ((folder, "folder") for folder in variant.folders)


def _there(path: Path, variant: Variant) -> dict[str, bool]:
    return {
        name: (path / name).is_dir() if kind == "folder" else (path / name).is_file()
        for name, kind in _markers(variant)
    }


def _needed(path: Path, layout: str) -> str:
    lines = []
    for variant in LAYOUTS[layout].variants:
        missing = [name for name, there in _there(path, variant).items() if not there]
        what = ", ".join(missing) or "images called IDENTITY_NUMBER, and no folders among them"
        lines.append(f"  {what}")
    return "\n  or\n".join(lines)


def _looked_for(path: Path) -> Iterator[str]:
    for name, spec in LAYOUTS.items():
        for variant in spec.variants:
            there = _there(path, variant)
            found = [marker for marker, is_there in there.items() if is_there]
            called = " with images called IDENTITY_NUMBER" if variant.names else ""
            yield f"  {', '.join(there)}{called} ({name}){'; found ' + ', '.join(found) if found else ''}"
    yield f"  {', '.join(SPLITS)} with a folder per person (split-folders)"
    yield "  a folder per person (identity-folders), or images (images)"


def _remedy(path: Path) -> str:
    """Return what to do about a folder of no known layout: a CSV may lie in it."""
    tables = _tables(list_folder(path))
    return f"Did you mean {spelled(path / tables[0])}? {EMBED_REMEDY}" if tables else EMBED_REMEDY


def _tables(listing: Listing) -> list[str]:
    return [name for name in listing.others if name.lower().endswith(".csv") and name != CAPTIONS]
