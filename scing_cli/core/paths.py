"""Paths as library users give them: `str` is as good as `Path`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, overload

StrPath = str | os.PathLike[str]


@overload
def as_path(value: StrPath) -> Path: ...
@overload
def as_path(value: None) -> None: ...
@overload
def as_path(value: StrPath | None) -> Path | None: ...
def as_path(value: StrPath | None) -> Path | None:
    """Return a path as a `Path`; None stays None.

    >>> as_path("a.jpg") == Path("a.jpg"), as_path(None)
    (True, None)
    """
    return None if value is None else Path(value)


def as_paths(values: StrPath | Iterable[StrPath]) -> list[Path]:
    """Return one path or several as a list.

    >>> len(as_paths("a.jpg")), len(as_paths(["a.jpg", Path("b.jpg")]))
    (1, 2)
    """
    return [Path(values)] if isinstance(values, str | os.PathLike) else [Path(value) for value in values]


def paths_in_place(settings: Any, *names: str) -> None:
    """Turn fields of a frozen dataclass that were given as `str` into `Path`; for its `__post_init__`."""
    for name in names:
        object.__setattr__(settings, name, as_path(getattr(settings, name)))
