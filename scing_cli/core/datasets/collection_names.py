"""What the names of folders say about collections of several people: parts, states, recordings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from scing_cli.core.datasets.folder_names import IDENTITY_NUMBER, is_part
from scing_cli.core.datasets.folder_words import FURTHER, LETTERS_OF_PARTS, OBJECTS, PEOPLE, RECORDINGS, SETS, VERSIONS
from scing_cli.core.datasets.name_words import named_of, words
from scing_cli.core.errors import counted, spelled

_COPY = re.compile(r"(?:[ _-]+(?:copy|kopie|copie|copia|副本)|\s*\([0-9]{1,3}\))+$", re.IGNORECASE)


def named_parts(names: Sequence[str]) -> list[str]:
    """Return those of some sibling folders that are named like parts of a data set.

    >>> named_parts(["q", "g"]), named_parts(["q", "anna"]), named_parts(["Testdaten", "anna"])
    (['q', 'g'], [], ['Testdaten'])
    """
    letters = {name.casefold() for name in names}
    if {"q", "g"} <= letters <= LETTERS_OF_PARTS:
        return list(names)
    return [name for name in names if is_part(name)]


def is_version(name: str) -> bool:
    """Return whether a folder is named like a state of a whole collection, such as `backup`."""
    return named_of(name, VERSIONS, FURTHER)


def is_recording(name: str) -> bool:
    """Return whether a folder is named like a recording in which several people may be.

    >>> [name for name in ("video_a", "clip 2", "vid1.mp4", "track 1") if is_recording(name)]
    ['video_a', 'clip 2', 'vid1.mp4']
    """
    return named_of(name, RECORDINGS, FURTHER)


def are_surely_people(names: Iterable[str]) -> bool:
    """Return whether folders are named like single people, and not like classes or clusters of several.

    >>> are_surely_people(["person_1", "0002"]), are_surely_people(["Class 1", "Class 2"])
    (True, False)
    """
    return all(IDENTITY_NUMBER.fullmatch(name) or words(name) & (PEOPLE - SETS) for name in names)


def is_object(name: str) -> bool:
    """Return whether a folder is named by nothing but a kind of objects, as a detector names its crops.

    >>> [name for name in ("person", "Car", "person 1", "anna") if is_object(name)]
    ['person', 'Car']
    """
    return name.casefold() in OBJECTS


def copied_folders(names: Iterable[str]) -> Iterator[str]:
    """Yield a warning on folders whose names differ only by what file managers add to the names of copies.

    >>> next(copied_folders(["anna", "anna (1)", "anna - Copy (2)", "ben"])).partition(" are counted")[0]
    'anna, anna (1), anna - Copy (2)'
    >>> list(copied_folders(["anna (1)", "ben", "copy"]))
    []
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        found = _COPY.search(name)
        groups.setdefault((name[: found.start()] if found else name).casefold(), []).append(name)
    copied = [alike for alike in groups.values() if len({name.casefold() for name in alike}) > 1]
    if copied:
        more = f" (and {counted(len(copied) - 1, 'more such group')})" if len(copied) > 1 else ""
        yield (
            f"{', '.join(map(spelled, copied[0]))}{more} are counted as different people, but are named like one "
            "folder and its copies. If they are, keep one of them."
        )
