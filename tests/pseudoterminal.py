"""A terminal for tests: a process runs in it, and its questions are answered as kitty, an xterm with sixel, or neither."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from patience import HANG

ROOT = Path(__file__).parent.parent
ATTRIBUTES = re.compile(rb"\x1b\[c")  # which functions it has; 4 is sixel
GRAPHICS = re.compile(rb"\x1b_G(i=\d+),[^;\x1b]*a=q[^\x1b]*\x1b\\")  # whether it takes a picture of one pixel
Answers = Mapping[re.Pattern[bytes], bytes]
KITTY: Answers = {ATTRIBUTES: b"\x1b[?62;c", GRAPHICS: b"\x1b_GNUMBER;OK\x1b\\"}
SIXEL: Answers = {ATTRIBUTES: b"\x1b[?62;4;22c"}
NEITHER: Answers = {ATTRIBUTES: b"\x1b[?1;2c"}
# textual-image waits a tenth of a second for an answer (two seconds for all of them, from 0.14 on): a test on a busy
# machine may take longer than a terminal does.
PATIENT = """
import textual_image._terminal as terminal

def patient(start_marker, end_marker, timeout, ask=terminal.capture_terminal_response):
    return ask(start_marker, end_marker, timeout if end_marker == "t" else 1800)  # t: a size, which none is asked to tell

terminal.capture_terminal_response = patient
terminal._PROBE_TIMEOUT = 30
"""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What came of a process: its exit code, what the terminal got, and stderr."""

    code: int
    out: str
    err: str


def in_terminal(
    code: str,
    arguments: Sequence[object],
    answers: Answers,
    log: Path,
    *,
    size: tuple[int, int, int, int] = (40, 100, 1000, 800),
    **environment: str,
) -> Seen:
    """Run Python code in a terminal.

    Args:
        code: What `python -c` gets.
        arguments: Its arguments.
        answers: What the terminal answers to what.
        log: A file for stderr, which goes past the terminal.
        size: Rows, columns, and the pixels of all columns and all rows.
        environment: PublishedRows the one there is.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", *size))
    left_out = {"COLUMNS", "LINES", "COLORTERM", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    around = {name: value for name, value in os.environ.items() if name not in left_out}
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=err,
            cwd=ROOT,
            env={**around, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
    os.close(slave)
    try:
        out = _talk(master, answers)
        return Seen(process.wait(HANG), out.decode(), " ".join(log.read_text().split()))
    finally:
        process.kill()
        process.wait()
        os.close(master)


def _talk(master: int, answers: Answers) -> bytes:
    """Read what a process writes until it ends, and answer its questions."""
    out, answered = b"", 0
    end = time.monotonic() + HANG
    while True:
        ready, _, _ = select.select([master], [], [], max(end - time.monotonic(), 0))
        if not ready:
            raise TimeoutError(f"still running after {HANG} s: {out[-2000:]!r}")
        try:
            read = os.read(master, 1 << 16)
        except OSError:  # Linux: nobody holds the other end any more
            return out
        if not read:
            return out
        out += read
        asked = [(found, answer) for question, answer in answers.items() for found in question.finditer(out, answered)]
        for found, answer in sorted(asked, key=lambda each: each[0].start()):  # several may come at once
            answered = found.end()
            os.write(master, answer.replace(b"NUMBER", b"".join(found.groups())))
