"""What the names of image files say about the people and cameras of the folders around them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scing_cli.core.datasets.folder_names import is_aside, is_camera, is_holder, is_part, is_place, is_time, listed
from scing_cli.core.datasets.folder_words import PEOPLE
from scing_cli.core.errors import spelled

_CAMERA = re.compile(
    r"(?<![A-Za-z0-9])(?:c|ch|(cam|camera|channel)[ _-]?)([0-9]{1,4})(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])(?:cam|camera)[ _-]?([a-z])(?![A-Za-z0-9])"
    r"|(?<![A-Za-z0-9])c([0-9]{1,4})(?=[stf][0-9])",
    re.IGNORECASE,
)
_MARS = re.compile(r"([0-9]{4}|00-1)C([0-9])T[0-9]+F[0-9]", re.IGNORECASE)
_DATE = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])(?![0-9])")
_WITH_NUMBER = re.compile(r"([0-9]{3,})[_-][0-9]{1,2}")
_PERSON = f"(?:{'|'.join(sorted({*PEOPLE, 'p'}, key=len, reverse=True))})[ _-]?"
_NUMBER_FIRST = re.compile(rf"(?:{_PERSON})?(-?[0-9]+)(?:[_-][a-z]?[0-9]+)*[_-]", re.IGNORECASE)
_TOKEN = re.compile(rf"({_PERSON})?([0-9]+)(?=[^0-9])", re.IGNORECASE)
_WORD_FIRST = re.compile(r"([^\W\d_]{2,})(?=[^\n]*[0-9])")
_NUMBER_NUMBER = re.compile(rf"({_PERSON})?([0-9]+)(?:_|-(?![0-5][0-9]$))[0-9]+", re.IGNORECASE)
_NAME_NUMBER = re.compile(r"[^\W\d_]{2,}(?:[ _.,(-][^\n]*)?[0-9]+\)?")
_NAME = re.compile(r"[^\W\d_]{2,}(?:[ _.,-]+[^\W\d_]+){0,3}")
_DIGITS = re.compile(r"(0[0-9]{2,4})([0-9]{3}|[0-9]{2})\.[A-Za-z0-9]+")
MOST_COUNTED = 50  # pictures of one person that are counted in two or three digits after the person's number
_DEVICES = frozenset(
    {
        *("dji", "dsc", "dscf", "dscn", "gopr", "img", "mvimg", "pict", "pxl", "screenshot", "whatsapp"),
        *("video", "foto", "fotos", "bild", "scan", "snap", "snapshot", "box", "det", "file", "untitled", "copy"),
        *("still", "capture", "pic", "mask", "flip", "aug", "sample", "rec", "selfie", "camera", "crop", "thumb"),
        *("phone", "iphone", "mobile", "tablet", "ipad", "laptop", "canon", "nikon", "sony", "pixel", "samsung"),
    }
)


class Stated(NamedTuple):
    """What the name of a file states.

    Args:
        identity: The identity at its beginning; empty if it names none.
        camera: The number of the camera as it is spelt; empty if it names none.
        sure: Whether the number is surely that of a camera: an identity is in front of it, or it is spelt `cam`.
    """

    identity: str
    camera: str
    sure: bool


def stated(name: str, folder: str = "") -> Stated:
    """Return what a file's name states.

    Args:
        name: The file's name.
        folder: The name of the folder that may be a person's.

    >>> [tuple(stated(name)) for name in ("0004_C1_F0001.jpg", "0001C2T0001F001.jpg", "x_cam03.png", "c1.jpg", "a.jpg")]
    [('0004', '1', True), ('0001', '2', True), ('', '03', True), ('', '1', False), ('', '', False)]
    >>> tuple(stated("anna_c1_7.jpg", "anna"))
    ('anna', '1', True)
    """
    stem = name.rpartition(".")[0]
    if fields := _MARS.match(stem):
        return Stated(fields[1], fields[2], sure=True)
    found = _CAMERA.search(stem)
    if found is None:
        return Stated("", "", sure=False)
    before = stem[: found.start()]
    number = _NUMBER_FIRST.fullmatch(before)
    identity = number[1] if number and not (is_time(number[1]) or _DATE.match(before)) else ""
    if folder and before.strip(" _-").casefold() == folder.casefold():
        identity = folder
    return Stated(identity, found[2] or found[3] or found[4], sure=bool(identity or found[1] or found[3]))


def same_number(one: str, other: str) -> bool:
    """Return whether two names are equal, or equal numbers.

    >>> same_number("0004", "4"), same_number("anna", "Anna"), same_number("1", "2")
    (True, True, False)
    """
    return plain_number(one) == plain_number(other)


def plain_number(name: str) -> str:
    """Return a name in lower case, without leading zeros.

    >>> plain_number("007"), plain_number("A"), plain_number("0")
    ('7', 'a', '')
    """
    return name.casefold().lstrip("0")


def person_part(folder: str) -> str:
    """Return the name of a folder without the camera, date or number of a sequence in it; empty if it has none.

    >>> [person_part(name) for name in ("anna_cam1", "c02-ben", "anna 2024-01-31", "001_02", "cam1", "anna")]
    ['anna', 'ben', 'anna', '001', '', '']
    """
    if fields := _WITH_NUMBER.fullmatch(folder):
        return fields[1]
    found = _CAMERA.search(folder) or _DATE.search(folder)
    return f"{folder[: found.start()]} {folder[found.end() :]}".strip(" _-.") if found else ""


def doubt_file_names(files: Sequence[Sequence[str]]) -> str:
    """Return what the names of files say against the folders around them as people; empty if nothing.

    Args:
        files: The levels of each file: the folder that may be a person's, the folders inside, the file's name.
    """
    ways = (_shared_numbers, _shared_tokens, _several_people, _counted)
    return next((doubt for way in ways if (doubt := way(files))), "")


def mixed_folders(files: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return the folders most of whose files begin with names of several people, as anna_1 and ben_1, and these names.

    A name counts if several files of the folder begin with it. Numbers count if they do not number sessions or
    cameras: those recur in other folders, or run from 0 or 1.

    Args:
        files: The levels of each file: the folder that may be a person's, the folders inside, the file's name.
    """
    tokens: dict[str, Counter[str]] = {}
    for levels in files:
        tokens.setdefault(levels[0], Counter())[_name_before_number(levels[-1], levels[0])] += 1
    holders = Counter(token for found in tokens.values() for token in found)
    mixed = {}
    for folder, found in tokens.items():
        names = sorted(token for token, count in found.items() if token and count > 1)
        if len(names) < 2 or 2 * sum(found[name] for name in names) <= found.total():
            continue
        numbers = sorted(int(name) for name in names if name.isdecimal())
        in_turn = numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
        if numbers and (in_turn or 2 * sum(holders[name] > 1 for name in names) >= len(names)):
            continue
        mixed[folder] = names
    return mixed


