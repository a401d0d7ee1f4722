"""The kinds of descriptor (R10): what of an image's features is compared."""

from __future__ import annotations

from scing_cli.core.errors import SettingError

DESCRIPTORS = ("projected", "concat")


def check_descriptor(kind: str) -> str:
    """Return a kind of descriptor that is known: `projected`, or `concat` for class token and projection side by side.

    Raises:
        SettingError: If it is unknown.
    """
    if kind not in DESCRIPTORS:
        raise SettingError(f"--descriptor {kind!r} is unknown.", f"Known: {', '.join(DESCRIPTORS)}.")
    return kind
