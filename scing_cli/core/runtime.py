"""Precision of the towers, random seeds, and progress reports."""

from __future__ import annotations

import contextlib
import hashlib
import operator
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from scing_cli.core.errors import ScingError

if TYPE_CHECKING:
    import torch


class Advance(Protocol):
    """Moves a progress bar on by `steps`; `text` (the current loss, say) replaces the text next to it."""

    def __call__(self, steps: int, text: str = "") -> None:
        """Advance the bar."""


class Reporter(Protocol):
    """Where core tells what it does; the command line draws it, a library user may ignore it."""

    def progress(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Open a progress bar of `total` steps; the yielded function advances it."""

    def note(self, text: str) -> None:
        """Say something worth knowing."""

    def warn(self, text: str) -> None:
        """Say something that may be wrong."""


def _stay(steps: int, text: str = "") -> None:
    del steps, text


class Silent:
    """A reporter that says nothing."""

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        """Open a bar that nobody sees."""
        del description, total
        yield _stay

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context for the towers; everything outside it stays float32 (R17)."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def draw_seed(*key: int | str) -> int:
    """Return the 63-bit seed of a key such as (seed, stage, epoch, step, purpose).

    Every draw depends on its key alone, so a resumed run needs no generator state. NumPy integers count as int.

    >>> draw_seed(0, "train-prompts", 3, 17) == draw_seed(0, "train-prompts", 3, 17)
    True
    """
    # The type is part of the key: 1 and "1" give different seeds.
    text = "\0".join(f"str:{part}" if isinstance(part, str) else f"int:{operator.index(part)}" for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new torch generator seeded by `draw_seed(*key)`."""
    import torch

    return torch.Generator(device=device).manual_seed(draw_seed(*key))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator (it initialises modules) within a block; restore its state afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Flush standard output at the end of a block that writes to it.

    Raises:
        ScingError: If it cannot be written, as on a full disk. A closed pipe stays a BrokenPipeError.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ScingError(
            f"Standard output cannot be written: {error.strerror}.", "Free some disk space, or redirect it elsewhere."
        ) from error