def people_in_names(files: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a note on files without numbers that may be named by people, and one on such names in several folders.

    Args:
        files: The levels of each file: the folder that may be a person's, the folders inside, the file's name.
    """
    named = [(levels[0], levels[-1]) for levels in files if _may_be_name(levels[-1], levels[0])]
    folders: dict[str, set[str]] = {}
    for folder, name in named:
        folders.setdefault(name, set()).add(folder)
    if len(folders) < 2 or 2 * len(named) <= len(files):
        return
    again = sorted(name for name, found in folders.items() if len(found) > 1)
    more = f" The same names are in several folders: {listed(again)}." if again else ""
    yield (
        f"The files may be named by people, one image each, such as {' and '.join(map(spelled, list(folders)[:2]))}. "
        f"If so, the folders are not people, and a CSV can name them.{more}"
    )


def other_identities(files: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a warning on files in numbered folders whose names begin with another number."""
    named = [(levels, stated(levels[-1]).identity) for levels in files if levels[0].isdecimal()]
    named = [(levels, identity) for levels, identity in named if identity]
    others = ["/".join(levels) for levels, identity in named if not same_number(levels[0], identity)]
    if others:
        yield (
            f"{len(others):,} of {len(files):,} file names begin with another identity than their folder's, such as "
            f"{spelled(others[0])}: the folder is used."
        )


def _shared_numbers(files: Sequence[Sequence[str]]) -> str:
    """Return a doubt if the files of several folders begin with the same identity, or with the inner folder's."""
    holders: dict[str, dict[str, str]] = {}
    inner = []
    for levels in files:
        if identity := stated(levels[-1], levels[0]).identity:
            holders.setdefault(identity, {}).setdefault(levels[0], levels[-1])
            of_inner = any(same_number(name, identity) for name in levels[1:-1])
            inner += ["/".join(levels)] * (of_inner and not same_number(levels[0], identity))
    if len(inner) > len(files) / 2:
        return f"the files begin with the name of the folder inside, such as {spelled(inner[0])}"
    folders: dict[str, list[str]] = {}
    for found in holders.values():
        for folder, name in found.items():
            folders.setdefault(folder, []).append(name)
    mixed = {folder: names for folder, names in folders.items() if len(names) > 1}
    if len(mixed) > len({levels[0] for levels in files}) / 2:
        folder, names = next(iter(mixed.items()))
        return f"the files in {spelled(folder)} begin with different identities, such as {' and '.join(names[:2])}"
    shared = {identity: found for identity, found in holders.items() if len(found) > 1}
    if 2 * len(shared) < len(holders) or not shared:
        return ""
    identity, found = next(iter(shared.items()))
    return f"files in {listed(sorted(found))} begin with the same identity, {spelled(identity)}"


def _shared_tokens(files: Sequence[Sequence[str]]) -> str:
    """Return a doubt if names such as anna_1 and ben_1 recur in several folders, or in the only one."""
    holders: dict[str, dict[str, int]] = {}
    for levels in files:
        token = _first_token(levels[-1])
        if token and token not in levels[0].casefold():
            found = holders.setdefault(token, {})
            found[levels[0]] = found.get(levels[0], 0) + 1
    alone = len({levels[0] for levels in files}) == 1
    recurring = sorted(token for token, found in holders.items() if _recurs(token, found, alone))
    named = sum(sum(holders[token].values()) for token in recurring)
    if len(recurring) < 2 or named <= len(files) / 2:
        return ""
    where = spelled(files[0][0]) if alone else "several of them"
    return f"the files in {where} begin with the same names ({listed(recurring)}), as those of several people do"


def _several_people(files: Sequence[Sequence[str]]) -> str:
    """Return a doubt if at least half of the folders have several files of several names."""
    mixed = mixed_folders(files)
    if not mixed or 2 * len(mixed) < len({levels[0] for levels in files}):
        return ""
    folder, names = next(iter(mixed.items()))
    return f"the files in {spelled(folder)} begin with several names ({listed(names)}), as those of several people do"


def _name_before_number(file: str, folder: str) -> str:
    """Return the name in front of a file's number, as in anna_1 and 1001_0001; empty if it may not be a person's."""
    stem = file.rpartition(".")[0]
    if _DATE.match(stem) or _CAMERA.match(stem):
        return ""
    if number := _NUMBER_NUMBER.fullmatch(stem):
        plain = is_time(number[2]) or same_number(number[2], folder)
        return "" if plain else (number[1] or "").casefold() + number[2]
    token = _first_word(stem) if _NAME_NUMBER.match(stem) else ""
    return "" if token in folder.casefold() else token


def _may_be_name(file: str, folder: str) -> bool:
    """Return whether a file is named by words that may be a person's name, and that are not those of its folder."""
    stem = file.rpartition(".")[0]
    if not _NAME.fullmatch(stem) or (len(folder) > 1 and folder.casefold() in stem.casefold()):
        return False
    return bool(_first_word(f"{stem}1")) and not any(says(stem) for says in (is_aside, is_holder, is_place))


def _recurs(token: str, found: Mapping[str, int], alone: bool) -> bool:
    """Return whether files of a token are in several folders, or several are in the only one.

    Single figures often number sessions, and numbers that are in a folder once count its images.
    """
    if alone:
        return max(found.values()) > 1
    return len(found) > 1 and (not token.isdecimal() or (len(token) > 1 and min(found.values()) > 1))


def _first_token(name: str) -> str:
    """Return the number at the beginning of a file's name, or the word that may be a person's name; or nothing."""
    stem = name.rpartition(".")[0]
    if _DATE.match(stem):
        return ""
    if number := _TOKEN.match(stem):
        return "" if is_time(number[2]) else number[0].casefold()
    return "" if _CAMERA.match(stem) else _first_word(stem)


def _first_word(stem: str) -> str:
    """Return the word at the beginning of a numbered file's name; empty if it does not look like a person's name."""
    found = _WORD_FIRST.match(stem)
    if found is None:
        return ""
    word = found[1]
    if word.isupper() or word.lower() in _DEVICES:
        return ""
    plain = not any(says(word) for says in (is_aside, is_holder, is_part, is_place)) and not is_camera(f"{word}1")
    return word.casefold() if plain else ""


def _counted(files: Sequence[Sequence[str]]) -> str:
    """Return a doubt if names such as 0001001, 0001002, 0002001 count the pictures of several people in one folder."""
    folders: dict[tuple[str, ...], list[str]] = {}
    for levels in files:
        folders.setdefault(tuple(levels[:-1]), []).append(levels[-1])
    for folder, names in folders.items():
        groups: dict[str, list[int]] = {}
        for name in names:
            if fields := _DIGITS.fullmatch(name):
                groups.setdefault(fields[1], []).append(int(fields[2]))
        recurring = sum(len(group) for group in groups.values() if len(group) > 1)  # 000, 100, 200 are single frames
        if len(groups) < 2 or recurring <= len(names) / 2 or len(set(map(len, names))) > 1:
            continue
        if all(min(group) < 2 and max(group) < len(group) + min(group) <= MOST_COUNTED for group in groups.values()):
            some = " and ".join(next(name for name in names if name.startswith(group)) for group in list(groups)[:2])
            return f"the files in {spelled('/'.join(folder))} count the pictures of several numbers, such as {some}"
    return ""
