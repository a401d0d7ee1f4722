"""How long tests wait, and how they measure work: no outcome depends on how fast or how busy the machine is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

HANG = 1800  # seconds: a process or a reading that takes longer hangs, on any machine and whatever else that does
UNANSWERED = 100  # seconds: without a limit of ours, a connection that is never answered ends after 127 or more


def unit() -> float:
    """Return the CPU seconds of a fixed piece of work on this machine, about 0.05 on a server of 2024."""
    start = time.process_time()
    sum(number * number for number in range(1_000_000))
    return time.process_time() - start


@contextlib.contextmanager
def at_most(units: float) -> Iterator[None]:
    """Check that a block takes no more CPU time than so many times the fixed piece of work."""
    own, start = unit(), time.process_time()
    yield
    spent = (time.process_time() - start) / own
    assert spent < units, f"took {spent:.1f} units of work, at most {units} were allowed"
