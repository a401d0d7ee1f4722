"""Detect the layout of a data set, and the folder that contains it."""

from __future__ import annotations

import difflib
from pathlib import Path

from scing_cli.core.datasets.disk_names import did_you_mean
from scing_cli.core.datasets.folder_names import is_part
from scing_cli.core.datasets.image_names import names_match
from scing_cli.core.datasets.listing import list_folder
from scing_cli.core.datasets.location import Location
from scing_cli.core.datasets.markers import has_spectra, strip_in
from scing_cli.core.datasets.own_folders import find_own, flat_parts
from scing_cli.core.datasets.unknown_layout import HOLDING, PARTS_NAMES, SHOWN, TELLING, needed_markers, unknown_remedy
from scing_cli.core.datasets.wrapping import LOOKED_INTO, wrapped_folders
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.image_formats import IMAGE_SUFFIXES
from scing_cli.core.layouts import ANY_LIST, LAYOUTS, Variant
from scing_cli.core.paths import check_not_empty

STRIPS = [variant.parts for spec in LAYOUTS.values() for variant in spec.variants if variant.strips]
"""The folders of layouts whose images are strips: they are told from others of these folders by their images."""


def detect(path: Path) -> str:
    """Return the name of the layout that `locate` finds for a folder or file."""
    return locate(path.absolute()).layout


def locate(path: Path, *, layout: str = "auto") -> Location:
    """Find the data set in a folder, and its layout.

    The order is: a layout whose markers are in the folder itself, one whose markers are in exactly one of its folders,
    the same in the only folder that it wraps, and so on; then the user's own folders.

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
        raise DataError(f"{path} does not exist.", f"{did_you_mean(path)}Pass the data set's folder, or a CSV file.")
    if not path.is_dir() or layout == "csv":
        return _file(path, layout)
    check_not_empty(path, "Pass the data set's folder, or a CSV file.")
    names = list(LAYOUTS) if layout == "auto" else [layout]
    if layout == "auto":
        _check_not_part(path, names)
    for folder in wrapped_folders(path):
        found = _marked(folder, names) or _marked_below(folder, names)
        if found is not None:
            break
    else:
        if layout != "auto" and LAYOUTS[layout].variants:
            _check_only_list(path, layout)
            what = f"{path} lacks what --layout {layout} needs:\n{needed_markers(path, layout)}"
            raise DataError(what, unknown_remedy(path))
        found = find_own(path, layout)
    if layout == "auto":
        _check_strips(found)
    return found


def _check_only_list(path: Path, layout: str) -> None:
    """Raise if a layout of a single list of any name does not fit because there are several."""
    if any(ANY_LIST in variant.lists for variant in LAYOUTS[layout].variants):
        from scing_cli.core.datasets.caption_lists import check_only_list

        for folder in wrapped_folders(path):
            check_only_list(folder)


def _check_not_part(path: Path, names: list[str]) -> None:
    """Raise if the folder is a part of a data set, such as DIR/query: it would be read as unlabelled images."""
    parent = path.absolute().parent
    whole = _marked(parent, names) if path.name in TELLING | PARTS_NAMES | HOLDING else None
    known = whole is not None and (path.name not in HOLDING or (path.name,) in whole.parts.values())
    if known or (is_part(path.name) and not list_folder(path).folders and flat_parts(parent)):
        raise DataError(f"{path} is a part of the data set {parent}.", "Pass that folder instead.")


def _check_strips(found: Location) -> None:
    """Raise if images that should show one view each are strips of several pictures, as in RGBNT100."""
    if not LAYOUTS[found.layout].pattern or found.parts in STRIPS:
        return
    strip = strip_in(found.root, [folder for folders in found.parts.values() for folder in folders])
    if strip is not None:
        width, height, file = strip
        raise DataError(
            f"{spelled(found.root)} has the names of {found.layout}, but its images are strips: {spelled(file.name)} "
            f"has {width} x {height} pixels. Each may show several pictures side by side, as in RGBNT100.",
            f"Cut them into one image per view. To read each strip as one image: --layout {found.layout}.",
        )


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
    if path.suffix.lower() == ".json":
        raise DataError(f"{path} is a JSON file, not a data set.", "Pass the folder that has it, or a CSV file.")
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
    special = [found for found in fitting if _is_special(found)]  # their folders are another layout's as well
    fitting = special or fitting
    layouts = list(dict.fromkeys(location.layout for location in fitting))
    if len(layouts) > 1:
        raise DataError(f"{path} fits several layouts: {', '.join(layouts)}.", "Choose one with --layout NAME.")
    if len(fitting) > 1:
        ways = "\n".join(f"  {', '.join(Variant(location.parts).folders)}" for location in fitting)
        raise DataError(f"{path} matches {layouts[0]} in {len(fitting)} ways:\n{ways}", "Keep only one of them there.")
    return fitting[0] if fitting else None


def _is_special(found: Location) -> bool:
    variant = next(variant for variant in LAYOUTS[found.layout].variants if variant.parts == found.parts)
    return variant.strips or bool(variant.spectra)


def _fits(path: Path, variant: Variant) -> bool:
    if variant.lists:
        return _has_list(path, variant)
    if not all((path / folder).is_dir() for folder in variant.folders):
        return False
    if not all((path / file).is_file() for file in variant.files):
        return False
    if any((path / folder).is_dir() for folder in variant.absent):
        return False
    return _holds(path, variant)


def _holds(path: Path, variant: Variant) -> bool:
    """Return whether a layout's folders hold what they must."""
    if variant.spectra:
        return all(has_spectra(path / folder, variant) for folder in variant.folders)
    if variant.strips:
        return strip_in(path, variant.folders) is not None
    return not variant.names or all(_is_flat(path / folder, variant.names) for folder in variant.folders)


def _has_list(path: Path, variant: Variant) -> bool:
    """Return whether a folder has a list of images with captions; of one whose name is not known, exactly one."""
    from scing_cli.core.datasets.caption_lists import lists_in, names_in  # a search needs neither

    if ANY_LIST in variant.lists:
        return len(lists_in(path)) == 1
    names = names_in(path)
    return any(name in names and (path / name).is_file() for name in variant.lists)


def _is_flat(folder: Path, names: str) -> bool:
    """Return whether a folder has no subfolders, and is empty or most of its images are named by the pattern."""
    listing = list_folder(folder)
    return not listing.folders and names_match(listing.images, names)


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
