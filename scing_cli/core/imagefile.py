"""Image files: which there are, and one file -> upright RGB pixels, or an error that names the file.

Safe to call from many threads at once: nothing here touches Pillow's or Python's global settings.
"""

from __future__ import annotations

import codecs
import functools
import os
import stat
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from scing_cli.core.errors import DataError, ImageError, spelled
from scing_cli.core.safe_reading import opened

Result = TypeVar("Result")
IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
MAX_PIXELS = 100_000_000
REMEDY = "Readable are JPEG, PNG, BMP, TIFF, WebP, GIF, PPM, JPEG 2000 and (where Pillow has it) AVIF files."

# Pillow's other readers are left out: some start programs (EPS) or are mere stubs.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF")
_ALPHA_MODES = frozenset({"LA", "PA", "RGBA", "RGBa"})
_KEYED_MODES = frozenset({"1", "L", "P", "RGB"})
_SIXTEEN_BIT_FORMATS = frozenset({"PNG", "PPM"})  # older Pillows give their 16-bit grey the mode I
_WIDE_RANGES = (255.0, 65535.0, 2.0**31 - 1, 2.0**32 - 1)
_EXIF_ORIENTATION = 0x0112
_TURNS: Mapping[object, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
_ON_THEIR_SIDE = frozenset(turn for mark, turn in _TURNS.items() if mark in {5, 6, 7, 8})
# What Pillow's decoders raise on damaged bytes (no common base); Warning: in programs that turn warnings into errors.
DECODER_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    Warning,
)


def read_image(path: Path) -> Image.Image:
    """Decode one file to RGB.

    Turned as its EXIF data says; transparent parts on white; 16-bit grey divided by 257; palette, CMYK, bilevel and
    float images converted; of an animation the first picture. Grey of 32 bits or floats states no range: white is the
    smallest of 1 (floats only), 255, 65535, 2^31 - 1, 2^32 - 1 that holds all values.

    Args:
        path: The file. Its suffix does not matter.

    Returns:
        A loaded image of mode RGB, without metadata, that holds no file open.

    Raises:
        ImageError: If the file is missing, empty, cut short, damaged, no image, or above `MAX_PIXELS` (refused before
            it is decoded). `what` is the path, spelled, a space, and the reason.
    """
    return _read(path, _decode)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image that Pillow has opened, as `read_image` converts files: upright, RGB, without metadata.

    Args:
        image: Of any mode; it is not changed.

    Raises:
        ValueError: If it holds values that are not finite.
    """
    image.load()
    turn = _turn(image)  # after load(): Pillow turns some formats itself and drops the mark
    pixels = _to_rgb(image)  # a copy, also of an RGB image
    if turn is not None:
        pixels = pixels.transpose(turn)
    pixels.info = {}
    return pixels


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height of an upright image, without decoding it.

    Raises:
        ImageError: As `read_image` does, as far as the file's header shows it.
    """
    return _read(path, _size)


def _read(path: Path, take: Callable[[Path, BinaryIO], Result]) -> Result:
    """Open a file that is an ordinary one, and take what is wanted of it."""
    try:
        with opened(path, _check_file(path)) as stream:
            return take(path, stream)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_big(path) from error
    except DECODER_FAILURES as error:
        raise ImageError(f"{spelled(path)} {_reason(path, error)}.", REMEDY) from error


