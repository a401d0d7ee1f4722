"""Messages for folders that have no known layout: what was looked for, what was found, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.caption_file import CAPTIONS
from scing_cli.core.datasets.image_names import names_match
from scing_cli.core.datasets.listing import Listing, list_folder, passed_over
from scing_cli.core.datasets.markers import has_spectra
from scing_cli.core.datasets.passed_over import passed_text
from scing_cli.core.datasets.wrapping import DEPTH, LOOKED_INTO
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.layouts import ANY_LIST, LAYOUTS, LayoutSpec, Variant
from scing_cli.core.manifest import SPLITS

EMBED_REMEDY = (
    "For your own data: use a CSV with the columns path, identity, camera, split (only path is needed).\n"
    "Unlabelled images in any folder can be embedded and searched: scing embed --images DIR."
)
SHOWN = 5  # most names that a message lists
PARTS_NAMES = frozenset({*SPLITS, "test"})
"""Folder names that are common outside known data sets too."""
TELLING = (
    frozenset(
        name
        for spec in LAYOUTS.values()
        for variant in spec.variants
        for marker in (*(variant.lists or variant.folders), *variant.files)
        for name in marker.lower().split("/")
    )
    - PARTS_NAMES
    - {ANY_LIST}
)
"""Names that only known data sets have, in lower case."""
HOLDING = frozenset(
    name for spec in LAYOUTS.values() for variant in spec.variants if variant.lists for name in variant.folders
)
"""Folders of images next to a list; other folders have such names too."""


def no_known_layout(path: Path) -> DataError:
    """Return the error for a folder that is neither in a known layout nor the user's own folders."""
    looked = "\n".join(_looked_for(path))
    known = known_markers(path)
    found = f"\nFound {', '.join(known[:SHOWN])}." if known else ""
    skipped = "" if known else _passed(path)
    what = f"{path} has no known layout. Looked for\n{looked}{found}{_nearly(path)}{skipped}"
    return DataError(what, unknown_remedy(path))


def _passed(path: Path) -> str:
    """Return a line about what the folder holds that is not an image; empty if there is nothing."""
    text = passed_text(passed_over(path, ["."]))
    return f"\n{text}" if text else ""


def known_markers(path: Path) -> list[str]:
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
    """Return a line about the layout that lacks exactly one marker and whose other folders fit; empty if none does."""
    for name, spec in LAYOUTS.items():
        for variant in spec.variants:
            missing = [] if variant.lists else _missing(path, variant)
            if len(missing) == 1 and _others_fit(path, spec, variant):
                return f"\nFor {name}, only {missing[0]} is missing."
    return ""


def _others_fit(path: Path, spec: LayoutSpec, variant: Variant) -> bool:
    """Return whether the existing marker folders hold files that are named as the layout needs."""
    if variant.strips:
        return False  # another layout has the same folders
    if variant.spectra:
        return all(has_spectra(path / folder, variant) for folder in variant.folders if (path / folder).is_dir())
    pattern = variant.names or spec.pattern
    if not pattern:
        return True
    listings = [list_folder(path / folder) for folder in variant.folders if (path / folder).is_dir()]
    images = [name for listing in listings for name in listing.images]
    absent = not any((path / folder).is_dir() for folder in variant.absent)
    return absent and bool(images) and names_match(images, pattern)


def _markers(variant: Variant) -> Iterator[tuple[str, str]]:
    """Yield the name and kind of each marker."""
    yield from ((file, "file") for file in variant.files)
    yield from ((folder, "folder") for folder in variant.folders)


def _existing(path: Path, variant: Variant) -> dict[str, bool]:
    lists = {" or ".join(variant.lists): any((path / name).is_file() for name in variant.lists)}
    return (lists if variant.lists else {}) | {
        name: (path / name).is_dir() if kind == "folder" else (path / name).is_file()
        for name, kind in _markers(variant)
    }


def _missing(path: Path, variant: Variant) -> list[str]:
    return [name for name, exists in _existing(path, variant).items() if not exists]


def needed_markers(path: Path, layout: str) -> str:
    """Return the markers that a folder lacks for a layout, for each of its variants."""
    missing = [", ".join(_missing(path, variant)) for variant in LAYOUTS[layout].variants]
    return "\n  or\n".join(
        f"  {names or _further(variant)}" for names, variant in zip(missing, LAYOUTS[layout].variants, strict=True)
    )


def _further(variant: Variant) -> str:
    """Return what a variant needs besides its folders and files."""
    if variant.strips:
        return "images that are strips: three images of one height side by side"
    return _of_spectra(variant) if variant.spectra else "images named IDENTITY_NUMBER, without subfolders"


def _of_spectra(variant: Variant) -> str:
    return f"folders {', '.join(variant.spectra)} inside"


def _called(variant: Variant) -> str:
    if variant.spectra:
        return f" with {_of_spectra(variant)}"
    named = " with images named IDENTITY_NUMBER" if variant.names else ""
    return " with strips of three images" if variant.strips else named


def nearest_markers(path: Path, layout: str) -> str:
    """Return the markers that a folder lacks for the variant of a layout that lacks the fewest."""
    missing = [_missing(path, variant) for variant in LAYOUTS[layout].variants]
    fewest = min(missing, key=len)
    return ", ".join(fewest)


def _looked_for(path: Path) -> Iterator[str]:
    for name, spec in LAYOUTS.items():
        for variant in spec.variants:
            markers = _existing(path, variant)
            found = [marker for marker, exists in markers.items() if exists]
            yield f"  {', '.join(markers)}{_called(variant)} ({name}){'; found ' + ', '.join(found) if found else ''}"
    yield f"  {', '.join(SPLITS)} with one folder per person (split-folders)"
    yield f"  {', '.join(SPLITS)} with images whose names begin as 0001_c1 (split-files)"
    yield "  one folder per person (identity-folders), or images (images)"


def unknown_remedy(path: Path) -> str:
    """Return the remedy for a folder without a known layout; it suggests a CSV if the folder contains one."""
    tables = table_names(list_folder(path))
    return f"Did you mean {spelled(path / tables[0])}? {EMBED_REMEDY}" if tables else EMBED_REMEDY


def table_names(listing: Listing) -> list[str]:
    """Return the CSV files of a folder that may describe its images."""
    return [name for name in listing.others if name.lower().endswith(".csv") and name != CAPTIONS]
