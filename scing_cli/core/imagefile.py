"""Decode one image file to upright RGB pixels.

All functions are safe to call from many threads: they change no global setting of Pillow or Python, except that they
register the reader of HEIC if its package is installed.
"""

from __future__ import annotations

import codecs
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
from scing_cli.core.image_formats import readers
from scing_cli.core.safe_reading import opened

Result = TypeVar("Result")
MAX_PIXELS = 100_000_000  # 300 MB as RGB
REMEDY = (
    "Supported formats: JPEG, PNG, BMP, TIFF, WebP, GIF, PPM, JPEG 2000, TGA, PSD, AVIF (if Pillow supports it), HEIC "
    "(after pip install '.[heif]')."
)
_ALPHA_MODES = frozenset({"LA", "PA", "RGBA", "RGBa"})
_KEYED_MODES = frozenset({"1", "L", "P", "RGB"})  # may declare one colour as transparent
_SIXTEEN_BIT_FORMATS = frozenset({"PNG", "PPM"})  # older versions of Pillow open 16-bit grey as mode I
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
_SIDEWAYS = frozenset(turn for mark, turn in _TURNS.items() if mark in {5, 6, 7, 8})
# Pillow's decoders raise all of these on damaged files, without a common base class. Warning is raised in programs that
# turn warnings into errors.
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

    The image is rotated as its EXIF data says. Transparent parts become white. 16-bit grey is divided by 257. Palette,
    CMYK, bilevel and float images are converted. Of an animation, the first frame is used. 32-bit and float grey have
    no fixed range: white is the smallest of 1 (floats only), 255, 65535, 2^31 - 1, 2^32 - 1 that covers all values.

    Args:
        path: The file. Its suffix does not matter.

    Returns:
        A loaded image of mode RGB, without metadata. The file is closed.

    Raises:
        ImageError: If the file is missing, empty, truncated, damaged, not an image, or larger than `MAX_PIXELS` (which
            is checked before decoding). `what` is the escaped path, a space, and the reason.
    """
    return _read(path, _decode)


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image that Pillow has opened, as `read_image` converts files: upright RGB without metadata.

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
    """Return the width and height of the upright image, without decoding it.

    Raises:
        ImageError: Like `read_image`, if the file's header shows the fault.
    """
    return _read(path, _size)


def _read(path: Path, read: Callable[[Path, BinaryIO], Result]) -> Result:
    """Open a regular file and call `read` on its stream; turn every decoder error into an ImageError."""
    try:
        with opened(path, _check_file(path)) as stream:
            return read(path, stream)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_big(path) from error
    except DECODER_FAILURES as error:
        raise ImageError(f"{spelled(path)} {_reason(path, error)}.", REMEDY) from error


def crop_box(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Crop a person out of a photo.

    Args:
        image: The upright photo.
        box: X and Y of the upper left corner, then width and height, in pixels of the upright photo.

    Raises:
        DataError: If the box is empty or not inside the image.
    """
    x, y, width, height = box
    if min(x, y) < 0 or min(width, height) < 1 or x + width > image.width or y + height > image.height:
        raise DataError(
            f"The box {x},{y},{width},{height} is not inside the image of {image.width}x{image.height} pixels.",
            "Give X,Y,W,H: upper left corner, width and height, in pixels of the upright image.",
        )
    return image.crop((x, y, x + width, y + height))


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; False for a path that the system rejects, such as a very long one."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises OSError for such paths


def _check_file(path: Path) -> int:
    """Return the size of a regular, non-empty file in bytes; raise ImageError for anything else."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{spelled(path)} is a folder, not an image.", REMEDY)
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would block
        raise ImageError(f"{spelled(path)} is not a regular file.", REMEDY)
    if status.st_size == 0:
        raise ImageError(f"{spelled(path)} is empty (0 bytes).", REMEDY)
    return status.st_size


def _opened(path: Path, stream: BinaryIO) -> Image.Image:
    # A stream, not a path: Pillow memory-maps some files by path, and a file that shrinks would crash the process.
    image = Image.open(stream, formats=readers(path))
    if image.width * image.height > MAX_PIXELS:
        raise _too_big(path, f" ({image.width}x{image.height})")
    return image


def _size(path: Path, stream: BinaryIO) -> tuple[int, int]:
    with _opened(path, stream) as image:
        return (image.height, image.width) if _turn(image) in _SIDEWAYS else image.size


def _decode(path: Path, stream: BinaryIO) -> Image.Image:
    with _opened(path, stream) as image:
        return upright_rgb(image)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the rotation that makes the image upright; None if it is upright or its EXIF data is damaged."""
    try:
        return _TURNS.get(image.getexif().get(_EXIF_ORIENTATION))
    except DECODER_FAILURES:  # the pixels may still be intact
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _narrow(image).convert("RGB")
    if image.mode in _ALPHA_MODES or (image.mode in _KEYED_MODES and "transparency" in image.info):
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _narrow(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit or float grey to 8 bits, rounded to the nearest."""
    values: npt.NDArray[np.float64] = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("it contains values that are not finite")
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
        f"{spelled(path)} is too large{size}: the limit is {MAX_PIXELS // 1_000_000} million pixels.",
        "Use a smaller version of the image.",
    )


def _reason(path: Path, error: BaseException) -> str:
    """Return why a file could not be read, as the predicate of a sentence: `PATH reason.`."""
    if isinstance(error, FileNotFoundError):
        return "is missing"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    first = _first_bytes(path)
    if _is_text(first):
        return "is not an image: its first bytes are text"
    if not isinstance(error, UnidentifiedImageError):
        return f"cannot be decoded, it is damaged or truncated: {detail}"
    start = first.ljust(16, b"\0")  # some of Pillow's format checks index beyond the end
    if any(accept is not None and accept(start) for _, accept in (Image.OPEN[name] for name in readers(path))):
        return "cannot be decoded, it is damaged or truncated: its header is incomplete"
    return "is not an image in a supported format"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(256)
    except (OSError, ValueError):
        return b""


def _is_text(first: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(first)  # the last character may be incomplete
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character.isprintable() or character.isspace() for character in text)
