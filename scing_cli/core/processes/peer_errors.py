"""Errors on their way from one process to the others, and the error where a process left without one."""

from __future__ import annotations

import dataclasses
import pickle

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
    """An error as it travels: exceptions themselves lose their cause, and some cannot be read again.

    Args:
        error: The error; of a kind that is no `ScingError`, its text.
        cause: What caused it.
        host: Where it was raised.
        rank: Of the process.
    """

    error: Exception
    cause: BaseException | None
    host: str
    rank: int

    @classmethod
    def of(cls, error: BaseException, *, host: str, rank: int) -> SentError:
        """Pack an error."""
        if isinstance(error, KeyboardInterrupt):
            error = InterruptionError("Interrupted.", "", number=2)
        cause = error.__cause__ if _travels(error.__cause__) else None
        if not isinstance(error, Exception) or not _travels(error):
            error = _plain(error)
        return cls(error, cause, host, rank)

    def raised(self, host: str) -> Exception:
        """Return the error to raise on a host; one of another host names that."""
        error = self.error
        if isinstance(error, ScingError) and host != self.host and not isinstance(error, InterruptionError):
            error.what = f"On {self.host}: {error.what}"
            error.args = (error.what, error.remedy)
        error.__cause__ = self.cause
        return error


def _plain(error: BaseException) -> Exception:
    if isinstance(error, InterruptionError):
        return _StoppedError(error.what, error.remedy, error.number)
    if isinstance(error, ScingError):
        return ScingError(error.what, error.remedy)
    return RuntimeError(f"{type(error).__name__}: {error}")


class _StoppedError(InterruptionError):
    """An interruption whose arguments have a place, as pickle needs."""

    def __init__(self, what: str, remedy: str, number: int = 2) -> None:
        super().__init__(what, remedy, number=number)
        self.args = (what, remedy, number)


def _travels(error: object) -> bool:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever an exception's own code raises
        return False
    return True
