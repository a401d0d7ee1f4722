"""Texts of extreme depth and size, endless files, and the time limit for refusing them."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from faults.hostile import deadline
from patience import at_most

DEEP, LONG = 100_000, 1_000_000
WORK, MEMORY = 400, 600_000  # that a refusal may take: units of CPU time, kB beyond what the process has had before
BIG = 200_000_000


def sparse(file: Path, head: bytes = b"", size: int = BIG) -> None:
    """Write a file that takes no room: zeros follow its beginning."""
    with file.open("wb") as stream:
        stream.write(head)
        stream.truncate(size)


JSON = {
    "deep lists": b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"x": ' * DEEP + b"1" + b"}" * DEEP,
    "a long number": b'{"x": ' + b"9" * 5000 + b"}",
    "infinity": b'{"x": 1e999}',
    "not a number": b'{"x": NaN}',
    "a key twice": b'{"x": 1, "x": 2}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b'{"x": "\xff"}',
    "a zero byte": b'{"x": "\x00"}',
    "a long key": b'{"' + b"k" * LONG + b'": 1, }',
    "a long text": b'"' + b"t" * LONG + b'"',
    "nothing": b"",
    "half a character": b'{"x": "\\ud800"',
}


@contextlib.contextmanager
def soon_and_small() -> Iterator[None]:
    """Refusals take little time and memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with deadline(), at_most(WORK):
        yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


def put(file: Path, content: bytes | str) -> Path:
    """Write a content, or link to what never ends, or make a pipe into which nobody writes."""
    file.unlink(missing_ok=True)
    if content == "pipe":
        os.mkfifo(file)
    elif content == "zeros":
        file.symlink_to("/dev/zero")
    elif content == "folder":
        file.mkdir()
    elif content == "large":
        sparse(file, b'{"x": "')
    else:
        file.write_bytes(content)
    return file
