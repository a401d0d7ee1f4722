"""The checksum of this program's JSON files: each file contains the digest of its own content.

A file without a valid checksum is refused. The checksum has the same form in every format version, and is verified
before the version: a damaged `format` is reported as damage, an intact newer one as newer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.errors import RunError, one_line
from scing_cli.core.safe_reading import parse_json

FORMAT = 1
CHECKSUM = "self_digest"


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


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


def checked_json(text: bytes, source: Path, *, remedy: str) -> dict[str, Any]:
    """Parse a JSON object with a checksum, verify it, and return the object without it.

    Args:
        text: JSON in UTF-8.
        source: The file, for messages.
        remedy: What to do if the file is damaged.

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
    if content.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"{source} has format {content['format']!r}; this version reads {FORMAT}.", "Install a newer scing-cli."
        )
    return content
