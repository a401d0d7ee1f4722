"""Log of a training in the run folder: metrics.jsonl, one row per epoch and stage."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import RunError, ScingError
from scing_cli.core.safe_reading import check_ordinary, read_limited

REMEDY = "Move it away and run the command again: it is a log only, and no command needs it."


class MetricsLog:
    """Appends JSON objects to metrics.jsonl, one per line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def restart(self, stage: str, *, after: int = 0) -> None:
        """Remove the rows of a stage after an epoch, and an incomplete last line.

        Args:
            stage: The stage that is trained again.
            after: Last epoch whose row stays.

        Raises:
            RunError: If the log cannot be read, or a line is not a JSON object; the message names the line.
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
        remaining = b"".join(
            line for line, row in zip(lines, rows, strict=True) if row.get("stage") != stage or row["epoch"] <= after
        )
        if remaining != content:
            with replacing(self.path) as temporary:
                temporary.write_bytes(remaining)

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        """Parse a line."""
        try:
            row = dict(json.loads(line.decode("utf-8")))
            return {**row, "epoch": int(row.get("epoch", 0))}
        except (ValueError, TypeError, RecursionError) as error:
            raise RunError(f"{self.path} is damaged in line {number}: {error}.", REMEDY) from error

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row.

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
