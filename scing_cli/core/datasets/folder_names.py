"""What the name of a folder says: a part of a data set, a camera, a place, a time, or only that it holds images.

Such names are no people's names. Nothing here looks at the disk.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

from scing_cli.core.datasets.folder_words import (
    ASPECTS,
    DEVICES,
    FURTHER,
    GROUPS,
    HOLDERS,
    PARTS,
    PEOPLE,
    PLACES,
    SPLIT_NAMES,
    TIMES,
    TRACKS,
    WHERE,
)
from scing_cli.core.datasets.name_words import named_of, plain, words
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import SPLITS

_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(rf"(?:19|20)[0-9]{{2}}(?:([-_.]?){_MONTH}\1{_DAY}|[-_.]{_MONTH})")
_MOMENT = re.compile(
    rf"(?:19|20)[0-9]{{2}}([-_. ]?){_MONTH}\1{_DAY}[-_T ]+[0-9][-_.:hms0-9]*"  # with the time of the day
    rf"|(?:{_DAY}([-_.]){_MONTH}|{_MONTH}([-_.]){_DAY})(?:\2|\3)(?:(?:19|20)[0-9]{{2}}|[0-9]{{2}})"
    r"|(?:19|20)[0-9]{2}-?[WwQqKk][0-9]{1,2}"
)
_YEAR = re.compile("(?:19[89]|20[0-4])[0-9]")
_SHORT_DATE = re.compile(rf"{_YEAR.pattern}|[0-4][0-9]{_MONTH}{_DAY}|{_DAY}{_MONTH}[0-4][0-9]")
_INNER_DATE = rf"(?:19|20)[0-9]{{2}}([-_.]?){_MONTH}\1{_DAY}|{_DAY}([-_.]){_MONTH}\2(?:(?:19|20)[0-9]{{2}}|[0-9]{{2}})"
_DATED = re.compile(rf"(?:.*\s)?(?:{_INNER_DATE})(?:\s.*)?|{_YEAR.pattern} +[^\W\d_].*")
_DCF = re.compile("[1-9][0-9]{2}[A-Z_]{5}")  # folders that digital cameras make, such as 100CANON
_NUMBERED = re.compile(r"(.*?[^\W\d_][^\d_]*?)[ _-]*(?:[0-9]+|(?<=[ _-])[A-Za-z])")
_SURE_CAMERA = re.compile(
    r"(?:cam|camera|kamera|camara|telecamera|videocamera|摄像头|摄像机|相机|监控)(?:[ _-]?(?:[0-9]{1,4}|[a-z])|[_-].+)"
    r"|(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:[ _-].*)?"  # the address of a recorder's camera
    r"|(?:[0-9a-f]{2}[-_]){5}[0-9a-f]{2}",
    re.IGNORECASE,
)
_CAMERA = re.compile(
    r"c[0-9]{1,3}|(?:ch|channel|view|kanal|canal|canale|通道)[ _-]?[0-9]{1,3}"
    r"|(?:c|d|ch)[0-9]{1,3}[_-](?:19|20)[0-9]{6}(?:[_-]?[0-9]+)*",  # with the day, as recorders name folders
    re.IGNORECASE,
)
_TRACK = re.compile("[ts][0-9]{1,5}", re.IGNORECASE)
IDENTITY_NUMBER = re.compile(r"0[0-9]{2,}|[0-9]{3,}")
"""Folder names such as 0001, with which people are numbered; cameras have shorter ones."""
SHOWN = 5  # most names that a message lists


def is_part(name: str) -> bool:
    """Return whether a folder is named like a part of a data set.

    >>> [name for name in ("bbox_train", "image_query", "Test", "query3", "train driver", "anna") if is_part(name)]
    ['bbox_train', 'image_query', 'Test', 'query3']
    """
    found = words(name)
    return bool(PARTS & found) and found <= PARTS | HOLDERS | FURTHER


def is_holder(name: str) -> bool:
    """Return whether a folder's name says only that it holds images, or images of one kind.

    >>> [name for name in ("images_labeled", "RGB", "imgs", "crops 2", "person 1") if is_holder(name)]
    ['images_labeled', 'RGB', 'imgs', 'crops 2']
    """
    found = words(name)
    return bool(HOLDERS & found) and found <= HOLDERS | FURTHER


def is_date(name: str) -> bool:
    """Return whether a folder is named by a day or a month.

    >>> [name for name in ("2024-05-01", "20240501", "2024_05", "202405", "0001") if is_date(name)]
    ['2024-05-01', '20240501', '2024_05']
    """
    return _DATE.fullmatch(name) is not None


@functools.lru_cache(maxsize=4096)  # it is asked of the number in front of every file's name
def is_time(name: str) -> bool:
    """Return whether a folder is named by a date, a day of the week, a month or another time.

    >>> [name for name in ("Monday", "day 2", "Jan 2024", "2024-01-05_1200", "31.12.2024", "Mona") if is_time(name)]
    ['Monday', 'day 2', 'Jan 2024', '2024-01-05_1200', '31.12.2024']
    """
    found = words(name)
    return is_date(name) or _MOMENT.fullmatch(name) is not None or (bool(found) and found <= TIMES)


def is_dated(name: str) -> bool:
    """Return whether a folder's name has a date that is apart from other words, or a year in front of such.

    >>> [name for name in ("15.03.2023 Ausflug", "Party 2023-03-15", "2023 Rome", "anna_20230315") if is_dated(name)]
    ['15.03.2023 Ausflug', 'Party 2023-03-15', '2023 Rome']
    """
    return is_time(name) or _DATED.fullmatch(name) is not None


def may_be_times(names: Sequence[str]) -> bool:
    """Return whether folders are named by years or short dates; such numbers may also be those of people.

    >>> may_be_times(["2023", "2024"]), may_be_times(["240131", "240201"]), may_be_times(["2023", "0001"])
    (True, True, False)
    """
    return len(names) > 1 and all(map(_SHORT_DATE.fullmatch, names))


def are_days_of(name: str, names: Sequence[str]) -> bool:
    """Return whether numbered folders inside one that is named by a time may be its months or days.

    >>> are_days_of("2024", ["01", "02"]), are_days_of("0001", ["01", "02"]), are_days_of("2024", ["0001"])
    (True, False, False)
    """
    of_time = is_time(name) or _YEAR.fullmatch(name) is not None
    return of_time and bool(names) and all(re.fullmatch("[0-3]?[0-9]", inner) for inner in names)


def is_group(name: str) -> bool:
    """Return whether a folder is named like a portion of a collection.

    >>> [name for name in ("fold1", "batch_2", "Session A", "group", "anna") if is_group(name)]
    ['fold1', 'batch_2', 'Session A', 'group']
    """
    return _DCF.fullmatch(name) is not None or named_of(name, GROUPS, FURTHER)


def is_of_device(name: str) -> bool:
    """Return whether a folder is named like those that phones and computers make for pictures.

    >>> [name for name in ("WhatsApp Images", "Camera", "Screenshots", "camera 1", "anna") if is_of_device(name)]
    ['WhatsApp Images', 'Camera', 'Screenshots']
    """
    return not is_camera(name) and named_of(name, DEVICES, HOLDERS | FURTHER)


def is_place(name: str) -> bool:
    """Return whether a folder is named like a place where a camera may be.

    >>> [name for name in ("door", "front door", "Floor 1", "room A", "north", "anna") if is_place(name)]
    ['door', 'front door', 'Floor 1', 'room A']
    """
    return named_of(name, PLACES, WHERE)


def is_camera(name: str) -> bool:
    """Return whether a folder is surely named like a camera, whatever lies next to it.

    >>> [name for name in ("cam1", "Camera B", "c1", "anna") if is_camera(name)]
    ['cam1', 'Camera B']
    >>> [name for name in ("Kamera 1", "caméra2", "摄像头1", "192.168.0.64", "camilla") if is_camera(name)]
    ['Kamera 1', 'caméra2', '摄像头1', '192.168.0.64']
    """
    return _SURE_CAMERA.fullmatch(plain(name)) is not None


def is_aside(name: str) -> bool:
    """Return whether a folder is named like neither a person nor a camera: a time, a track, a part of the body.

    >>> [name for name in ("face", "2024-01-01", "track 7", "T0001", "RGB", "session1", "door") if is_aside(name)]
    ['face', '2024-01-01', 'track 7', 'T0001', 'RGB', 'session1']
    """
    if is_dated(name) or is_group(name) or is_holder(name) or _TRACK.fullmatch(name):
        return True
    return is_aspect(name) or named_of(name, TRACKS, FURTHER)


def is_aspect(name: str) -> bool:
    """Return whether a folder is named like a part, a view or a state of a person or of the images.

    >>> [name for name in ("face", "front view", "old", "track 1", "anna") if is_aspect(name)]
    ['face', 'front view', 'old']
    """
    return named_of(name, ASPECTS, FURTHER | {"view"})


def common_stem(names: Sequence[str]) -> str:
    """Return the word that folders have in front of a number or letter, if it does not mean people.

    >>> common_stem(["zone1", "zone2"]), common_stem(["person 1", "person 2"]), common_stem(["anna", "ben"])
    ('zone', '', '')
    """
    found = [_NUMBERED.fullmatch(name) for name in names]
    stems = {fields[1].casefold().strip(" _-") if fields else "" for fields in found}
    stem = stems.pop() if len(stems) == 1 and len(names) > 1 else ""
    return "" if len(stem) < 2 or words(stem) & PEOPLE else stem


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are.

    >>> listed(["a", "b"]), listed(list("abcdefg"))
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(spelled, names[:SHOWN])) + more


def are_people(names: Sequence[str]) -> bool:
    """Return whether folders are surely named like people: by a word for people, or by long numbers.

    >>> are_people(["person_1", "person_2"]), are_people(["0001", "0002"]), are_people(["anna", "1"])
    (True, True, False)
    """
    return all(IDENTITY_NUMBER.fullmatch(name) or words(name) & PEOPLE for name in names)


def may_be_several(name: str) -> bool:
    """Return whether a folder of people may be one of several people, from its name.

    >>> [name for name in ("unknown", "Monday", "batch 2", "hall", "anna") if may_be_several(name)]
    ['unknown', 'Monday', 'batch 2', 'hall']
    """
    return any(says(name) for says in (is_dated, is_group, is_place, is_aspect, is_holder, is_of_device))


def looks_like_camera(names: Sequence[str]) -> bool:
    """Return whether all of some sibling folders are named like cameras or places.

    >>> looks_like_camera(["c01", "door"]), looks_like_camera(["c01", "anna"])
    (True, False)
    """
    return all(is_camera(name) or is_place(name) or _CAMERA.fullmatch(plain(name)) for name in names)


def named_cameras(names: Iterable[str]) -> list[str]:
    """Return those of some sibling folders that are named like cameras.

    A short name such as `c01` may also be that of a person. It counts only if all of them are named like cameras.

    >>> named_cameras(["cam_a", "cam_b", "Market"]), named_cameras(["c01", "c02"]), named_cameras(["b1", "c1"])
    (['cam_a', 'cam_b'], ['c01', 'c02'], [])
    """
    names = list(names)
    sure = [name for name in names if is_camera(name)]
    if all(name in sure or _CAMERA.fullmatch(plain(name)) for name in names):
        return names
    return sure if len(sure) > 1 else []


def split_parts(names: Iterable[str]) -> Parts:
    """Return the folders of each split among some sibling folders, in the order of the splits.

    Raises:
        DataError: If two folders name the same split.

    >>> dict(split_parts(["Train", "probe", "test", "notes"]))
    {'train': ('Train',), 'query': ('probe',), 'gallery': ('test',)}
    """
    names = list(names)
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        if name.lower() in SPLIT_NAMES:
            found[SPLIT_NAMES[name.lower()]].append(name)
    if found["query"] and not found["gallery"]:
        found["gallery"] = [name for name in names if name.lower() == "test"]
    for split, folders in found.items():
        if len(folders) > 1:
            raise DataError(
                f"The folders {' and '.join(folders)} both name the split {split}.", "Keep one of them there."
            )
    return {split: tuple(folders) for split, folders in found.items() if folders}
