"""Find out why a folder's subfolders are not one person each, from their names and those of their files."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from scing_cli.core.datasets.camera_levels import SUBJECT, Levels, find_cameras
from scing_cli.core.datasets.collection_names import (
    are_surely_people,
    is_object,
    is_recording,
    is_version,
    named_parts,
)
from scing_cli.core.datasets.file_names import doubt_file_names, person_part
from scing_cli.core.datasets.folder_names import (
    IDENTITY_NUMBER,
    are_days_of,
    common_stem,
    is_aside,
    is_aspect,
    is_date,
    is_dated,
    is_group,
    is_holder,
    is_of_device,
    is_part,
    is_place,
    is_time,
    listed,
    looks_like_camera,
    may_be_times,
    named_cameras,
)
from scing_cli.core.datasets.listing import Listing, list_folder
from scing_cli.core.datasets.wrapping import LOOKED_INTO, holds_images, look_into
from scing_cli.core.errors import spelled

IDENTITY_AND_CAMERA = re.compile(
    r"(-?[0-9]+)(?:_[a-z]?[0-9]+)*_(?:c|cam)[0-9]|([0-9]{4})C[0-9]T[0-9]+F[0-9]", re.IGNORECASE
)
"""File names that start with identity and camera: 0001_c1 (Market-1501), 0001_1_c1 (LTCC), 0001C1T0001F001 (MARS)."""
IDENTITY_AND_COUNT = re.compile("(0[0-9]{2,5})[_-][0-9]")
"""File names that may start with an identity: 0001_01. If most numbers recur in a folder, they do not count frames."""


KINDS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "times": is_dated,
        "groups": is_group,
        "states of a collection": is_version,
        "places": is_place,
        "views": is_aspect,
        "folders of images": is_holder,
        "folders of a device": is_of_device,
    }
)
"""What folders may be named like instead of people, the first kind that fits."""


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
    if parts := named_parts(names):
        return Doubt(f"{_listed(parts)} named like {_kinds(parts, 'part')} of a data set", ("images",))
    seen = {name: look_into(folder / name) for name in names[:LOOKED_INTO] if holds_images(folder, name)}
    inner = Counter(itertools.chain.from_iterable(listing.folders for listing in seen.values()))
    if doubt := _doubt_names(seen, inner):
        return doubt
    inside = {
        f"{name}/{below}": look_into(folder / name / below)
        for name, listing in seen.items()
        for below in listing.folders[:LOOKED_INTO]
    }
    for name, listing in (*seen.items(), *inside.items()):
        if doubt := _doubt_files(name, listing):
            return doubt
    if doubt := _doubt_kinds(folder, seen, inner):
        return doubt
    if _named_after(seen, inside):
        return None
    return _doubt_constant(folder, seen) or _doubt_inner(seen, inner) or _doubt_deeper(seen, inside)


def _doubt_constant(folder: Path, seen: dict[str, Listing]) -> Doubt | None:
    """Return a doubt about folders that each hold one folder of the same name, and in it perhaps several people."""
    below, level = seen, ""
    while len(seen) > 1 and (name := _constant(below.values())):
        if is_object(name):
            return Doubt(f"the only folder inside each of them is {spelled(name)}, a kind of objects", ("images",))
        level += f"/{name}"
        below = {outer: look_into(Path(f"{folder / outer}{level}")) for outer in seen}
    inner = Counter(itertools.chain.from_iterable(listing.folders for listing in below.values()))
    shared = sorted(name for name, count in inner.items() if count > 1 and not is_aside(name))
    if not level or are_surely_people(seen) or not shared or looks_like_camera(shared):
        return None
    what = f"folders of the same names ({listed(shared)}) are in the folder {spelled(level[1:])} inside several of them"
    return Doubt(what, ("images",))


def _constant(listings: Iterable[Listing]) -> str:
    """Return the name of the only entry of all these folders, unless it is that of a camera or part; or nothing."""
    names = {listing.folders[0] if len(listing.folders) == 1 and not listing.images else "" for listing in listings}
    name = names.pop() if len(names) == 1 else ""
    return "" if is_part(name) or looks_like_camera([name]) else name


def _named_after(seen: dict[str, Listing], inside: dict[str, Listing]) -> bool:
    """Return whether most files begin with the name of the outer folder, as in 0001/7/0001_c1.jpg."""
    files = [(path.partition("/")[0], file) for path, listing in (seen | inside).items() for file in listing.images]
    return sum(_begins_with(file, folder) for folder, file in files) > len(files) / 2


def _begins_with(file: str, folder: str) -> bool:
    after = file[len(folder) : len(folder) + 1]
    return file.startswith(folder) and not (after.isdecimal() and folder[-1].isdecimal())


def doubt_levels(files: Sequence[Levels]) -> Doubt | None:
    """Return why the folders of these files are not people with cameras; None if nothing speaks against it.

    Args:
        files: The levels of each file in the folders of all parts.
    """
    files = [levels for levels in files if len(levels) > 1]
    what = doubt_file_names(files) or find_cameras(files).doubt
    return Doubt(what, ("images",)) if what else None


def _doubt_names(seen: dict[str, Listing], inner: Counter[str]) -> Doubt | None:
    """Return what the names of the subfolders say against people."""
    names = list(seen)
    if names and (cameras := named_cameras(names)):
        layouts = ("camera-folders", "images") if inner else ("images",)
        sure = len(cameras) == len(names) and _is_grid(seen.values(), inner)
        return Doubt(f"{_listed(cameras)} named like {_kinds(cameras, 'camera')}", layouts, sure)
    for kind, of_kind in (("folder", is_holder), ("date", is_date)):
        if names and all(map(of_kind, names)):
            what = f"{_listed(names)} named like {_kinds(names, kind)}{' of images' if kind == 'folder' else ''}"
            return Doubt(what, ("images",))
    if alike := _alike(names, _identity):
        return Doubt(f"{_listed(alike)} named as 0001_c1 (identity, camera), with the same identity", ("images",))
    if sum(bool(person_part(name)) for name in names) > len(names) / 2 and (alike := _alike(names, person_part)):
        return Doubt(f"{_listed(alike)} named like one person at several cameras or times", ("images",))
    return None


def _doubt_kinds(folder: Path, seen: dict[str, Listing], inner: Counter[str]) -> Doubt | None:
    """Return a doubt if most of the subfolders are named like times, groups or places, or numbered like these."""
    names, recurring = list(seen), _recurring(inner)
    if objects := [name for name in names if is_object(name)]:
        return Doubt(f"{_listed(objects)} named like {_kinds(objects, 'kind')} of objects", ("images",))
    if len(names) > 1 and inner and all(map(is_recording, names)) and not looks_like_camera(sorted(inner)):
        return Doubt(
            f"{_listed(names)} named like recordings, with further folders ({listed(sorted(inner))})", ("images",)
        )
    may_be_cameras = recurring and _is_grid(seen.values(), inner)
    kinds = {name: kind for name in names if (kind := _kind(name))}
    if len(kinds) > max(1, len(names) / 2):
        which = " or ".join(dict.fromkeys(kinds.values()))
        layouts = ("camera-folders", "images") if may_be_cameras and which == "places" else ("images",)
        return Doubt(f"{_listed(list(kinds))} named like {which}{recurring}", layouts)
    if are_days_of(folder.name, names) or (recurring and may_be_times(names)):
        return Doubt(f"{_listed(names)} named like times{recurring}", ("images",))
    if recurring and (stem := common_stem(names)):
        layouts = ("camera-folders", "images") if may_be_cameras and not is_aside(names[0]) else ("images",)
        return Doubt(f"{_listed(names)} numbered and not named like people ({spelled(stem)}){recurring}", layouts)
    return None


def _kind(name: str) -> str:
    return next((kind for kind, of_kind in KINDS.items() if of_kind(name)), "")


def _doubt_inner(seen: dict[str, Listing], inner: Counter[str]) -> Doubt | None:
    """Return what the names of the folders inside the subfolders say against people with cameras."""
    parts = sorted(name for name in inner if is_part(name))
    if parts:
        what = f"the folders inside them are named like parts of a data set ({listed(parts)})"
        return Doubt(what, ("images",))
    shared = sorted(name for name, count in inner.items() if count > 1)
    if named_cameras(inner) or not (unclear := [name for name in shared if not _is_clear(name, seen)]):
        return None
    numbered, numbered_outside = (all(map(IDENTITY_NUMBER.fullmatch, names)) for names in (shared, seen))
    if numbered_outside and not numbered:
        return None
    few = len(shared) <= len(inner) / 2 or (len(shared) <= len(seen) and numbered == numbered_outside)
    beside = any(listing.folders and listing.images for listing in seen.values())
    worded = len(inner) > 1 and any(re.search(r"[^\W\d_]", name) and len(name) > 1 for name in unclear)
    if few and (beside or not worded or are_surely_people(seen)):
        return None
    same = f"folders of the same names ({listed(shared)}) are inside several of them"
    may_be_cameras = _is_grid(seen.values(), inner) or all(map(SUBJECT.fullmatch, shared))
    may_be_cameras = may_be_cameras or (few and len(unclear) == len(shared))
    layouts = ("camera-folders", "images") if may_be_cameras else ("images",)
    return Doubt(f"{same}, as people are inside folders of cameras", layouts)


def _is_clear(name: str, outer: Iterable[str]) -> bool:
    """Return whether a folder in several others is named like a camera, or like neither a camera nor a person.

    Names such as s01 number the sessions of people, or the subjects in other folders.
    """
    if SUBJECT.fullmatch(name):
        return are_surely_people(outer)
    return is_aside(name) or looks_like_camera([name])


def _recurring(inner: Counter[str]) -> str:
    """Return a clause on folders of the same names in several of the outer ones; empty if they may be cameras."""
    shared = sorted(name for name, count in inner.items() if count > 1)
    if not shared or all(is_aside(name) or looks_like_camera([name]) for name in inner):
        return ""
    return f", and folders of the same names ({listed(shared)}) are inside several of them"


def _doubt_deeper(seen: dict[str, Listing], inside: dict[str, Listing]) -> Doubt | None:
    """Return what the folders two levels below the subfolders say against people with cameras."""
    deeper = Counter(itertools.chain.from_iterable(listing.folders for listing in inside.values()))
    shared = sorted(name for name, count in deeper.items() if count > 1)
    if all(is_aside(name) or looks_like_camera([name]) for name in shared):
        return None
    if len(shared) <= len(seen) or len(shared) <= len(deeper) / 2:
        return None
    recurring = f"two levels below them, folders of the same names recur ({listed(shared)})"
    return Doubt(f"{recurring}, as those of people do", ("images",))


def _is_grid(listings: Iterable[Listing], inner: Counter[str]) -> bool:
    """Return whether all images are in folders inside, most of whose names are in several of the outer folders."""
    shared = sum(count > 1 for count in inner.values())
    others = any(is_part(name) or is_holder(name) or is_date(name) for name in inner)
    kinds = sum(is_aside(name) or is_place(name) for name in inner)
    plain = not others and kinds <= len(inner) / 2 and not named_cameras(inner)
    return plain and shared > len(inner) / 2 and not any(listing.images for listing in listings)


def _alike(folders: Sequence[str], person_of: Callable[[str], str]) -> list[str]:
    """Return the first folders whose names name the same person."""
    alike: dict[str, list[str]] = {}
    for name in folders:
        if person := person_of(name):
            alike.setdefault(person, []).append(name)
    return next((names for names in alike.values() if len(names) > 1), [])


def _identity(folder: str) -> str:
    """Return the identity in front of a folder's camera; empty if it has none."""
    fields = IDENTITY_AND_CAMERA.match(folder)
    return fields[fields.lastindex or 0] if fields else ""


def _doubt_files(name: str, listing: Listing) -> Doubt | None:
    """Return a doubt if most files of a folder begin with identities, and these differ."""
    for pattern, least in ((IDENTITY_AND_CAMERA, 1), (IDENTITY_AND_COUNT, 2)):
        files: dict[str, list[str]] = {}
        for file in listing.images:
            if (fields := pattern.match(file)) and not is_time(fields[fields.lastindex or 0]):
                files.setdefault(fields[fields.lastindex or 0], []).append(file)
        named = sum(map(len, files.values())) > len(listing.images) / 2
        recurring = sum(len(alike) >= least for alike in files.values()) > len(files) / 2
        if named and recurring and len(files) > 1:
            examples = " and ".join(spelled(alike[0]) for alike in list(files.values())[:2])
            what = f"the files in {spelled(name)} begin with different identities, such as {examples}"
            return Doubt(what, ("images",))
    return None


def _listed(names: Sequence[str]) -> str:
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _kinds(names: Sequence[str], one: str) -> str:
    return f"a {one}" if len(names) == 1 else f"{one}s"
