"""The kinds of descriptor: which image features are compared (R10)."""

from __future__ import annotations

from scing_cli.core.errors import SettingError

DESCRIPTORS = ("projected", "concat")


def check_descriptor(kind: str) -> str:
    """Return the kind of descriptor if it is known: `projected`, or `concat` for class token and projection joined.

    Raises:
        SettingError: If the kind is unknown.
    """
    if kind not in DESCRIPTORS:
        raise SettingError(f"--descriptor {kind!r} is unknown.", f"Known: {', '.join(DESCRIPTORS)}.")
    return kind
