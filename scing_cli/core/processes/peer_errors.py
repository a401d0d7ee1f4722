"""Errors on their way from one process to the others, and the error where a process left without one."""

from __future__ import annotations

import dataclasses
import json

from scing_cli.core import errors
from scing_cli.core.errors import InterruptionError, ScingError

AGAIN = (
    "Run the same command again, without --no-resume: it goes on from the last saved step. With --max-restarts N, it "
    "does so by itself. "
    "If processes are ended without a message, the machine may lack memory."
)


class PeerLostError(ScingError):
    """Another process of this training has ended, or cannot be reached."""


@dataclasses.dataclass(frozen=True)
class SentError:
    """An error as it travels, to other processes or to the launcher: texts, from which the receiver makes it anew.

    Args:
        kind: Name of the error's class; empty for one that is no `ScingError`.
        what: As `ScingError.what`.
        remedy: As `ScingError.remedy`.
        number: Of the signal, for an interruption; the code of an exit without a message.
        again: As `InterruptionError.again`.
        host: Where it was raised.
        rank: Of the process.
    """

    kind: str
    what: str
    remedy: str
    number: int
    again: bool
    host: str
    rank: int

    @classmethod
    def of(cls, error: BaseException, *, host: str, rank: int) -> SentError:
        """Describe an error."""
        if isinstance(error, SystemExit):
            return cls(SystemExit.__name__, "", "", error.code if isinstance(error.code, int) else 1, False, host, rank)
        if isinstance(error, KeyboardInterrupt):
            error = InterruptionError("Interrupted.", "", number=2)
        if not isinstance(error, ScingError):
            return cls("", f"{type(error).__name__}: {error}", "", 0, False, host, rank)
        number, again = getattr(error, "number", 0), getattr(error, "again", False)
        return cls(type(error).__name__, error.what, error.remedy, number, again, host, rank)

    @classmethod
    def read(cls, text: bytes | str) -> SentError:
        """Read what `text` has written."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def left_behind(self) -> bool:
        """True if the process ended because another one had left."""
        return self.kind == PeerLostError.__name__

    @property
    def interrupted(self) -> bool:
        """True for the interruption by a signal."""
        return self.kind == InterruptionError.__name__

    def raised(self, host: str) -> BaseException:
        """Return the error to raise on a host; one of another host names that."""
        if self.kind == SystemExit.__name__:
            return SystemExit(self.number)
        if self.interrupted:
            return InterruptionError(self.what, self.remedy, number=self.number, again=self.again)
        where = f"On {self.host}: " if host != self.host else ""
        if not self.kind:
            return RuntimeError(f"{where}{self.what}")
        known = getattr(errors, self.kind, ScingError)
        if not (isinstance(known, type) and issubclass(known, ScingError)):
            known = ScingError
        made: ScingError = known(f"{where}{self.what}", self.remedy)
        return made
