"""The seal of JSON that this program writes for itself: a digest of its own content, without which it is not read.

Its rule is the same in every format. It is looked at first, so that a damaged `format` is told as damage, and a whole
one that is newer as newer.
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
    """Return the SHA-256 of what JSON makes of something, whatever the order of its names.

    >>> content_digest({"a": 1, 2: (3,)}) == content_digest({"2": [3], "a": 1})
    True
    """
    return text_digest(json.dumps(json.loads(json.dumps(content)), sort_keys=True))


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its seal."""
    own = {name: value for name, value in content.items() if name != CHECKSUM}
    return {**own, CHECKSUM: content_digest(own)}


def checked_json(text: bytes, source: Path, *, remedy: str) -> dict[str, Any]:
    """Return a with_checksum object, without its seal.

    Args:
        text: JSON in UTF-8.
        source: Where it is from, for messages.
        remedy: What to do about damage.

    Raises:
        RunError: If it is no JSON object, its seal is missing or of another content, or it is of a newer format.
    """
    try:
        content = parse_json(text)
        if not isinstance(content, dict):
            raise RunError(f"{source} is damaged: it holds no JSON object.", remedy)
        seal = content.pop(CHECKSUM, None)
        whole = seal == content_digest(content)
    except ValueError as error:
        raise RunError(f"{source} is damaged: it cannot be read as JSON ({one_line(error)}).", remedy) from error
    if not whole:
        raise RunError(f"{source} is damaged or was edited: it is not as scing wrote it.", remedy)
    if content.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"{source} has format {content['format']!r}; this version reads {FORMAT}.", "Install a newer scing-cli."
        )
    return content
