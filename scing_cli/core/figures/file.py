"""Pictures as files: which kinds there are, and one rename."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image, PngImagePlugin

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import SettingError

PICTURES: Mapping[str, str] = MappingProxyType({".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"})
DRAWN_BY = "scing"


def check_picture(target: Path, *, option: str) -> None:
    """Refuse a file name of no kind of picture, and a file that was not drawn by this program, before any work is done.

    Raises:
        SettingError: Naming the option, and the kinds or the file.
    """
    if target.suffix.lower() not in PICTURES:
        raise SettingError(f"{option} {target}: unknown kind of picture.", f"Known: {', '.join(PICTURES)}.")
    if target.exists() and not _is_drawn(target):
        raise SettingError(f"{option} {target} is there already, and no picture of scing's.", "Name another file.")


def write_picture(picture: Image.Image, target: Path) -> None:
    """Write a picture in the format of its file's ending, marked as drawn by this program."""
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", DRAWN_BY)
    with replacing(target) as temporary:  # JPEG takes the comment, PNG the other: each passes over what is not its own
        picture.save(temporary, format=PICTURES[target.suffix.lower()], comment=DRAWN_BY, pnginfo=mark)


def _is_drawn(file: Path) -> bool:
    """Tell whether a file is a picture that `write_picture` wrote."""
    if not file.is_file():
        return False
    try:
        with Image.open(file, formats=sorted(set(PICTURES.values()))) as picture:
            said = picture.info.get("Software", picture.info.get("comment", b""))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return said in (DRAWN_BY, DRAWN_BY.encode())
