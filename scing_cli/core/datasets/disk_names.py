"""Find files whose names on disk differ from those in a list in Unicode form, or in upper and lower case.

macOS stores an accented letter as two characters (NFD), most other programs write one (NFC). Cameras name files `.JPG`,
lists `.jpg`.
"""

from __future__ import annotations

import functools
import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from scing_cli.core.errors import counted
from scing_cli.core.manifest import Sample

LONGEST = 4096  # characters of a path; systems have no longer ones
MANY = 256  # files of one folder; of more, the folder is listed instead of asking for each


def composed(name: str) -> str:
    """Return a name in the composed Unicode form, NFC."""
    return unicodedata.normalize("NFC", name)


def caseless(name: str) -> str:
    """Return a key that is equal for names which differ only in Unicode form or case.

    >>> caseless("CAFE\u0301.JPG") == caseless("café.jpg")
    True
    """
    return composed(composed(name).casefold())


def _caseless_suffix(name: str) -> str:
    stem, suffix = posixpath.splitext(composed(name))
    return stem + suffix.casefold()


KEYS: tuple[Callable[[str], str], ...] = (composed, _caseless_suffix, caseless)
"""What may differ between a name and that on disk, the least first."""


def samples_on_disk(root: Path, samples: tuple[Sample, ...]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Give rows whose files are spelled otherwise on disk the path on disk.

    Args:
        root: The folder that paths are relative to.
        samples: The rows.

    Returns:
        The rows, and a note if some have another path now. A row keeps its path if the file has a row already.
    """
    other = paths_on_disk(root, (path for sample in samples for path in sample.paths))
    if not other:
        return samples, ()
    taken = {(sample.path, sample.split) for sample in samples}
    rows, changed = [], []
    for sample in samples:
        path = other.get(sample.path, sample.path)
        if path != sample.path and (path, sample.split) in taken:
            rows.append(sample)
            continue
        taken.add((path, sample.split))
        changed += [path for path in sample.paths if path in other]
        rows.append(sample.with_paths(lambda path: other.get(path, path)))
    return tuple(rows), (_note(changed, other),) if changed else ()


def _note(changed: list[str], other: Mapping[str, str]) -> str:
    count = counted(len(changed), "path differs from its name", "paths differ from their names")
    first = changed[0]
    return f"{count} on disk in Unicode form or case, such as {both(first, other[first])}: the files on disk are used."


def both(name: str, on_disk: str) -> str:
    """Return two spellings for a message; characters that look alike are escaped."""
    show = ascii if composed(name) == composed(on_disk) else repr
    return f"{show(name)} (on disk {show(on_disk)})"


def paths_on_disk(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return the paths on disk of those files that do not exist as they are spelled.

    Args:
        root: The folder that paths are relative to.
        paths: POSIX paths.

    Returns:
        Path -> path on disk, for each path with exactly one such file.
    """
    unique = dict.fromkeys(paths)
    sizes = Counter(map(posixpath.dirname, unique))
    disk = _Disk(root)
    missing = [path for path in unique if not disk.has(path, listed=sizes[posixpath.dirname(path)] >= MANY)]
    found = ((path, disk.find(path)) for path in missing)
    return {path: other for path, other in found if other is not None}


def did_you_mean(path: Path) -> str:
    """Return a question with the name on disk of a path that does not exist as it is spelled; empty without one."""
    found = paths_on_disk(Path(), [path.as_posix()]).get(path.as_posix())
    return f"Did you mean {both(str(path), found)}? " if found is not None else ""


class _Disk:
    """The names in the folders below a root; each folder is listed at most once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.step = functools.cache(self._step)
        self._names = functools.cache(self._listed)
        self._index = functools.cache(self._indexed)

    def has(self, path: str, *, listed: bool) -> bool:
        folder, name = posixpath.split(path)
        return (listed and name in self._names(folder)) or os.path.lexists(self._root / path)

    def find(self, path: str) -> str | None:
        """Return the path of the file or folder on disk; None if there is none, or more than one."""
        if len(path) > LONGEST:
            return None
        found = "/" if path.startswith("/") else ""
        for name in path.strip("/").split("/"):
            part = self.step(found, name)
            if part is None:
                return None
            found = posixpath.join(found, part)
        return found

    def _step(self, folder: str, name: str) -> str | None:
        """Return the name on disk of an entry of a folder; None if there is none, or more than one."""
        if os.path.lexists(self._root / folder / name):
            return name
        for place, key in enumerate(KEYS):
            names = self._index(folder, place).get(key(name), ())
            if names:
                return names[0] if len(names) == 1 else None
        return None

    def _listed(self, folder: str) -> frozenset[str]:
        try:
            return frozenset(os.listdir(self._root / folder))  # noqa: PTH208 - names alone are needed
        except (OSError, ValueError):
            return frozenset()

    def _indexed(self, folder: str, place: int) -> dict[str, list[str]]:
        """Return the names of a folder by one of `KEYS`."""
        index: dict[str, list[str]] = {}
        for name in sorted(self._names(folder)):
            index.setdefault(KEYS[place](name), []).append(name)
        return index
