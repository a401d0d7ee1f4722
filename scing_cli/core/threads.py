"""How many threads compute and decode images, and what a thread of a pool must not do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from scing_cli.environment import most_threads


def default_threads() -> int:
    """Return the number of compute threads: `OMP_NUM_THREADS` if it is usable, else the cores this process may use."""
    setting = os.environ.get("OMP_NUM_THREADS", "")
    number = int(setting) if setting.isdecimal() and len(setting) < 10 else 0
    return number if 1 <= number <= most_threads() else _cores()


def default_workers() -> int:
    """Return the number of threads that decode images: the cores this process may use, at most 16."""
    return min(_cores(), 16)


def _cores() -> int:
    # The affinity respects taskset and the CPU set of a container; macOS and Windows do not have it.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Turn SystemExit within a block into RuntimeError; used for work in a thread pool."""
    try:
        yield
    except SystemExit as error:  # from a pool's thread it would end the program without a message
        raise RuntimeError(f"A thread tried to exit, with {error.code!r}.") from error
