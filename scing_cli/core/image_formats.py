"""Image formats: the suffixes of each, and which of them Pillow can read on this machine.

Pillow is imported only when a format that it may lack is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        "JPEG": ".jpg .jpeg .jpe .jfif .jfi .jif .mpo",
        "PNG": ".png .apng",
        "BMP": ".bmp",
        "DIB": ".dib",
        "TIFF": ".tif .tiff",
        "WEBP": ".webp",
        "GIF": ".gif",
        "PPM": ".ppm .pgm .pbm .pnm .pfm",
        "JPEG2000": ".jp2 .j2k .j2c .jpc .jpf .jpx",
        "AVIF": ".avif .avifs",
        "HEIF": ".heic .heif .hif .heics .heifs",
        "PSD": ".psd",
        "QOI": ".qoi",
        "SGI": ".sgi .rgb .rgba .bw",
        "SUN": ".ras",
        "PCX": ".pcx",
        "TGA": ".tga .icb .vda .vst",
    }
)
"""Pillow's name of a format -> its suffixes. Other readers of Pillow are not used: some start external programs (EPS),
others are only stubs or read icons and textures."""

FORMAT_OF: Mapping[str, str] = MappingProxyType(
    {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
)
"""Suffix in lower case -> Pillow's name of the format."""

IMAGE_SUFFIXES = frozenset(FORMAT_OF)

NOT_READ = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf"),
        *(".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
        *(".cur", ".dds", ".emf", ".eps", ".exr", ".hdr", ".icns", ".ico", ".jxl", ".jxr", ".pcd", ".ps", ".svg"),
        *(".wmf", ".xbm", ".xcf", ".xpm"),
    )
)
"""Suffixes of pictures that are never read, such as raw photos."""

_ALWAYS = frozenset({"JPEG", "PNG", "BMP", "DIB", "TIFF", "GIF", "PPM"})  # in every build of Pillow
_BY_SUFFIX_ONLY = frozenset({"PCX", "TGA"})  # too weak a signature to look for it in files of any name


@functools.cache
def is_readable(suffix: str) -> bool:
    """Return whether files with a suffix (lower case, with its dot) can be read on this machine.

    >>> is_readable(".jfif"), is_readable(".txt")
    (True, False)
    """
    name = FORMAT_OF.get(suffix)
    return name is not None and (name in _ALWAYS or name in _available())


def is_picture(suffix: str) -> bool:
    """Return whether a suffix is that of a picture, whether it can be read here or not."""
    return suffix in IMAGE_SUFFIXES or suffix in NOT_READ


def how_to_read(suffix: str) -> str:
    """Return what to do about pictures with a suffix that is not readable here.

    >>> how_to_read(".cr2")
    'convert to JPEG'
    """
    name = FORMAT_OF.get(suffix)
    if name == "HEIF":
        return "pip install '.[heif]', or convert to JPEG"
    if name is not None:
        return "needs Pillow 11.3 or newer with this format" if name == "AVIF" else "this build of Pillow lacks it"
    return "convert to JPEG"


def readers(path: Path) -> tuple[str, ...]:
    """Return Pillow's names of the formats that a file may have."""
    own = FORMAT_OF.get(path.suffix.lower())
    return tuple(name for name in _available() if name not in _BY_SUFFIX_ONLY or name == own)


@functools.cache
def _available() -> tuple[str, ...]:
    """Return the formats that this installation of Pillow reads."""
    from PIL import Image

    Image.init()
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    except ImportError:
        pass
    return tuple(name for name in _SUFFIXES if name in Image.OPEN)
