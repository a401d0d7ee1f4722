"""Files with the same bytes under several names."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)


def copies(digests: Mapping[Name, str]) -> Sequence[tuple[Name, ...]]:
    """Return the groups of names that share a digest, in the order of their first names.

    Args:
        digests: The digest of each name's file; empty where it is not known.

    >>> copies({"a.jpg": "1f", "b.jpg": "c0", "c.jpg": "1f"})
    [('a.jpg', 'c.jpg')]
    """
    same: dict[str, list[Name]] = {}
    for name, digest in digests.items():
        if digest:
            same.setdefault(digest, []).append(name)
    return [tuple(group) for group in same.values() if len(group) > 1]
