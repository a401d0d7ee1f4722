"""Real processes of the command line, killed with SIGKILL: after a time, or at a step of their work on files."""

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

DYING = Path(__file__).with_name("dying.py")
LIMIT = 300  # seconds: a process that takes longer hangs


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
    """When a process is to die: some seconds after its start, or at a step of its work below a folder (0: never)."""

    seconds: float = LIMIT
    step: int = 0


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
        try:
            out, err = process.communicate(timeout=moment.seconds if moment else LIMIT)
        except subprocess.TimeoutExpired:
            hung = moment is None or moment.seconds >= LIMIT
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            assert not hung, f"hung: {self.arguments}\n{out}{err}"
        return Ended(process.returncode, out, err)

    def measure(self) -> tuple[float, int]:
        """Run it undisturbed; return its seconds and steps."""
        start = time.monotonic()
        process = self.start(step=0)
        _, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, err
        return time.monotonic() - start, int(err.split()[-1])


def moments(seconds: float, steps: int, *, seed: int) -> Iterator[Moment]:
    """Draw moments without end: every other one a time in a whole run, the others a step of its work on files."""
    dice = random.Random(seed)
    while True:
        yield Moment(step=dice.randint(1, steps))
        yield Moment(seconds=dice.uniform(0, seconds))


def survive(
    fresh: Callable[[int], Command],
    drawn: Iterator[Moment],
    *,
    kills: int,
    between: Callable[[Command, int], None],
    finish: Callable[[Command, Ended], None],
) -> int:
    """Kill a command, look at what is left, and run it again until it ends by itself; return how many kills it took.

    Args:
        fresh: Makes try number n of the command, in a state of its own.
        drawn: When it dies; one try may be killed more than once.
        kills: How many kills are wanted.
        between: Looks at what a killed one has left; is told how often it was killed.
        finish: Looks at what is there in the end.
    """
    done = 0
    for number in range(20 * kills):
        command = fresh(number)
        again = 0
        while (ended := command.run(next(drawn))).killed and again < 1 + number % 3:
            again += 1
            between(command, again)
        if ended.killed:
            again += 1
            between(command, again)
            ended = command.run()
        finish(command, ended)
        done += again
        if done >= kills:
            return done
    raise AssertionError(f"{done} kills of {kills}: the moments lie behind the end")
