"""Which suffixes are read: all that Pillow opens and that hold photos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from scing_cli.core import image_formats
from scing_cli.core.errors import ImageError
from scing_cli.core.image_formats import FORMAT_OF, IMAGE_SUFFIXES, NOT_READ, how_to_read, is_picture, is_readable
from scing_cli.core.imagefile import read_image

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 3, 3), dtype=np.uint8)).resize((48, 96))
# Pillow has readers for icons, textures, vector graphics, films and scientific grids, which hold no photos.
NO_PHOTOS = {
    *(
        "BLP",
        "BUFR",
        "CUR",
        "DCX",
        "DDS",
        "EPS",
        "FITS",
        "FLI",
        "FPX",
        "FTEX",
        "GBR",
        "GRIB",
        "HDF5",
        "ICNS",
        "ICO",
        "IM",
    ),
    *("IMT", "IPTC", "MCIDAS", "MIC", "MPEG", "MSP", "PCD", "PIXAR", "SPIDER", "WMF", "XBM", "XPM", "XVTHUMB"),
}


def test_suffixes_are_lower_case() -> None:
    assert {".jpg", ".jpe", ".jfif", ".jfi", ".png", ".tif", ".bmp", ".webp"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in IMAGE_SUFFIXES | NOT_READ)
    assert not IMAGE_SUFFIXES & NOT_READ


def test_everything_that_pillow_registers_for_photos_is_read() -> None:
    Image.init()
    ours = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    ours = {suffix for suffix in ours if Image.registered_extensions()[suffix] not in NO_PHOTOS}
    assert len(ours) > 20
    assert ours <= IMAGE_SUFFIXES
    assert all(map(is_readable, ours))


@pytest.mark.parametrize("suffix", sorted(suffix for suffix, name in FORMAT_OF.items() if name not in {"AVIF", "HEIF"}))
def test_a_photo_with_each_suffix_is_read(tmp_path: Path, suffix: str) -> None:
    name = FORMAT_OF[suffix]
    if name not in Image.SAVE or name == "PSD":
        pytest.skip("Pillow only reads this format")
    file = tmp_path / f"a{suffix.upper()}"
    PHOTO.save(file, format=name)
    assert is_readable(suffix)
    assert (read_image(file).mode, read_image(file).size) == ("RGB", (48, 96))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow lacks AVIF")
def test_avif(tmp_path: Path) -> None:
    PHOTO.save(tmp_path / "a.avif")
    assert is_readable(".avif")
    assert read_image(tmp_path / "a.avif").size == (48, 96)


def test_heic_with_its_package(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(PHOTO).save(tmp_path / "a.heic", quality=90)
    assert is_readable(".heic")
    read = np.asarray(read_image(tmp_path / "a.heic"), int)
    assert np.abs(read - np.asarray(PHOTO, int)).mean() < 8
    (tmp_path / "b.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"b\.heic cannot be decoded, it is damaged or truncated"):
        read_image(tmp_path / "b.heic")


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # importing it fails, as where it is not installed
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    caches = (image_formats.is_readable, image_formats._available)
    try:
        for cache in caches:
            cache.cache_clear()
        assert not is_readable(".heic")
        assert is_picture(".heic")
        assert "pip install '.[heif]'" in how_to_read(".heic")
        (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
        with pytest.raises(ImageError, match=r"a\.heic is not an image in a supported format") as caught:
            read_image(tmp_path / "a.heic")
        assert "pip install '.[heif]'" in caught.value.remedy
    finally:
        for cache in caches:
            cache.cache_clear()


def test_weak_signatures_are_looked_for_by_suffix_only(tmp_path: Path) -> None:
    PHOTO.save(tmp_path / "a.tga")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.tga").read_bytes())
    assert read_image(tmp_path / "a.tga").size == (48, 96)
    with pytest.raises(ImageError, match="is not an image in a supported format"):
        read_image(tmp_path / "a.jpg")


def test_pillow_is_not_imported_for_common_suffixes() -> None:
    code = (
        "import sys; from scing_cli.core.image_formats import is_readable as r; "
        "print(r('.jfif'), r('.txt'), 'PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
