"""Values of settings that are texts with a form of their own: what they may be, and what they mean."""

from __future__ import annotations

import re

from scing_cli.core.errors import SettingError
from scing_cli.core.spectra import SPECTRA, parse_spectra

ALL = "all"  # spectra
BANK = re.compile(r"bank:([2-9]|[1-5][0-9]|6[0-4])")
LENGTH = re.compile(r"unit:([0-9]{1,4}(?:\.[0-9]{1,6})?)")
SIZE = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")


def known_views(text: str) -> str:
    """Return a value of `views`; an error says what it must be.

    Raises:
        ValueError: If it is something else.
    """
    if text != "fresh" and not BANK.fullmatch(text):
        raise ValueError("must be fresh, or bank:N with N from 2 to 64, as in bank:8")
    return text


def known_condition(text: str) -> str:
    """Return a value of `condition`; an error says what it must be.

    Raises:
        ValueError: If it is something else.
    """
    if text not in ("unit", "raw"):
        found = LENGTH.fullmatch(text)
        if not found or not 0 < float(found[1]) <= 1000:
            raise ValueError("must be unit, raw, or unit:N with N above 0 and at most 1,000, as in unit:10")
    return text


def known_size(text: str | None) -> str | None:
    """Return a value of `image_size`; an error says what it must be.

    Raises:
        ValueError: If it is something else.
    """
    if text is not None and not SIZE.fullmatch(text):
        raise ValueError("must be a height and a width in pixels, as in 384x128")
    return text


def known_spectra(text: str) -> str:
    """Return a value of `spectra` with its names in order; an error says what it must be.

    Raises:
        ValueError: If it is something else.
    """
    if text.strip().lower() == ALL:
        return ALL
    try:
        return ",".join(parse_spectra(text, "--spectra"))
    except SettingError as error:
        raise ValueError(f"must be {ALL} or names of {', '.join(SPECTRA)}, each once") from error


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return height and width of an `image_size`; None for None.

    >>> parse_size("384x128"), parse_size(None)
    ((384, 128), None)
    """
    found = SIZE.fullmatch(text) if text is not None else None
    return (int(found[1]), int(found[2])) if found else None
