"""What a walk through folders passes over, counted by reason and suffix."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from scing_cli.core.errors import counted, spelled
from scing_cli.core.image_formats import how_to_read
from scing_cli.core.runtime import Reporter

SHOWN = 5  # suffixes or names listed of each reason


class Reason(StrEnum):
    """Why an entry of a folder is passed over."""

    FORMAT = "format not read here"
    DANGLING = "dangling link"
    UNREADABLE = "unreadable folder"
    ABOVE = "link to a folder above"
    SYSTEM = "system file or folder"
    HIDDEN = "hidden"
    SPECIAL = "not a regular file"
    OTHER = "other file"


NOUNS: Mapping[Reason, tuple[str, str]] = MappingProxyType(
    {
        Reason.DANGLING: ("dangling link", "dangling links"),
        Reason.UNREADABLE: ("unreadable folder", "unreadable folders"),
        Reason.ABOVE: ("link to a folder above", "links to folders above"),
        Reason.SYSTEM: ("file or folder of the system", "files or folders of the system"),
        Reason.HIDDEN: ("hidden file or folder", "hidden files or folders"),
        Reason.SPECIAL: ("pipe or device", "pipes or devices"),
    }
)
LOSSES = (Reason.FORMAT, Reason.DANGLING, Reason.UNREADABLE, Reason.SPECIAL)
"""Reasons for which photos may be lost."""


class Passed(NamedTuple):
    """One entry that was passed over.

    Args:
        reason: Why.
        path: Its path.
        kind: Its suffix in lower case, or the name of a system file or folder; empty for other reasons.
    """

    reason: Reason
    path: str
    kind: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class PassedOver:
    """Entries that were passed over for one reason.

    Args:
        reason: A value of `Reason`.
        suffix: Their suffix in lower case, or the name of a system file or folder; empty for other reasons.
        count: How many.
        example: The path of the first one.
    """

    reason: str
    suffix: str
    count: int
    example: str


def count_passed(entries: Iterable[Passed]) -> tuple[PassedOver, ...]:
    """Count entries by reason and suffix: in the order of `Reason`, the most frequent suffix first."""
    counts: Counter[tuple[Reason, str]] = Counter()
    first: dict[tuple[Reason, str], str] = {}
    for entry in entries:
        key = (entry.reason, entry.kind)
        counts[key] += 1
        first.setdefault(key, entry.path)
    order = list(Reason)
    ranked = sorted(counts, key=lambda key: (order.index(key[0]), -counts[key], key[1]))
    return tuple(PassedOver(key[0].value, key[1], counts[key], first[key]) for key in ranked)


def is_loss(passed: Iterable[PassedOver]) -> bool:
    """Return whether photos may have been lost: pictures in other formats, dangling links, for example."""
    return any(entry.reason in LOSSES for entry in passed)


def passed_text(passed: Sequence[PassedOver]) -> str:
    """Return one line about what was passed over; empty if there is nothing.

    >>> passed_text([PassedOver("dangling link", "", 2, "a/x.jpg"), PassedOver("other file", ".txt", 3, "b.txt")])
    'Passed over: 2 dangling links (a/x.jpg, …); other files: 3 .txt.'
    """
    parts = [
        part for reason in Reason if (part := _part(reason, [entry for entry in passed if entry.reason == reason]))
    ]
    return f"Passed over: {'; '.join(parts)}." if parts else ""


def report_passed(passed: Sequence[PassedOver], reporter: Reporter) -> None:
    """Report what was passed over in folders: as a warning if photos may have been lost, otherwise as a note."""
    if passed:
        (reporter.warn if is_loss(passed) else reporter.note)(passed_text(passed))


def _part(reason: Reason, entries: Sequence[PassedOver]) -> str:
    if not entries:
        return ""
    count = sum(entry.count for entry in entries)
    if reason is Reason.FORMAT:
        return ", ".join(_listed([f"{_files(entry)} ({how_to_read(entry.suffix)})" for entry in entries]))
    if reason is Reason.OTHER:
        return f"other file{'s' if count > 1 else ''}: {', '.join(_listed([_of_suffix(entry) for entry in entries]))}"
    names = [entry.suffix for entry in entries if entry.suffix]
    some = ", ".join(_listed(names)) if names else entries[0].example + (", …" if count > 1 else "")
    return f"{counted(count, *NOUNS[reason])} ({spelled(some)})"


def _files(entry: PassedOver) -> str:
    return counted(entry.count, f"{spelled(entry.suffix)} file")


def _of_suffix(entry: PassedOver) -> str:
    return f"{entry.count:,} {spelled(entry.suffix) if entry.suffix else 'without a suffix'}"


def _listed(texts: Sequence[str]) -> Iterator[str]:
    yield from texts[:SHOWN]
    if len(texts) > SHOWN:
        yield f"and {counted(len(texts) - SHOWN, 'more kind')}"
