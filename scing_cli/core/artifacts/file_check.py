"""Check the content of a JSON file against its schema, once while the file is unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli import __version__
from scing_cli.core.artifacts.files import checked_once
from scing_cli.core.errors import RunError


def check_content(kind: str, content: Mapping[str, Any], source: Path, *, remedy: str) -> None:
    """Check that every value of a file is one that this program can have written.

    Args:
        kind: A key of `schemas.KINDS`.
        content: The file's content, whose checksum was verified.
        source: The file.
        remedy: What to do if a value is invalid.

    Raises:
        RunError: If a value is missing or invalid; the message names the field and the value.
    """
    fault = ""

    def check() -> bool:
        nonlocal fault
        # pydantic takes a tenth of a second to import: a search checks each file only once
        from scing_cli.core.artifacts.schema_faults import find_fault

        fault = find_fault(kind, content)
        return not fault

    try:
        valid = checked_once(source, f"schema of {kind}, {__version__}", check)
    except OSError:  # another process has replaced or removed the file
        valid = check()
    if not valid:
        raise RunError(f"{source} has an invalid value: {fault}.", remedy)
