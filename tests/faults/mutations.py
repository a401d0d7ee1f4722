"""Random damage to files, by seed, and the result of reading them: refused with one message, or read as before."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.hostile import deadline
from patience import HANG

from scing_cli.core.artifacts import with_checksum
from scing_cli.core.errors import ScingError
from scing_cli.core.index.index_stamp import MAGIC, TAIL

DRAWN = ("one bit", "some bytes", "zeros", "cut", "longer")
ONCE = ("last byte", "empty")
FINE = ("refused", "passed over", "equal")
CLOCK = itertools.count(2_000_000_000)  # every file that is written here has a time of its own


@dataclasses.dataclass(frozen=True)
class PassedOver:
    """What a way returns that does without a damaged file and says so.

    Args:
        result: What it made anew; None where something else serves.
    """

    result: Any = None


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A file's content as it was damaged.

    Args:
        kind: How.
        seed: Draws it anew.
        content: What is in the file now.
    """

    kind: str
    seed: int
    content: bytes


def damage(content: bytes, kind: str, seed: int, upto: int | None = None) -> Mutation:
    """Damage a content in one way, among its first bytes if `upto` is given; it is never the same afterwards."""
    dice = random.Random(f"{kind} {seed}")
    for _ in range(100):
        changed = _damaged(content, kind, dice, min(upto or len(content), len(content)))
        if changed != content:
            return Mutation(kind, seed, changed)
    raise ValueError(f"{kind} {seed} changes nothing")


def _damaged(content: bytes, kind: str, dice: random.Random, size: int) -> bytes:
    own = bytearray(content)
    if kind == "one bit":
        own[dice.randrange(size)] ^= 1 << dice.randrange(8)
    elif kind == "some bytes":
        for _ in range(dice.randint(1, 8)):
            own[dice.randrange(size)] = dice.randrange(256)
    elif kind == "zeros":
        first = dice.randrange(size)
        last = min(size, first + dice.randint(1, 64))
        own[first:last] = bytes(last - first)
    elif kind == "cut":
        del own[dice.randrange(size) :]
    elif kind == "longer":
        own += dice.randbytes(dice.randint(1, 64))
    elif kind == "last byte":
        del own[-1:]
    elif kind == "empty":
        own.clear()
    return bytes(own)


def mutations(content: bytes, count: int, seed: int, upto: int | None = None) -> Iterator[Mutation]:
    """Yield the damages that need no draw, then drawn ones, `count` in all, each kind as often as the others."""
    for kind in ONCE:
        yield damage(content, kind, seed)
    kinds = itertools.cycle(DRAWN)
    for number in range(count - len(ONCE)):
        yield damage(content, next(kinds), seed + number, upto)


def newer(content: bytes) -> bytes:
    """Return a with_checksum JSON, or an index with its stamp, as a newer version would write it."""
    if not content.endswith(MAGIC):
        return json.dumps(with_checksum(json.loads(content) | {"format": 3})).encode()
    length = int.from_bytes(content[-TAIL:-8], "little")
    text = newer(content[-TAIL - length : -TAIL])
    return content[: -TAIL - length] + text + len(text).to_bytes(8, "little") + MAGIC


def put(place: Path, content: bytes) -> None:
    """Write a file that no memory of an earlier one can be taken for."""
    place.write_bytes(content)
    moment = next(CLOCK)
    os.utime(place, (moment, moment))


@contextlib.contextmanager
def limited(seconds: int = HANG) -> Iterator[None]:
    """End what does not end: by an error where Python still runs, else the whole process, with its stack."""
    faulthandler.dump_traceback_later(seconds + 60, exit=True)
    try:
        with deadline(seconds):
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def outcome(read: Callable[[], Any], expected: Any, names: tuple[str, ...]) -> str:
    """Read once and say what came of it: `equal`, `refused`, `passed over` or what is wrong.

    Args:
        read: Reads as a command does.
        expected: What it should return.
        names: One of them stands in the message.
    """
    try:
        with limited():
            found = read()
    except ScingError as error:
        if not any(name in str(error) for name in names):
            return f"no file is named: {error}"
        return "refused" if error.remedy else f"no remedy: {error}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    if isinstance(found, PassedOver) and found.result in (None, expected):
        return "passed over"
    return "equal" if found == expected else "another result, and not a word"


class Tally:
    """Counts what was tried; a line for each artefact."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.wrong: list[str] = []

    def add(self, artefact: str, mutation: Mutation, results: list[str]) -> None:
        """Count one damaged file by all that its readers said: the worst of it."""
        worst = [result for result in results if result not in FINE]
        result = "wrong" if worst else next(fine for fine in FINE if fine in results)
        self.counts[artefact, mutation.kind, result] += 1
        if worst:
            self.wrong.append(f"{artefact}, {mutation.kind}, seed {mutation.seed}: {worst[0][:300]}")

    def total(self) -> int:
        """Return how many files were tried."""
        return self.counts.total()

    def found(self, kind: str, result: str) -> int:
        """Return how many files of a kind of damage came to a result."""
        return sum(count for (_, own, end), count in self.counts.items() if (own, end) == (kind, result))

    def table(self) -> str:
        """Return a table: of each artefact and each kind of damage tried and what came of it."""
        artefacts = list(dict.fromkeys(artefact for artefact, _, _ in self.counts))
        kinds = list(dict.fromkeys(kind for _, kind, _ in self.counts))
        rows = [["tried/refused/passed over/equal", *kinds, "all"]]
        for name, some in (*((artefact, [artefact]) for artefact in artefacts), ("all", artefacts)):
            rows += [[name, *(self._cell(some, [kind]) for kind in kinds), self._cell(some, kinds)]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(line.rstrip() for line in lines)

    def _cell(self, artefacts: list[str], kinds: list[str]) -> str:
        sums = {
            result: sum(self.counts[artefact, kind, result] for artefact in artefacts for kind in kinds)
            for result in (*FINE, "wrong")
        }
        tried = sum(sums.values())
        if not tried:
            return ""
        wrong = f" WRONG {sums['wrong']}" if sums["wrong"] else ""
        return f"{tried}/{'/'.join(str(sums[result]) for result in FINE)}{wrong}"
