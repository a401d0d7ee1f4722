"""Check options of the command line, and parse text values such as 30,50 or X,Y,W,H."""

from __future__ import annotations

import codecs
import io
import itertools
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from scing_cli.core.devices import DEVICES, PRECISIONS
from scing_cli.core.errors import SettingError


def only_with(option: str, *, wanted: bool, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given; they have an effect only with `option`.

    Args:
        option: The option that they need.
        wanted: Whether that option was given.
        given: Values by name; None if an option was not given.

    Raises:
        SettingError: If one was given without `option`.
    """
    picked = {name: value for name, value in given.items() if value is not None}
    if picked and not wanted:
        names = _options(picked)
        raise SettingError(
            f"{names} {_have(picked)} no effect without {option}.", f"Add {option}, or leave {names} out."
        )
    return picked


def not_with(option: str, given: Mapping[str, Any], **usual: tuple[Any, Any]) -> None:
    """Check that no option was given that has no effect with `option`.

    Args:
        option: The option that was given.
        given: Values by name; None if an option was not given.
        usual: Value and default by name, for options that are never None.

    Raises:
        SettingError: If there are such options; the message names them.
    """
    named = [name for name, value in given.items() if value is not None]
    named += [name for name, (value, default) in usual.items() if value != default]
    if named:
        names = _options(named)
        raise SettingError(
            f"{names} {_have(named)} no effect with {option}.", f"Leave {names} out, or leave {option} out."
        )


def _options(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _have(names: Collection[str]) -> str:
    return "has" if len(names) == 1 else "have"


def check_machine(device: str, precision: str, workers: int | None, batch_size: int) -> None:
    """Check the common options of a call that computes nothing; the device need not exist.

    Raises:
        SettingError: If a name is unknown or a number is too small.
    """
    for option, name, known in (("--device", device, DEVICES), ("--precision", precision, PRECISIONS)):
        if name not in known:
            raise SettingError(f"{option} {name!r} is unknown.", f"Known: {', '.join(known)}.")
    for option, number in (("--workers", workers), ("--batch-size", batch_size)):
        if number is not None and number < 1:
            raise SettingError(f"{option} {number}: must be at least 1.")


def one_of(option: str, value: str | None, known: Sequence[str]) -> None:
    """Check that the value of an option, if given, is one of the known words.

    Raises:
        SettingError: If it is not; the message lists the known words.
    """
    if value is not None and value not in known:
        raise SettingError(f"{option} {value!r} is unknown.", f"Known: {', '.join(known)}.")


def whole_numbers(option: str, text: str, *, count: int | None = None) -> tuple[int, ...]:
    """Parse whole numbers separated by commas; an empty text has none.

    Raises:
        SettingError: If a part is not a whole number, or there are not `count` of them.

    >>> whole_numbers("--milestones", "30,50")
    (30, 50)
    """
    try:
        numbers = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise SettingError(f"{option} {text}: must be whole numbers separated by commas, as in 30,50.") from None
    if count is not None and len(numbers) != count:
        raise SettingError(f"{option} {text}: must be {count} whole numbers separated by commas.")
    return numbers


def parse_box(text: str | None) -> tuple[int, int, int, int] | None:
    """Parse a box X,Y,W,H in pixels.

    Raises:
        SettingError: If the text is not four whole numbers.
    """
    if text is None:
        return None
    left, top, width, height = whole_numbers("--box", text, count=4)
    return left, top, width, height


def check_exist(paths: Sequence[Path]) -> None:
    """Check that data sets exist.

    Raises:
        DataError: If one is missing.
    """
    for path in paths:
        if not path.exists():
            from scing_cli.core.datasets import locate

            locate(path)


def standard_input() -> Iterator[str]:
    """Yield the lines of standard input as paths, without byte order marks; a zero byte ends a line too.

    Raises:
        SettingError: If it is not a list.
    """
    if not hasattr(sys.stdin, "buffer"):
        yield from (line.removeprefix("\ufeff") for line in sys.stdin)
        return
    # read as bytes: a file name may be invalid in this system's encoding
    for line in _utf8_lines(sys.stdin.buffer):
        if b"\0" in line:
            raise _no_list()
        yield os.fsdecode(line.removeprefix(codecs.BOM_UTF8))  # lists that are joined have a mark at each start


def _utf8_lines(stream: BinaryIO) -> Iterable[bytes]:
    """Return the lines of a stream; a list in UTF-16, which some Windows shells write, is converted."""
    start = stream.readline()
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        start += stream.read()
    if b"\0" not in start:  # a path has no zero byte, and every line end in UTF-16 has one
        return itertools.chain(io.BytesIO(start), stream)
    if not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _between_zeros(start + stream.read())
    try:
        return start.decode("utf-16").encode().splitlines()
    except UnicodeError as error:
        raise SettingError("-: standard input is not a list of paths.", "Write the list in UTF-8.") from error


def _between_zeros(content: bytes) -> list[bytes]:
    """Return the paths of a list that has a zero byte after each, as `find -print0` writes it.

    Raises:
        SettingError: If it is something else, such as a picture.
    """
    paths = content.split(b"\0")
    if not paths[-1].strip():
        paths.pop()
    # text in UTF-16 without its mark is single letters between zero bytes
    listed = all(paths) and max(map(len, paths), default=0) > 1
    if not listed or any(byte < ord(" ") for path in paths for byte in path.replace(b"\n", b"").replace(b"\t", b"")):
        raise _no_list()
    return paths


def _no_list() -> SettingError:
    return SettingError(
        "-: standard input is not a list of paths, one per line.",
        "Write such a list in UTF-8, for example with find; a picture must be in a file.",
    )


def paths_given(paths: Sequence[Path], lines: Iterable[str]) -> list[Path]:
    """Return the given paths; `-` is replaced by the paths on standard input, one per line; `~` is the home folder.

    Raises:
        SettingError: If `-` was given and standard input has no path.

    >>> paths_given([Path("a.jpg"), Path("-")], ["b.jpg"])
    [PosixPath('a.jpg'), PosixPath('b.jpg')]
    """
    found: list[Path] = []
    for path in paths:
        if path != Path("-"):
            found.append(path)
            continue
        read = [_path(line.rstrip("\r\n")) for line in lines if line.strip()]
        if not read:
            raise SettingError("-: there is no path on standard input.", "For example: ls *.jpg | scing search - ...")
        found += read
    return found


def _path(line: str) -> Path:
    path = Path(line)
    return path if not line.startswith("~") or os.path.lexists(path) else Path(os.path.expanduser(path))  # noqa: PTH111
