"""Identities and cameras that are spelled in two ways, such as cameras 1 and 01, and what follows from it.

Spellings are never merged: a note says which ones differ, and the effect.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from scing_cli.core.errors import counted
from scing_cli.core.manifest import Manifest

Label = tuple[str, str]
"""Identity and camera of one row; empty where unknown."""
Sides = tuple[Sequence[Label], Sequence[Label]]
"""The labels of the queries, and those of the gallery."""


class Labelled(Protocol):
    """Queries or gallery with N identities and N cameras; empty texts where unknown."""

    @property
    def identities(self) -> Sequence[str]:
        """The identity of each row."""

    @property
    def cameras(self) -> Sequence[str]:
        """The camera of each row."""


_CAMERA = re.compile(r"(?:camera|cam|c)[\s_.-]*(?=[0-9])")
_NUMBER = re.compile(r"([0-9]+)(?:\.0+|,0{1,2})?")  # 1,000 is a thousand
_SPACE = re.compile(r"\s+")


def identity_key(name: str) -> str:
    r"""Return a key that is equal for spellings of one identity: zeros, case, spaces and Unicode form do not matter.

    >>> identity_key("0001"), identity_key(" 1"), identity_key("Ben  K."), identity_key("Ame\u0301lie") == "amélie"
    ('1', '1', 'ben k.', True)
    >>> identity_key("12.0"), identity_key("12,0"), identity_key("12,000")
    ('12', '12', '12,000')
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    text = _SPACE.sub(" ", text).strip()
    number = _NUMBER.fullmatch(text)
    return (number[1].lstrip("0") or "0") if number else text


def camera_key(name: str) -> str:
    """Return a key that is equal for spellings of one camera: a leading `c`, `cam` or `camera` does not matter either.

    >>> camera_key("01"), camera_key("c1"), camera_key("Cam_1"), camera_key("door")
    ('1', '1', '1', 'door')
    """
    text = identity_key(name)
    return identity_key(_CAMERA.sub("", text, count=1)) if _CAMERA.match(text) else text


def spelling_notes(manifest: Manifest) -> tuple[str, ...]:
    """Return a note for identities and one for cameras that are spelled in several ways; none if there are no such."""
    split_of: dict[str, list[Label]] = {}
    for sample in manifest:
        split_of.setdefault(sample.split, []).append((sample.identity, sample.camera))
    sides = (split_of.get("query", []), split_of.get("gallery", []))
    return label_notes([label for labels in split_of.values() for label in labels], sides)


def label_notes(labels: Iterable[Label], sides: Sides) -> tuple[str, ...]:
    """Return a note for identities and one for cameras that are spelled in several ways.

    Args:
        labels: The labels of all rows.
        sides: The labels of the queries and of the gallery, which the effect is computed from; both may be empty.
    """
    unique = set(labels)
    identities = _groups((identity for identity, _ in unique), identity_key)
    cameras = _groups((camera for _, camera in unique), camera_key)
    return (*_identity_note(identities, sides), *_camera_note(cameras, sides))


def side_notes(query: Labelled, gallery: Labelled) -> tuple[str, ...]:
    """Return the notes of `label_notes` on queries and gallery."""
    sides = [list(zip(side.identities, side.cameras, strict=True)) for side in (query, gallery)]
    return label_notes([*sides[0], *sides[1]], (sides[0], sides[1]))


def _groups(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    """Return the groups of two and more spellings with one key, in each of several data sets."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names) - {""}):
        source, slash, own = name.rpartition("/")  # of joint data sets: the data set's name comes first
        groups.setdefault(f"{source}{slash}{key(own)}", []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _identity_note(groups: Sequence[Sequence[str]], sides: Sides) -> Iterator[str]:
    if not groups:
        return
    key_of = _key_of(groups)
    query, gallery = sides
    spelled_in = _spellings(((key_of[person], person) for person, _ in gallery if person in key_of))
    lost = sum(bool(spelled_in.get(key_of.get(person, -1), set()) - {person}) for person, _ in query)
    effect = "each spelling is a person of its own"
    if lost:
        effect += (
            f", and {counted(lost, 'query does', 'queries do')} not match the gallery images under the other spelling"
        )
    yield f"{_named(groups)} are counted as different people, but are spelled nearly alike: {effect}.{_REMEDY}"


def _camera_note(groups: Sequence[Sequence[str]], sides: Sides) -> Iterator[str]:
    if not groups:
        return
    key_of = _key_of(groups)
    query, gallery = sides
    cameras = [{camera for _, camera in side} - {""} for side in sides]
    spelled_in = _spellings((((person, key_of[camera]), camera) for person, camera in gallery if camera in key_of))
    kept = sum(
        bool(spelled_in.get((person, key_of[camera]), set()) - {camera})
        for person, camera in query
        if person and camera in key_of
    )
    effect = "each spelling is a camera of its own"
    if all(cameras) and not cameras[0] & cameras[1]:
        effect = "no gallery row shares a query's camera, so nothing is left out of a ranking"
    elif kept:
        effect = (
            f"gallery images under the other spelling of the query's camera stay in the ranking of "
            f"{counted(kept, 'query', 'queries')}"
        )
    yield f"Cameras {_named(groups)} are counted as different cameras, but are spelled nearly alike: {effect}.{_REMEDY}"


_REMEDY = " If they are the same, spell them alike."


def _key_of(groups: Sequence[Sequence[str]]) -> dict[str, int]:
    return {name: number for number, names in enumerate(groups) for name in names}


def _spellings(pairs: Iterable[tuple[object, str]]) -> Mapping[object, set[str]]:
    found: dict[object, set[str]] = {}
    for key, name in pairs:
        found.setdefault(key, set()).add(name)
    return found


def _named(groups: Sequence[Sequence[str]]) -> str:
    """Return the spellings of the first group, and the number of other groups; look-alike characters are escaped."""
    first = groups[0]
    alike = len({unicodedata.normalize("NFKC", name) for name in first}) < len(first)
    more = f" (and {counted(len(groups) - 1, 'more such group')})" if len(groups) > 1 else ""
    return " and ".join(map(ascii if alike else repr, first)) + more
