"""JSON files of this program: each contains the digest of its own content, and each has a schema.

A file without a valid checksum is refused. The checksum has the same form in every format version, and is verified
before the version: a damaged `format` is reported as damage, an intact newer one as newer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli import __version__
from scing_cli.core.artifacts.files import checked_once, text_digest, write_text
from scing_cli.core.errors import RunError, one_line
from scing_cli.core.safe_reading import check_ordinary, parse_json, read_limited

FORMAT = 1
CHECKSUM = "self_digest"
REMEDY = "Restore it from a copy, or create it again."


def content_digest(content: Any) -> str:
    """Return the SHA-256 of the JSON form of an object; the order of keys does not matter.

    >>> content_digest({"a": 1, 2: (3,)}) == content_digest({"2": [3], "a": 1})
    True
    """
    # The round trip turns keys into strings and tuples into lists, as reading the file does.
    return text_digest(json.dumps(json.loads(json.dumps(content)), sort_keys=True))


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object with its checksum, which replaces an existing one."""
    bare = {name: value for name, value in content.items() if name != CHECKSUM}
    return {**bare, CHECKSUM: content_digest(bare)}


def checked_json(text: bytes, source: Path, *, remedy: str, newest: int = FORMAT) -> dict[str, Any]:
    """Parse a JSON object with a checksum, verify it, and return the object without it.

    Args:
        text: JSON in UTF-8.
        source: The file, for messages.
        remedy: What to do if the file is damaged.
        newest: The newest format that is read.

    Raises:
        RunError: If the text is not a JSON object, the checksum is missing or wrong, or the format is newer.
    """
    try:
        content = parse_json(text)
        if not isinstance(content, dict):
            raise RunError(f"{source} is damaged: it does not contain a JSON object.", remedy)
        checksum = content.pop(CHECKSUM, None)
        intact = checksum == content_digest(content)
    except ValueError as error:
        raise RunError(f"{source} is damaged: it cannot be read as JSON ({one_line(error)}).", remedy) from error
    if not intact:
        raise RunError(f"{source} is damaged or was edited: its checksum does not match.", remedy)
    if content.get("format", FORMAT) not in range(FORMAT, newest + 1):
        raise RunError(
            f"{source} has format {content['format']!r}; this version reads {newest}.", "Install a newer scing-cli."
        )
    return content


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, atomically."""
    write_text(target, json_text(content))


def json_text(content: Mapping[str, Any]) -> str:
    """Return the JSON text of an object, with its checksum, as it is written to a file."""
    complete = with_checksum(content)
    text = json.dumps(complete, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8: use JSON escapes
        text = json.dumps(complete, indent=1, allow_nan=False)
    return text + "\n"


def read_json(source: Path, *, remedy: str = REMEDY) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Raises:
        RunError: If the file is missing, not a JSON object, changed since it was written, or in a newer format.
    """
    try:
        check_ordinary(source)
        text = read_limited(source)
    except FileNotFoundError:
        raise RunError(f"{source} is missing.", remedy) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{source} cannot be read: {one_line(error)}.", remedy) from error
    return checked_json(text, source, remedy=remedy)


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
