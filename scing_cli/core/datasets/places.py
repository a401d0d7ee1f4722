"""Where in a folder data lies, and in which layout."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.captions import CAPTIONS
from scing_cli.core.datasets.listing import Listing, list_folder, walk_images
from scing_cli.core.errors import DataError
from scing_cli.core.layouts import LAYOUTS, Parts, Variant
from scing_cli.core.manifest import SPLITS

EMBED_REMEDY = (
    "Data of your own: a CSV with the columns path, identity, camera, split (only path is needed).\n"
    "Images in any folder, without labels, can be embedded and searched: scing embed --images DIR."
)
LOOKED_INTO = 100  # folders
SHOWN = 5


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
        hint = f"Did you mean {close[0]}? " if close else ""
        raise DataError(f"There is no layout {layout!r}.", f"{hint}Known: auto, {', '.join(LAYOUTS)}.")
    if not path.exists():
        raise DataError(f"{path} does not exist.", "Give the data set's folder, or a CSV file.")
    if path.is_dir() == (layout == "csv") or (layout != "auto" and not path.is_dir() and layout != "csv"):
        return _other_kind(path, layout)
    if not path.is_dir():
        return Place(path, "csv", {})
    names = list(LAYOUTS) if layout == "auto" else [layout]
    found = _marked(path, names) or _marked_below(path, names)
    if found is not None:
        return found
    if layout != "auto" and LAYOUTS[layout].variants:
        raise DataError(f"{path} lacks what --layout {layout} needs:\n{_needed(path, layout)}", _remedy(path))
    return _own_folders(path, layout)


def _other_kind(path: Path, layout: str) -> Place:
    if layout == "auto":
        return Place(path, "csv", {})
    kind, other = ("file", "folder") if layout == "csv" else ("folder", "file")
    raise DataError(f"--layout {layout} needs a {kind}; {path} is a {other}.", "Leave --layout out, or set it to auto.")


def _marked(path: Path, names: list[str]) -> Place | None:
    """Return the place whose markers are in the folder, or None.

    Raises:
        DataError: If more than one layout fits.
    """
    fitting = [
        Place(path, name, variant.parts) for name in names for variant in LAYOUTS[name].variants if _fits(path, variant)
    ]
    if len(fitting) > 1:
        listed = ", ".join(dict.fromkeys(place.layout for place in fitting))
        raise DataError(f"{path} fits several layouts: {listed}.", "Say which with --layout NAME.")
    return fitting[0] if fitting else None


def _fits(path: Path, variant: Variant) -> bool:
    if not all((path / folder).is_dir() for folder in variant.folders):
        return False
    if not all((path / file).is_file() for file in variant.files):
        return False
    if any((path / folder).is_dir() for folder in variant.absent):
        return False
    return not variant.flat or not any(list_folder(path / folder).folders for folder in variant.folders)


def _marked_below(path: Path, names: list[str]) -> Place | None:
    below = [path / name for name in list_folder(path).folders[:LOOKED_INTO]]
    found = [place for folder in below if (place := _marked(folder, names)) is not None]
    if len(found) > 1:
        listed = ", ".join(place.root.name for place in found[:SHOWN])
        raise DataError(f"{path} holds {len(found)} data sets: {listed}.", f"Name one, such as {found[0].root}.")
    return found[0] if found else None


def _own_folders(path: Path, layout: str) -> Place:
    """Return folders of one's own: split by split, person by person, or without labels."""
    listing = list_folder(path)
    splits = {name: (name,) for name in SPLITS if name in listing.folders}
    if layout == "split-folders" or (layout == "auto" and splits and _nested(path, splits)):
        if not splits:
            raise DataError(f"{path} has none of the folders {', '.join(SPLITS)}.", "Leave --layout out.")
        return Place(path, "split-folders", splits)
    if layout == "identity-folders":
        return Place(path, layout, {"train": (".",)})
    if layout == "images":
        return Place(path, layout, {"": (".",)})
    every = [variant for spec in LAYOUTS.values() for variant in spec.variants]
    known = {folder.split("/")[0] for variant in every for folder in variant.folders}
    some = not _tables(listing) and not known.intersection(listing.folders)
    if some and next(walk_images(path, "."), None) is not None:
        name, split = ("images", "") if listing.images else ("identity-folders", "train")
        return Place(path, name, {split: (".",)})
    looked = "\n".join(_looked_for(path))
    raise DataError(f"{path} has no known layout. Looked for\n{looked}", _remedy(path))


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
        lines.append(f"  {', '.join(missing)}" if missing else "  images, and no folders, in its folders")
    return "\n  or\n".join(lines)


def _looked_for(path: Path) -> Iterator[str]:
    for name, spec in LAYOUTS.items():
        for variant in spec.variants:
            there = _there(path, variant)
            found = [marker for marker, is_there in there.items() if is_there]
            yield f"  {', '.join(there)} ({name}){'; found ' + ', '.join(found) if found else ''}"
    yield f"  {', '.join(SPLITS)} with a folder per person (split-folders)"
    yield "  a folder per person (identity-folders), or images (images)"


def _remedy(path: Path) -> str:
    """Return what to do about a folder of no known layout: a CSV may lie in it."""
    tables = _tables(list_folder(path))
    return f"Did you mean {path / tables[0]}? {EMBED_REMEDY}" if tables else EMBED_REMEDY


def _tables(listing: Listing) -> list[str]:
    return [name for name in listing.others if name.lower().endswith(".csv") and name != CAPTIONS]
