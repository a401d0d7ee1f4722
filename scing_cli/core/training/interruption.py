"""Ctrl-C and SIGTERM while a training runs: the first is put off while weights change, the second is not."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns the first Ctrl-C or SIGTERM into a KeyboardInterrupt, never in the middle of what is `whole`.

    A context: outside it, and in threads other than the main one, signals do what they did; one that the process was
    started to ignore stays ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal that has come
        self.again = False  # a second one has come: nothing more is to be done
        self._whole = False
        self._before: list[tuple[int, object]] = []

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = [(number, signal.signal(number, self._come)) for number in heard]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself gave

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Put a first signal off until the block has ended.

        Raises:
            KeyboardInterrupt: After the block, if a signal came during it.
        """
        self._whole = True
        try:
            yield
        finally:
            self._whole = False
        if self.number is not None:
            raise KeyboardInterrupt

    def _come(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; nothing is said here, as a stream that is closed would raise something else."""
        del frame
        self.again = self.number is not None
        self.number = number
        if self.again or not self._whole:
            raise KeyboardInterrupt
