"""Pictures as files: which kinds there are, and one rename."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import SettingError

PICTURES: Mapping[str, str] = MappingProxyType({".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"})


def check_picture(target: Path, *, option: str) -> None:
    """Refuse a file name of no kind of picture, before any work is done for it.

    Raises:
        SettingError: Naming the option and the kinds.
    """
    if target.suffix.lower() not in PICTURES:
        raise SettingError(f"{option} {target}: unknown kind of picture.", f"Known: {', '.join(PICTURES)}.")


def write_picture(picture: Image.Image, target: Path) -> None:
    """Write a picture in the format of its file's ending."""
    with replacing(target) as temporary:
        picture.save(temporary, format=PICTURES[target.suffix.lower()])