def crop_box(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Cut a person out of a photo.

    Args:
        image: The photo, upright.
        box: X, Y of the upper left corner, then width and height, in pixels of the upright photo.

    Raises:
        DataError: If the box is empty or does not lie inside the image.
    """
    x, y, width, height = box
    if min(x, y) < 0 or min(width, height) < 1 or x + width > image.width or y + height > image.height:
        raise DataError(
            f"The box {x},{y},{width},{height} does not lie inside the image of {image.width}x{image.height} pixels.",
            "Give X,Y,W,H: upper left corner, width and height, in pixels of the upright image.",
        )
    return image.crop((x, y, x + width, y + height))


def list_images(folder: Path) -> list[Path]:
    """Return every image file below a folder, by suffix, sorted by the code points of the POSIX path.

    Hidden files and folders are ignored. Linked folders are followed, each real folder once.

    Raises:
        DataError: If the folder, or one below it, is missing or cannot be listed.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "is missing"
        raise DataError(f"{spelled(folder)} {what}.", "Give a folder.")
    found: dict[str, Path] = {}
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        way = Path(place).relative_to(folder).as_posix()
        before = "" if way == "." else f"{way}/"
        found |= {before + name: Path(place, name) for name in names if _is_image_name(name)}
    return [found[name] for name in sorted(found)]


def is_folder(path: Path) -> bool:
    """Tell whether a path leads to a folder; one that the system cannot look at, such as a very long one, does not."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises OSError


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _cannot_list(error: OSError) -> None:
    raise DataError(
        f"{spelled(error.filename)} cannot be listed: {error.strerror}.", "Check its permissions."
    ) from error


def _check_file(path: Path) -> int:
    """Refuse what is no ordinary file with bytes in it: opening a named pipe would wait for ever. Return its size."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{spelled(path)} is a folder, not an image.", REMEDY)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{spelled(path)} is no ordinary file.", REMEDY)
    if status.st_size == 0:
        raise ImageError(f"{spelled(path)} is empty (0 bytes).", REMEDY)
    return status.st_size


def _opened(path: Path, stream: BinaryIO) -> Image.Image:
    # A stream, not a path: Pillow maps some files into memory by name, and a file that shrinks would end the process.
    image = Image.open(stream, formats=_formats())
    if image.width * image.height > MAX_PIXELS:
        raise _too_big(path, f" ({image.width}x{image.height})")
    return image


def _size(path: Path, stream: BinaryIO) -> tuple[int, int]:
    with _opened(path, stream) as image:
        return (image.height, image.width) if _turn(image) in _ON_THEIR_SIDE else image.size


def _decode(path: Path, stream: BinaryIO) -> Image.Image:
    with _opened(path, stream) as image:
        return upright_rgb(image)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return those of our formats that this Pillow reads."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that makes the image upright; damaged EXIF data says nothing, the pixels are still good."""
    try:
        return _TURNS.get(image.getexif().get(_EXIF_ORIENTATION))
    except DECODER_FAILURES:
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _narrow(image).convert("RGB")
    if image.mode in _ALPHA_MODES or (image.mode in _KEYED_MODES and "transparency" in image.info):
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _narrow(image: Image.Image) -> Image.Image:
    """Scale grey of 16 bits, 32 bits or floats to 8 bits, rounded to the nearest."""
    values: npt.NDArray[np.float64] = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    if image.mode.startswith("I;16") or image.format in _SIXTEEN_BIT_FORMATS:
        top = 65535.0
    else:
        peak = float(values.max())
        ranges = (1.0, *_WIDE_RANGES) if image.mode == "F" else _WIDE_RANGES
        top = next((top for top in ranges if peak <= top), peak)
    grey = np.clip(np.rint(values * (255.0 / top)), 0, 255)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[values == key] = 255
    return Image.fromarray(grey.astype(np.uint8))


def _too_big(path: Path, size: str = "") -> ImageError:
    return ImageError(
        f"{spelled(path)} is too big{size}: the limit is {MAX_PIXELS // 1_000_000} million pixels.",
        "Give a smaller copy.",
    )


def _reason(path: Path, error: BaseException) -> str:
    """Say in words why a file could not be read; reads as `PATH reason.`."""
    if isinstance(error, FileNotFoundError):
        return "is missing"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    first = _first_bytes(path)
    if _is_text(first):
        return "is no image: its first bytes are text"
    if not isinstance(error, UnidentifiedImageError):
        return f"cannot be decoded, it is damaged or truncated: {detail}"
    start = first.ljust(16, b"\0")  # some of Pillow's tests read on without asking how much there is
    if any(accept is not None and accept(start) for _, accept in (Image.OPEN[name] for name in _formats())):
        return "cannot be decoded, it is damaged or truncated: its header is incomplete"
    return "is no image of a known format"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(256)
    except (OSError, ValueError):
        return b""


def _is_text(first: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(first)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character.isprintable() or character.isspace() for character in text)
