"""Pictures as files: which kinds there are, and one rename."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def check_no_image(target: Path, images: Iterable[Path], *, option: str) -> None:
    """Refuse to write a picture over one of the images that it is drawn from; any other file may be replaced.

    Raises:
        SettingError: Naming the option and the file.
    """
    if target.exists() and any(_same_file(target, image) for image in images):
        raise SettingError(f"{option} {target} is one of the images themselves.", "Name another file.")


def _same_file(target: Path, image: Path) -> bool:
    try:
        return target.samefile(image)
    except OSError:  # the image is missing, which others tell
        return False


def write_picture(picture: Image.Image, target: Path) -> None:
    """Write a picture in the format of its file's ending."""
    with replacing(target) as temporary:
        picture.save(temporary, format=PICTURES[target.suffix.lower()])
