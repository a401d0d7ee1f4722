"""Handle Ctrl-C and SIGTERM during a training: the first signal waits until weights are consistent."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from scing_cli.core.processes import ProcessGroup

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Context manager: raises KeyboardInterrupt on Ctrl-C or SIGTERM, but not inside a `whole` block.

    A second signal interrupts at once. Outside the context, and in threads other than the main one, signals keep their
    handlers. A signal that the process was started to ignore stays ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None  # of the first signal received
        self.again = False  # a second signal was received: stop without saving
        self._whole = False
        self._before: list[tuple[int, object]] = []

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = [(number, signal.signal(number, self._receive)) for number in handled]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]  # returned by signal.signal

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Delay the first signal until the end of the block, or of the outermost of several.

        Raises:
            KeyboardInterrupt: After the block, if a signal was received.
        """
        before, self._whole = self._whole, True
        try:
            yield
        finally:
            self._whole = before
        if self.number is not None and not before:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Only note the first signal; the block asks for it with `meet`."""
        before, self._whole = self._whole, True
        try:
            yield
        finally:
            self._whole = before

    def meet(self, group: ProcessGroup) -> None:
        """Stop all processes of a group after the same step, if any of them has received a signal; nothing alone.

        Raises:
            KeyboardInterrupt: If one has.
        """
        number = group.highest(self.number or 0) if group.size > 1 else 0
        if number:
            self.number = number
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        # prints nothing: a closed stream would raise another error here
        del frame
        self.again = self.number is not None
        self.number = number
        if self.again or not self._whole:
            raise KeyboardInterrupt
