"""Paths as library users give them: `str` is as good as `Path`."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from scing_cli.core.errors import DataError, SettingError, spelled

OTHER_KINDS = frozenset(
    {
        *(".xlsx", ".xls", ".ods", ".json", ".parquet", ".npz", ".npy", ".html", ".pdf", ".faiss"),
        *(".jpg", ".jpeg", ".png", ".webp"),
    }
)
"""Suffixes of files that are not CSV, in lower case."""
StrPath = str | os.PathLike[str]
ENGINES = {"milvus": ".milvus"}
"""What keeps galleries besides files: how its addresses begin, and the module, as `core.index` names it, whose function
`location` returns where one is."""
SCHEMES = ("https?", "ftps?", "sftp", "ssh", "s3", "gs", "hf", "file", "data")  # of other URLs


@overload
def as_path(value: StrPath) -> Path: ...
@overload
def as_path(value: None) -> None: ...
@overload
def as_path(value: StrPath | None) -> Path | None: ...
def as_path(value: StrPath | None) -> Path | None:
    """Return a path as a `Path`; None stays None.

    Raises:
        DataError: If it is empty, has a null character, or is a URL.

    >>> as_path("a.jpg") == Path("a.jpg"), as_path(None)
    (True, None)
    """
    if value == "":
        raise DataError("The path is empty.", "Name a path, or leave it out.")
    return None if value is None else check_local(Path(value))


def as_paths(values: StrPath | Iterable[StrPath]) -> list[Path]:
    """Return one path or several as a list.

    Raises:
        DataError: If one is a URL.

    >>> len(as_paths("a.jpg")), len(as_paths(["a.jpg", Path("b.jpg")]))
    (1, 2)
    """
    return [as_path(value) for value in ([values] if isinstance(values, str | os.PathLike) else values)]


def engine_of(value: StrPath) -> str | None:
    """Return what keeps the gallery of an address; None for a path.

    >>> engine_of("milvus+tls://localhost/people"), engine_of("gallery.faiss")
    ('milvus', None)
    """
    text = value if isinstance(value, str) else ""
    scheme, found, _ = text.partition("://")
    engine = scheme.lower().partition("+")[0]
    return engine if found and engine in ENGINES else None


def named_location(text: str) -> Path | str:
    """Return the address of a gallery as text, and all else as a path: the value of an option."""
    return text if engine_of(text) is not None else Path(text)


def check_local(path: Path) -> Path:
    """Return a path that is not a URL.

    Raises:
        DataError: If it is a URL, and there is no file of that name, or no file can have its name.
    """
    if "\0" in str(path):
        raise DataError(f"{spelled(str(path))} has a null character, which no path can have.")
    match = re.match(rf"({'|'.join([*SCHEMES, *ENGINES])}):(?=/)", str(path), re.IGNORECASE)
    if match is None or os.path.lexists(path):
        return path
    slashes = "///" if match[1].lower() == "file" else "//"  # a Path has one of them
    url = match[0] + slashes + str(path)[match.end() :].lstrip("/")
    raise DataError(f"{spelled(url)} is not a file: scing reads local files; download it first.")


def lasting(path: Path) -> Path:
    """Return an absolute path without `..`: it stays right when the folder that it was seen from is gone.

    >>> lasting(Path("/no-run/../no-crops/a.jpg")).as_posix()
    '/no-crops/a.jpg'
    """
    path = path.absolute()
    if ".." not in path.parts:
        return path  # links stay as they are named
    return Path(os.path.realpath(path)) if path.name == ".." else Path(os.path.realpath(path.parent), path.name)


def check_once(paths: Sequence[Path], option: str) -> None:
    """Check that no place is named twice, in whatever spelling.

    Raises:
        SettingError: If one is.
    """
    real = [os.path.realpath(path) for path in paths]
    for number, path in enumerate(paths):
        if real[number] in real[:number]:
            raise SettingError(f"{option} {spelled(path)} was given twice.", "Name each one once.")


def file_keys(files: Iterable[StrPath]) -> list[str]:
    """Return one key per image file, equal for equal files: the absolute path with links of folders resolved.

    A link to an image is not resolved, because a data set may consist of links into one store.
    """
    folders: dict[str, str] = {}
    keys = []
    for file in files:
        folder, name = os.path.split(file)  # faster than pathlib, which matters for many files
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        keys.append(os.path.join(folders[folder], name))  # noqa: PTH118
    return keys


def paths_in_place(settings: Any, *names: str) -> None:
    """Turn fields of a frozen dataclass that were given as `str` into `Path`; for its `__post_init__`."""
    for name in names:
        object.__setattr__(settings, name, as_path(getattr(settings, name)))


def check_not_empty(folder: Path, remedy: str) -> None:
    """Check that a folder has at least one entry, of any kind.

    Args:
        folder: A folder; one that cannot be listed passes, because whoever lists it reports the reason.
        remedy: What to do next.

    Raises:
        DataError: If it is empty.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        if next(entries, None) is None:
            raise DataError(f"{spelled(folder)} is empty.", remedy)


def check_csv_name(target: Path, option: str) -> None:
    """Check that the name of a CSV file to write is not that of another kind of file.

    Raises:
        SettingError: If its suffix is that of a spreadsheet, a picture or other data.

    >>> check_csv_name(Path("hits.csv"), "--csv")
    """
    if target.suffix.lower() in OTHER_KINDS:
        raise SettingError(
            f"{option} {spelled(target)}: a CSV file is written, not a {target.suffix.lower()} file.",
            f"Name it {spelled(target.with_suffix('.csv').name)}.",
        )
