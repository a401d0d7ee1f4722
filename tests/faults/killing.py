"""Real processes of the command line, killed with SIGKILL: after a time, after a save, or at a step of their work."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from patience import HANG

DYING = Path(__file__).with_name("dying.py")


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal) and what it said."""

    code: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclasses.dataclass(frozen=True)
class Moment:
    """When a process is to die.

    Args:
        seconds: So long after its start, or after the last of the changes.
        step: At this step of its work below the watched folder; 0 for none.
        changes: After so many changes of which files lie in the watched folder's `state`.
    """

    seconds: float = HANG
    step: int = 0
    changes: int = 0


@dataclasses.dataclass(frozen=True)
class Command:
    """One command line as a process of its own: in its own session, with a cache of its own.

    Args:
        arguments: What stands behind `scing`.
        here: The folder it is started in; its cache is there too.
        watched: The folder whose files make its steps.
    """

    arguments: Sequence[object]
    here: Path
    watched: Path

    def start(self, *, step: int | None = None) -> subprocess.Popen[str]:
        """Start it; with a step, it dies there by itself (0: it counts the steps)."""
        python = [sys.executable, "-m", "scing_cli"]
        if step is not None:
            python = [sys.executable, str(DYING), str(step), str(self.watched)]
        return subprocess.Popen(
            [*python, *map(str, self.arguments)],
            cwd=self.here,
            env={**os.environ, "SCING_CACHE": str(self.here / "cache"), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, moment: Moment | None = None) -> Ended:
        """Run it to its end, or to the moment of its death."""
        process = self.start(step=moment.step if moment and moment.step else None)
        seconds = moment.seconds if moment and changed(process, self.watched / "state", moment.changes) else HANG
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            hung = seconds >= HANG
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            assert not hung, f"hung: {self.arguments}\n{out}{err}"
        return Ended(process.returncode, out, err)

    def measure(self) -> tuple[float, int]:
        """Run it undisturbed; return its seconds and steps."""
        start = time.monotonic()
        process = self.start(step=0)
        _, err = process.communicate(timeout=HANG)
        assert process.returncode == 0, err
        return time.monotonic() - start, int(err.split()[-1])


def changed(process: subprocess.Popen[str], folder: Path, count: int) -> bool:
    """Wait until other files lie in a folder than before, so many times; False where the process does not live to it."""
    end = time.monotonic() + HANG
    before = names(folder)
    while count and process.poll() is None and time.monotonic() < end:
        time.sleep(0.0005)
        now = names(folder)
        count -= now != before
        before = now
    return not count


def names(folder: Path) -> set[str]:
    """Return the names of a folder's files; none where there is no such folder."""
    try:
        return {file.name for file in folder.iterdir()}
    except FileNotFoundError:
        return set()


def moments(seconds: float, steps: int, *, changes: int = 0, seed: int) -> Iterator[Moment]:
    """Draw moments without end.

    Args:
        seconds: Of a whole run: some moments are a time in it.
        steps: Of its work on files: others are one of them.
        changes: Others yet are right after one of the first so many changes of `state`; 0 for no such moments.
        seed: Of the draw.
    """
    dice = random.Random(seed)
    while True:
        if changes:
            yield Moment(changes=dice.randint(1, changes), seconds=dice.uniform(0, 0.02))
        yield Moment(step=dice.randint(1, steps))
        yield Moment(seconds=dice.uniform(0, seconds))


def survive(
    fresh: Callable[[int], Command],
    drawn: Iterator[Moment],
    *,
    kills: int,
    each: Sequence[int] = (2, 3, 4),
    between: Callable[[Command, Ended], None],
    finish: Callable[[Command, Ended], None],
) -> int:
    """Kill a command, look at what is left, and run it again until it ends by itself; return how many kills it took.

    Args:
        fresh: Makes try number n of the command, in a state of its own.
        drawn: When it dies.
        kills: How many kills are wanted.
        each: How often the tries are killed at most, in turn.
        between: Looks at what a killed one has left, and at what it had said.
        finish: Looks at what is there in the end.
    """
    done = 0
    for number in range(20 * kills):
        command = fresh(number)
        again, most = 0, each[number % len(each)]
        while again < most and (ended := command.run(next(drawn))).killed:
            again += 1
            between(command, ended)
        if ended.killed:
            ended = command.run()
        finish(command, ended)
        done += again
        if done >= kills:
            return done
    raise AssertionError(f"{done} kills of {kills}: the moments lie behind the end")
