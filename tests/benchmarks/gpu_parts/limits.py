"""Time limits and errors of parts: a part that fails or runs out of time is reported, and the next one runs."""

from __future__ import annotations

import json
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from gpu_parts.ground import Figure, Ground
from scing_cli.core.errors import InterruptionError

AGAIN = 1.0  # seconds from one alarm to the next
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class LateError(BaseException):
    """The time is over. No Exception: a part, or a library, that catches those shall not go on."""


class Limit:
    """An alarm that raises `LateError` in the main thread, each second until it is taken off.

    Whoever swallows one gets another; a call into a library is waited for. A context: inside it Ctrl-C and SIGTERM end
    the part that runs in the same way, and `over` says that no other shall begin.
    """

    def __init__(self) -> None:
        self.over: int | None = None  # the signal that ends all
        self._armed = False
        self._why = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Limit:
        self._before = {number: signal.signal(number, self._end) for number in SIGNALS}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._late)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.disarm()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def arm(self, seconds: float, why: str) -> None:
        """Raise `LateError` from then on."""
        self._why, self._armed = why, True
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), AGAIN)

    def disarm(self) -> None:
        """Raise no more."""
        self._armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def heard(self, error: BaseException) -> None:
        """Note a signal that a training heard in our place."""
        if isinstance(error, KeyboardInterrupt | InterruptionError):
            self.over = getattr(error, "number", signal.SIGINT)

    def _late(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            raise LateError(self._why)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.over = number
        if self._armed:
            self.arm(0, signal.Signals(number).name)


def told(error: BaseException) -> dict[str, Any]:
    """Return an error, and where it came from, as fields of a JSON line."""
    where = [f"{Path(row.filename).name}:{row.lineno}" for row in traceback.extract_tb(error.__traceback__)][-6:]
    return {"error": f"{type(error).__name__}: {error}"[:2_000], "where": where}


def guarded(ground: Ground, name: str, figures: Iterator[Figure]) -> Iterator[Figure]:
    """Yield figures; an error prints a JSON line, and costs no figures but those that were to come after it here."""
    try:
        yield from figures
    except Exception as error:  # noqa: BLE001 - what comes next does not need them
        print(json.dumps({"name": name, **told(error)}), flush=True)
    ground.forget_peak()
