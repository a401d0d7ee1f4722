"""List folders and walk through them, without a system call per file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from scing_cli.core.errors import DataError, spelled
from scing_cli.core.imagefile import IMAGE_SUFFIXES


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """The direct entries of a folder, sorted by code point, without hidden ones.

    Args:
        images: Names of files with an image suffix, including dangling links, so that these are reported later.
        folders: Names of folders.
        others: Names of other files.
    """

    images: tuple[str, ...]
    folders: tuple[str, ...]
    others: tuple[str, ...]


def list_folder(folder: Path) -> Listing:
    """List a folder with `os.scandir`, which separates files from folders without a system call for each, except links.

    Raises:
        DataError: If the folder cannot be read.
    """
    images: list[str] = []
    folders: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is(entry.is_dir):
                    folders.append(entry.name)
                elif not (_is(entry.is_file) or entry.is_symlink()):
                    others.append(entry.name)
                else:
                    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - ten times faster than Path
                    (images if suffix in IMAGE_SUFFIXES else others).append(entry.name)
    except OSError as error:
        raise DataError(
            f"{spelled(folder)} cannot be listed: {error.strerror}.", "Check the path and its permissions."
        ) from error
    return Listing(tuple(sorted(images)), tuple(sorted(folders)), tuple(sorted(others)))


def _is(kind: Callable[[], bool]) -> bool:
    """Return whether an entry is of a kind; False for a link to itself."""
    try:
        return kind()
    except OSError:
        return False


def walk_images(root: Path, folder: str) -> Iterator[str]:
    """Yield the POSIX paths, relative to `root`, of all images in one of its folders and in all subfolders.

    Images of a folder come before those of its subfolders; both are sorted by code point. Links to folders are
    followed; each folder is visited once.

    Args:
        root: The data set's folder.
        folder: The POSIX path of a folder, relative to `root`, or `.`.

    Raises:
        DataError: If a folder cannot be listed.
    """
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        real = os.path.realpath(root / current)
        if real in seen:
            continue
        seen.add(real)
        try:
            listing = list_folder(root / current)
        except DataError as error:
            if current != folder and isinstance(error.__cause__, FileNotFoundError):
                continue  # it was deleted after its parent was listed
            raise
        prefix = "" if current == "." else f"{current}/"
        yield from (prefix + name for name in listing.images)
        waiting += [prefix + name for name in reversed(listing.folders)]
