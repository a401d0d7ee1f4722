"""The reporter that library functions use where the caller gives none."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings

from scing_cli.core.errors import ScingWarning
from scing_cli.core.runtime import Advance, Reporter, Silent

PACKAGE = "scing_cli"
PASSED = (PACKAGE, "contextlib")  # a `with` block of this package is entered by the latter


class LibraryReporter(Silent):
    """The library's default: warnings are Python's own, notes go to the logger `scing_cli`, progress is not shown."""

    def note(self, text: str) -> None:
        """Log at the level INFO."""
        logging.getLogger(PACKAGE).info(text)

    def warn(self, text: str) -> None:
        """Warn at the line outside this package that called it."""
        frame, level = sys._getframe(1), 2
        while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in PASSED:
            frame, level = frame.f_back, level + 1
        warnings.warn(text, ScingWarning, stacklevel=level)


class Once:
    """Passes everything on to another reporter, but each warning only the first time.

    Args:
        reporter: Receives it.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._given: set[str] = set()

    def progress(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Show progress."""
        return self._reporter.progress(description, total)

    def note(self, text: str) -> None:
        """Pass a note on."""
        self._reporter.note(text)

    def warn(self, text: str) -> None:
        """Pass a warning on, unless it was given before."""
        if text not in self._given:
            self._given.add(text)
            self._reporter.warn(text)


LIBRARY_REPORTER = LibraryReporter()
