"""Write pictures to files, and refuse to replace files of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image, PngImagePlugin

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import SettingError

PICTURES: Mapping[str, str] = MappingProxyType({".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"})
DRAWN_BY = "scing"  # written into each picture, to recognise it later


def check_picture(target: Path, *, option: str) -> None:
    """Check, before any work is done, that a picture can be written to `target`.

    Args:
        target: File to write.
        option: Name of the command line option, for the message.

    Raises:
        SettingError: If the suffix is not one of `PICTURES`, or the file exists and this program did not write it.
    """
    if target.suffix.lower() not in PICTURES:
        raise SettingError(f"{option} {target}: unknown kind of picture.", f"Known: {', '.join(PICTURES)}.")
    if target.exists() and not _is_ours(target):
        raise SettingError(
            f"{option} {target} already exists and is not a picture written by scing.", "Name another file."
        )


def write_picture(picture: Image.Image, target: Path) -> None:
    """Write a picture in the format of its suffix, marked as written by this program."""
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", DRAWN_BY)
    with replacing(target) as temporary:  # JPEG uses `comment` and PNG uses `pnginfo`; each ignores the other
        picture.save(temporary, format=PICTURES[target.suffix.lower()], comment=DRAWN_BY, pnginfo=mark)


def _is_ours(file: Path) -> bool:
    """Return whether `write_picture` wrote a file."""
    if not file.is_file():
        return False
    try:
        with Image.open(file, formats=sorted(set(PICTURES.values()))) as picture:
            mark = picture.info.get("Software", picture.info.get("comment", b""))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return mark in (DRAWN_BY, DRAWN_BY.encode())
