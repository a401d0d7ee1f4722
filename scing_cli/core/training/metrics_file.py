"""The course of a run's training: metrics.jsonl."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import RunError, ScingError
from scing_cli.core.safe_reading import check_ordinary, read_limited

REMEDY = "Move it away and run the command again: it only tells the course of the training."


class MetricsLog:
    """Appends one JSON object a line to metrics.jsonl."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def restart(self, stage: str, *, after: int = 0) -> None:
        """Take out what an earlier try of the same stage has left beyond some epochs, and a last line cut short.

        Raises:
            RunError: If the log cannot be read, or another line is no JSON object; the message names it.
        """
        if not self.path.exists():
            return
        try:
            check_ordinary(self.path)
            content = read_limited(self.path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"{self.path} cannot be read: {reason}.", REMEDY) from error
        lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
        rows = [self._row(line, number) for number, line in enumerate(lines, 1)]
        kept = b"".join(
            line for line, row in zip(lines, rows, strict=True) if row.get("stage") != stage or row["epoch"] <= after
        )
        if kept != content:
            with replacing(self.path) as temporary:
                temporary.write_bytes(kept)

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        """Return a line as it was written."""
        try:
            row = dict(json.loads(line.decode("utf-8")))
            return {**row, "epoch": int(row.get("epoch", 0))}
        except (ValueError, TypeError, RecursionError) as error:
            raise RunError(f"{self.path} is damaged in line {number}: {error}.", REMEDY) from error

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; numbers are written as they are.

        Raises:
            ScingError: If the file cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(dict(row), allow_nan=False) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ScingError(f"Cannot write {self.path}: {error.strerror}.", "Make room there.") from error
