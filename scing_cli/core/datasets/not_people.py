"""Find out why a folder's subfolders are not one person each, from their names and those of their files."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from scing_cli.core.datasets.folder_names import is_date, is_holder, is_part, named_cameras
from scing_cli.core.datasets.listing import Listing, list_folder
from scing_cli.core.datasets.wrapping import LOOKED_INTO, holds_images, look_into
from scing_cli.core.errors import spelled

SHOWN = 5  # most names that a message lists
IDENTITY_AND_CAMERA = re.compile(r"(-?[0-9]+)(?:_[0-9]+)?_(?:c|cam)[0-9]|([0-9]{4})C[0-9]T[0-9]+F[0-9]", re.IGNORECASE)
"""File names that start with identity and camera: 0001_c1 (Market-1501), 0001_1_c1 (LTCC), 0001C1T0001F001 (MARS)."""
IDENTITY_NUMBER = re.compile(r"0[0-9]{2,}|[0-9]{3,}")
"""Folder names such as 0001, with which people are numbered; cameras have shorter ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Doubt:
    """Why the subfolders of a folder are not read as one person each.

    Args:
        seen: What was seen, as a clause about the folder's subfolders.
        layouts: The layouts that may be meant, names of `LAYOUTS`, the most likely one first.
        sure: Whether the names leave no doubt that the first of these layouts is right.
    """

    seen: str
    layouts: tuple[str, ...]
    sure: bool = False


def doubt_people(folder: Path) -> Doubt | None:
    """Return why the folder's subfolders are not people; None if nothing speaks against it.

    Raises:
        DataError: If a folder cannot be listed.
    """
    names = list_folder(folder).folders
    parts = [name for name in names if is_part(name)]
    if parts:
        return Doubt(f"{_listed(parts)} named like {_kinds(parts, 'part')} of a data set", ("images",))
    seen = {name: look_into(folder / name) for name in names[:LOOKED_INTO] if holds_images(folder, name)}
    outer = list(seen)
    inner = Counter(itertools.chain.from_iterable(listing.folders for listing in seen.values()))
    if outer and (cameras := named_cameras(outer)):
        layouts = ("camera-folders", "images") if inner else ("images",)
        sure = len(cameras) == len(outer) and _is_grid(seen.values(), inner)
        return Doubt(f"{_listed(cameras)} named like {_kinds(cameras, 'camera')}", layouts, sure)
    if outer and all(map(is_holder, outer)):
        return Doubt(f"{_listed(outer)} named like {_kinds(outer, 'folder')} of images", ("images",))
    if outer and all(map(is_date, outer)):
        return Doubt(f"{_listed(outer)} named like {_kinds(outer, 'date')}", ("images",))
    for name, listing in seen.items():
        if found := _several(listing.images):
            what = f"the files in {spelled(name)} begin with different identities, such as {' and '.join(found)}"
            return Doubt(what, ("images",))
    return _doubt_inner(seen, inner) or _doubt_deeper(folder, seen)


def _doubt_inner(seen: dict[str, Listing], inner: Counter[str]) -> Doubt | None:
    """Return what the names of the folders inside the subfolders say against people with cameras."""
    parts = sorted(name for name in inner if is_part(name))
    if parts:
        what = f"the folders inside them are named like parts of a data set ({_some(parts)})"
        return Doubt(what, ("images",))
    shared = sorted(name for name, count in inner.items() if count > 1)
    if not shared or named_cameras(inner):
        return None
    numbered, numbered_outside = (all(map(IDENTITY_NUMBER.fullmatch, names)) for names in (shared, seen))
    if numbered_outside and not numbered:
        return None
    if len(shared) <= len(inner) / 2 or (len(shared) <= len(seen) and numbered == numbered_outside):
        return None
    same = f"folders of the same names ({_some(shared)}) are inside several of them"
    return Doubt(f"{same}, as people are inside folders of cameras", ("camera-folders", "images"))


def _doubt_deeper(folder: Path, seen: dict[str, Listing]) -> Doubt | None:
    """Return what is against people with cameras if the cameras' folders have folders inside."""
    deeper = Counter(
        name
        for outer, listing in seen.items()
        for inner in listing.folders[:LOOKED_INTO]
        for name in look_into(folder / outer / inner).folders
    )
    shared = sorted(name for name, count in deeper.items() if count > 1)
    if len(shared) <= len(seen) or len(shared) <= len(deeper) / 2:
        return None
    recurring = f"two levels below them, folders of the same names recur ({_some(shared)})"
    return Doubt(f"{recurring}, as those of people do", ("images",))


def _is_grid(listings: Iterable[Listing], inner: Counter[str]) -> bool:
    """Return whether all images are in folders inside, most of whose names are in several of the outer folders."""
    shared = sum(count > 1 for count in inner.values())
    plain = not any(is_part(name) or is_holder(name) for name in inner) and not named_cameras(inner)
    return plain and shared > len(inner) / 2 and not any(listing.images for listing in listings)


def _several(files: Sequence[str]) -> list[str]:
    """Return two file names with different identities, if most files begin with an identity and a camera."""
    first: dict[str, str] = {}
    matching = 0
    for name in files:
        if fields := IDENTITY_AND_CAMERA.match(name):
            matching += 1
            first.setdefault(fields[1] or fields[2], name)
    return [spelled(name) for name in first.values()][:2] if len(first) > 1 and matching > len(files) / 2 else []


def _listed(names: Sequence[str]) -> str:
    return f"{_some(names)} {'is' if len(names) == 1 else 'are'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(spelled, names[:SHOWN])) + more


def _kinds(names: Sequence[str], one: str) -> str:
    return f"a {one}" if len(names) == 1 else f"{one}s"
