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
    """An error as it travels: texts, from which the receiver makes it anew.

    Args:
        kind: Name of the error's class; empty for one that is no `ScingError`.
        what: As `ScingError.what`.
        remedy: As `ScingError.remedy`.
        number: Of the signal, for an interruption.
        host: Where it was raised.
        rank: Of the process.
    """

    kind: str
    what: str
    remedy: str
    number: int
    host: str
    rank: int

    @classmethod
    def of(cls, error: BaseException, *, host: str, rank: int) -> SentError:
        """Describe an error."""
        if isinstance(error, KeyboardInterrupt):
            error = InterruptionError("Interrupted.", "", number=2)
        if isinstance(error, ScingError):
            return cls(type(error).__name__, error.what, error.remedy, getattr(error, "number", 0), host, rank)
        return cls("", f"{type(error).__name__}: {error}", "", 0, host, rank)

    @classmethod
    def read(cls, text: bytes) -> SentError:
        """Read what `text` has written."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self))

    def raised(self, host: str) -> Exception:
        """Return the error to raise on a host; one of another host names that."""
        if self.kind == InterruptionError.__name__:
            return InterruptionError(self.what, self.remedy, number=self.number)
        where = f"On {self.host}: " if host != self.host else ""
        if not self.kind:
            return RuntimeError(f"{where}{self.what}")
        known = getattr(errors, self.kind, ScingError)
        if not (isinstance(known, type) and issubclass(known, ScingError)):
            known = ScingError
        made: Exception = known(f"{where}{self.what}", self.remedy)
        return made
