"""What hostile inputs have in common: files that would run code, and how a command that refuses must end."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pickle
import shutil
import signal
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from patience import HANG
from PIL import Image

from scing_cli.__main__ import main
from scing_cli.core.artifacts import write_json
from scing_cli.core.index.index_stamp import append_stamp, read_stamp

LONGEST = 20_000  # letters of a message, whatever came in
ERRORS = ("surrogateescape", "strict", "backslashreplace")  # of the standard streams, as Python has them

NAMES = (
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt; {{ 7 * 7 }} {% raw %}",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b2J\x85",
    "line\nFORGED: nothing is wrong",
    "return\rFORGED: nothing is wrong",
    "\t\x0b\x0c\x7f",
    "\u202egnp.exe",
    "\u2066left\u2069\u2067",
    "\u200f\u200e\u061c\ufeff",
    "شخص 12",
    "\U0001f469\u200d\U0001f52c",
    "[bold red]rich[/] [link=http://x]",
    ":smile: %s %n {0}",
    "$(touch marker)",
    "; touch marker; |touch marker",
    "`touch marker`",
    "-rf",
    "--output=marker",
    "=cmd()+@x",
    " spaces ",
    "é" * 95,
    "\u2028FORGED\u2029",
)


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def _zip(entries: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as container:
        for name, content in entries.items():
            container.writestr(name, content)
    return written.getvalue()


def _saved(content: object, **options: object) -> bytes:
    written = io.BytesIO()
    torch.save(content, written, **options)
    return written.getvalue()


def _array(bomb: Bomb) -> bytes:
    written = io.BytesIO()
    np.save(written, np.array([bomb, bomb], dtype=object), allow_pickle=True)
    return written.getvalue()


def bombs(marker: Path) -> dict[str, bytes]:
    """Return files that make the marker in whoever unpickles them, by kind."""
    bomb = Bomb(marker)
    plain = pickle.dumps(bomb)
    hidden = OrderedDict({"visual.proj": torch.zeros(2, 2), "logit_scale": torch.zeros(()), "x": bomb})
    script = {"a/data.pkl": plain, "a/constants.pkl": plain, "a/version": b"3\n", "a/byteorder": b"little"}
    return {
        "pickle": plain,
        "pickle, protocol 0": pickle.dumps(bomb, protocol=0),
        "pickle in a dict": pickle.dumps({"state_dict": {"visual.proj": bomb}}),
        "torch": _saved({"state_dict": hidden}),
        "torch, old": _saved(hidden, _use_new_zipfile_serialization=False),
        "TorchScript": _zip({**script, "a/code/__torch__.py": f"import os; os.system('touch {marker}')".encode()}),
        "zip": _zip({"archive/data.pkl": plain, "archive/version": b"3\n"}),
        "npy": _array(bomb),
        "npz": _zip({f"{name}.npy": _array(bomb) for name in ("query", "gallery", "query_identity")}),
    }


def detonate(content: bytes) -> None:
    """Read a file as a careless program does; whatever it raises in the end is of no interest."""
    readers = (
        lambda: pickle.loads(content),
        lambda: torch.load(io.BytesIO(content), weights_only=False),
        lambda: np.load(io.BytesIO(content), allow_pickle=True)["query"],
        lambda: pickle.loads(zipfile.ZipFile(io.BytesIO(content)).read("a/data.pkl")),
    )
    for reader in readers:
        with contextlib.suppress(Exception):
            reader()


def rewrite(file: Path, **changes: object) -> None:
    """Change a JSON object that this program wrote, as a forger does who knows how it is written."""
    content = json.loads(file.read_text(encoding="utf-8"))
    write_json(file, {**content, **changes})


def forged(finished: Path, folder: Path, *, vectors: tuple[bytes, bytes] | None = None, **changes: object) -> Path:
    """Copy the index beside a run, and change fields of its stamp, and bytes of its vectors, as a forger does."""
    for file in finished.parent.glob("gallery.*"):
        shutil.copy(file, folder)
    index = folder / "gallery.faiss"
    stamp, whole = read_stamp(index), index.read_bytes()
    whole = whole[: -16 - int.from_bytes(whole[-16:-8], "little")]
    if vectors:
        assert whole.count(vectors[0]) == 1
        whole = whole.replace(*vectors)
    index.write_bytes(whole)
    append_stamp(index, dataclasses.replace(stamp, **changes))
    return index


class Late(BaseException):
    """Something takes too long; no handler of errors takes it for one."""


@contextlib.contextmanager
def deadline(seconds: int = HANG) -> Iterator[None]:
    """Fail where a block takes longer: what waits for ever must not stop the tests."""

    def ring(*_: object) -> None:
        raise Late(f"no end after {seconds} seconds")

    former = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def picture(number: int, file: Path) -> None:
    """Draw a picture that is its number's own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(number)
    pixels = np.kron(draw.integers(0, 256, (4, 2, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    Image.fromarray(pixels).save(file, format="PNG")


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command wrote, byte for byte."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode() + self.err.decode()


class Screen(io.BytesIO):
    """Bytes that say they go to a terminal."""

    def isatty(self) -> bool:
        return True


def run(*arguments: object, stdin: bytes = b"", terminal: bool = False) -> Said:
    """Run one command in this process, on streams of bytes as a terminal has them; they may say that they are one."""
    names = ("stdin", "stdout", "stderr")
    raw = [io.BytesIO(stdin), Screen() if terminal else io.BytesIO(), io.BytesIO()]
    streams = [io.TextIOWrapper(own, encoding="utf-8", errors=errors) for own, errors in zip(raw, ERRORS, strict=True)]
    before, argv = [getattr(sys, name) for name in names], sys.argv
    heard = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        for name, stream in zip(names, streams, strict=True):
            setattr(sys, name, stream)
        sys.argv = ["scing", *map(str, arguments)]
        main()
    except SystemExit as left:
        code = left.code or 0
    finally:
        sys.argv = argv
        for number, handler in heard:
            signal.signal(number, handler)
        for name, stream in zip(names, before, strict=True):
            setattr(sys, name, stream)
    for stream in streams:
        stream.flush()
    return Said(code, raw[1].getvalue(), raw[2].getvalue())


def harmless(text: str) -> bool:
    """Check that a text, as a terminal gets it, is printable line by line, and no line is one that a name made up."""
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.strip().startswith("FORGED"), line
    return True


def refused(ended, *parts: object) -> bool:
    """Check that a command ended with one message of bounded length that names what it should, and no result."""
    assert ended.code == 2, ended.err[:LONGEST]
    assert ended.out == ""
    assert ended.err.count("Error:") == 1
    assert "Traceback" not in ended.err
    assert len(ended.err) <= LONGEST
    for part in parts:
        assert str(part) in ended.err, ended.err
    return True
