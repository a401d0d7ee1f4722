"""What comes from outside, read within bounds: ordinary files of a sane size, and JSON such as this program writes."""

from __future__ import annotations

import io
import json
import math
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST = 2**27  # bytes; a run.json of a million identities has a quarter of them
SMALL = 2**20  # bytes; a model's description and an index's stamp have a thousandth of them
SHOWN = 50  # letters of a key in a message


def check_ordinary(source: Path) -> None:
    """Refuse what is no ordinary file: a pipe would be waited for, and a device may never end.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is of another kind.
    """
    if not stat.S_ISREG(source.stat().st_mode):
        raise ValueError("it is no ordinary file")


def read_limited(source: Path, most: int = MOST) -> bytes:
    """Read a whole file of at most `most` bytes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger; no more of it is read.
    """
    with source.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def opened(source: Path, size: int) -> io.BufferedReader | io.BytesIO:
    """Open a file to be read; one that is small is read at once, as every call of the system hands Python's lock over.

    Args:
        source: An ordinary file.
        size: What its status says, bytes; where that does not hold, the file is read as a large one is.

    Raises:
        OSError: If it cannot be read.
    """
    if size <= SMALL:
        with source.open("rb", buffering=0) as stream:
            content = stream.read(size + 1)
        if len(content) == size:
            return io.BytesIO(content)
    return source.open("rb")


def parse_json(content: bytes) -> Any:
    """Parse UTF-8 JSON; a number that is not finite, a key that stands twice and absurd depth are faults too.

    Raises:
        ValueError: Saying what is wrong.

    >>> parse_json(b'{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_number, parse_float=_number, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:SHOWN]} is no finite number")
    return number


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice[:SHOWN]!r} stands twice in an object")
    return content
