"""Split the name of a folder into words."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[\u4e00-\u9fff]+")


def named_of(name: str, among: frozenset[str], further: frozenset[str]) -> bool:
    """Return whether a name has one of the words `among`, and none but these, further ones and single letters."""
    found = words(name)
    return bool(among & found) and all(word in among or word in further or len(word) == 1 for word in found)


def words(name: str) -> frozenset[str]:
    """Return the words of a name in lower case, without numbers; empty if it has signs other than ` _-.`."""
    name = plain(name)
    if _WORD.sub("", name).strip(" _-."):
        return frozenset()
    return frozenset(word.lower() for word in _WORD.findall(name) if not word.isdecimal())


def plain(name: str) -> str:
    """Return a name without the accents of its letters."""
    if name.isascii():
        return name
    signs = unicodedata.normalize("NFKD", name)
    return "".join(sign for sign in signs if not unicodedata.combining(sign))
