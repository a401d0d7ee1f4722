"""What was given on the command line, checked; text forms such as 30,50 or X,Y,W,H, parsed."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.errors import SettingError
from scing_cli.core.runtime import DEVICES, PRECISIONS


def only_with(option: str, *, wanted: bool, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, which have an effect with `option` only.

    Raises:
        SettingError: If one was given without it.
    """
    picked = {name: value for name, value in given.items() if value is not None}
    if picked and not wanted:
        names = _options(picked)
        raise SettingError(
            f"{names} {_have(picked)} no effect without {option}.", f"Add {option}, or leave {names} out."
        )
    return picked


def not_with(option: str, given: Mapping[str, Any], **usual: tuple[Any, Any]) -> None:
    """Refuse options that have no effect with `option`.

    Args:
        option: What was asked for.
        given: Options that are None where they were not given.
        usual: Options with what they are and what they are by default.

    Raises:
        SettingError: Naming those that were given.
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
    """Check the common options where nothing is computed; whether the device is there does not matter then.

    Raises:
        SettingError: If a name is unknown, or a number too small.
    """
    for option, name, known in (("--device", device, DEVICES), ("--precision", precision, PRECISIONS)):
        if name not in known:
            raise SettingError(f"{option} {name!r} is unknown.", f"Known: {', '.join(known)}.")
    for option, number in (("--workers", workers), ("--batch-size", batch_size)):
        if number is not None and number < 1:
            raise SettingError(f"{option} {number}: must be at least 1.")


def one_of(option: str, value: str | None, known: Sequence[str]) -> None:
    """Check that an option, where it was given, is one of the known words.

    Raises:
        SettingError: Naming those.
    """
    if value is not None and value not in known:
        raise SettingError(f"{option} {value!r} is unknown.", f"Known: {', '.join(known)}.")


def whole_numbers(option: str, text: str, *, count: int | None = None) -> tuple[int, ...]:
    """Parse whole numbers between commas; an empty text is none of them.

    Raises:
        SettingError: If a part is no whole number, or there are not `count` of them.

    >>> whole_numbers("--milestones", "30,50")
    (30, 50)
    """
    try:
        numbers = tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        raise SettingError(f"{option} {text}: must be whole numbers between commas, as in 30,50.") from None
    if count is not None and len(numbers) != count:
        raise SettingError(f"{option} {text}: must be {count} whole numbers between commas.")
    return numbers


def parse_box(text: str | None) -> tuple[int, int, int, int] | None:
    """Parse X,Y,W,H.

    Raises:
        SettingError: If it is not four whole numbers.
    """
    if text is None:
        return None
    left, top, width, height = whole_numbers("--box", text, count=4)
    return left, top, width, height


def standard_input() -> Iterator[str]:
    """Yield the lines of standard input as paths: names that are no text of this system's encoding come through."""
    yield from map(os.fsdecode, sys.stdin.buffer) if hasattr(sys.stdin, "buffer") else sys.stdin


def paths_given(paths: Sequence[Path], lines: Iterable[str]) -> list[Path]:
    """Return the paths that were named; `-` stands for those on standard input, one a line.

    Raises:
        SettingError: If `-` was given and standard input holds no path.

    >>> paths_given([Path("a.jpg"), Path("-")], ["b.jpg"])
    [PosixPath('a.jpg'), PosixPath('b.jpg')]
    """
    found: list[Path] = []
    for path in paths:
        if path != Path("-"):
            found.append(path)
            continue
        read = [Path(line.rstrip("\r\n")) for line in lines if line.strip()]
        if not read:
            raise SettingError("-: no path came on standard input.", "For example: ls *.jpg | scing search - ...")
        found += read
    return found
