"""Read untrusted files within limits: regular files of bounded size, and strict JSON."""

from __future__ import annotations

import io
import json
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MOST = 2**27  # bytes; a run.json with a million identities takes a quarter of this
SMALL = 2**20  # bytes; model descriptions and index stamps take a thousandth of this
SHOWN = 50  # characters of a key that a message quotes
_SPACE = re.compile(r"[ \t\n\r]*")


def check_ordinary(source: Path) -> None:
    """Check that a path is a regular file.

    Raises:
        OSError: If the file does not exist.
        ValueError: If it is something else, such as a folder, a pipe or a device.
    """
    # Reading a pipe would block, and a device such as /dev/zero never ends.
    if not stat.S_ISREG(source.stat().st_mode):
        raise ValueError("it is not a regular file")


def read_limited(source: Path, most: int = MOST) -> bytes:
    """Read a whole file of at most `most` bytes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger. Reading stops at the limit.
    """
    with source.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return content


def opened(source: Path, size: int) -> io.BufferedReader | io.BytesIO:
    """Open a file for reading; a small one is read into memory at once.

    Args:
        source: A regular file.
        size: Its size according to `stat`, in bytes. If the actual size differs, the file is opened as a stream.

    Raises:
        OSError: If it cannot be read.
    """
    if size <= SMALL:  # one read call: each call releases the GIL, and worker threads wait to get it back
        with source.open("rb", buffering=0) as stream:
            content = stream.read(size + 1)
        if len(content) == size:
            return io.BytesIO(content)
    return source.open("rb")


def parse_json(content: bytes) -> Any:
    """Parse UTF-8 JSON; numbers that are not finite, duplicate keys and very deep nesting are errors too.

    Raises:
        ValueError: If the content is not such JSON; the message says why.

    >>> parse_json(b'{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_number, parse_float=_number, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def json_items(content: bytes) -> Iterator[Any]:
    """Yield the items of a JSON array one by one, so that what is not needed of each need not stay in memory.

    Args:
        content: UTF-8 JSON, with or without a byte order mark; otherwise like `parse_json`.

    Raises:
        ValueError: If the content is not such an array; the message names the item, counted from 1.

    >>> list(json_items(b'[1, {"a": []}]'))
    [1, {'a': []}]
    """
    text = content.decode("utf-8-sig")
    decoder = json.JSONDecoder(parse_constant=_number, parse_float=_number, object_pairs_hook=_object)
    place = _after_space(text, 0)
    if text[place : place + 1] != "[":
        raise ValueError("it is not a list")
    place, number = _after_space(text, place + 1), 0
    while text[place : place + 1] != "]" or number:
        number += 1
        try:
            item, place = decoder.raw_decode(text, place)
        except RecursionError:
            raise ValueError(f"entry {number}: it is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}") from error
        yield item
        place = _after_space(text, place)
        mark = text[place : place + 1]
        if mark == "]":
            break
        if mark != ",":
            raise ValueError(f"after entry {number} {'it ends' if not mark else f'is {mark!r}, not a comma'}")
        place = _after_space(text, place + 1)
    if _after_space(text, place + 1) < len(text):
        raise ValueError("there is more after the end of the list")


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _number(text: str) -> float:
    # json accepts NaN and Infinity, and reads 1e999 as infinity.
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:SHOWN]} is not a finite number")
    return number


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # json keeps the last of several equal keys without an error.
    content = dict(pairs)
    if len(content) < len(pairs):
        duplicate = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {duplicate[:SHOWN]!r} appears twice in an object")
    return content
