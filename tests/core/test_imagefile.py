from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from oracles.png import png
from PIL import Image, features

from scing_cli.core.errors import DataError, ImageError
from scing_cli.core.imagefile import crop_box, image_size, read_image
from scing_cli.core.observation_images import read_view
from scing_cli.core.spectra import View


def photo(height: int = 24, width: int = 16, seed: int = 0) -> Image.Image:
    """Smooth coloured blobs, which JPEG keeps nearly as they are."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def saved(folder: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "мария и.png", "a.jpg", "a.webp", "a.jp2"])
def test_colour_in_every_format(tmp_path: Path, name: str) -> None:
    image = photo()
    options = {"lossless": True} if name.endswith("webp") else {"quality": 95} if name.endswith("jpg") else {}
    read = read_image(saved(tmp_path, image, name, **options))
    assert (read.mode, read.size, read.info) == ("RGB", (16, 24), {})
    assert np.abs(pixels(read) - pixels(image)).max() <= (40 if name.endswith("jpg") else 0)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "jpg", "webp", "jp2", "gif"])
@pytest.mark.parametrize("share", [1, 0.6])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_small_file_is_read_as_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, share: float
) -> None:
    path = saved(tmp_path, photo(96, 64), f"a.{suffix}", **({"compression": "tiff_lzw"} if suffix == "tif" else {}))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])

    def read() -> tuple[tuple[int, int], object]:
        try:
            return image_size(path), pixels(read_image(path)).tolist()
        except ImageError as error:
            return (0, 0), error.what.partition(":")[0]

    at_once = read()
    monkeypatch.setattr("scing_cli.core.safe_reading.SMALL", 0)
    assert read() == at_once
    assert (at_once[0] == (64, 96)) == (share == 1)


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    path = saved(tmp_path, photo(), "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(pixels(read_image(path)), pixels(photo()))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK"])
def test_modes_with_one_meaning(tmp_path: Path, mode: str) -> None:
    image = photo().convert(mode)
    read = read_image(saved(tmp_path, image, "a.tif"))
    assert np.array_equal(pixels(read), pixels(image.convert("RGB")))


def test_cmyk_jpeg_of_an_image_program_is_not_inverted(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), (230, 30, 30)).convert("CMYK")
    assert np.abs(pixels(read_image(saved(tmp_path, red, "a.jpg"))) - [230, 30, 30]).max() < 12


def test_alpha_lies_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = 0, 255, 102
    read = pixels(read_image(saved(tmp_path, Image.fromarray(rgba), "a.png")))
    assert read[0].tolist() == [[255, 255, 255], [200, 0, 0], [233, 153, 153]]


def test_grey_alpha_lies_on_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[[10, 0], [10, 255]]], np.uint8), "LA")
    assert pixels(read_image(saved(tmp_path, image, "a.png")))[0].tolist() == [[255] * 3, [10] * 3]


@pytest.mark.parametrize("key", [1, bytes([255, 0, 255])])
def test_palette_transparency_lies_on_white(tmp_path: Path, key: int | bytes) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([9, 9, 9, 50, 60, 70, 200, 100, 0])
    path = saved(tmp_path, image, "a.png", transparency=key)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(read_image(path))[0].tolist() == [[9, 9, 9], [255, 255, 255], [200, 100, 0]]


@pytest.mark.parametrize(("mode", "key", "shown"), [("RGB", (0, 0, 0), 255), ("L", 0, 255), ("1", 0, 255)])
def test_a_transparent_colour_lies_on_white(tmp_path: Path, mode: str, key: object, shown: int) -> None:
    image = Image.new(mode, (2, 1), "black")
    assert (pixels(read_image(saved(tmp_path, image, "a.png", transparency=key))) == shown).all()


SIXTEEN = np.array([[0, 128, 129, 257, 40_000, 65_535]], np.uint16)
EIGHT = [0, 0, 1, 1, 156, 255]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bit_grey_is_divided_by_257(tmp_path: Path, name: str) -> None:
    read = pixels(read_image(saved(tmp_path, Image.fromarray(SIXTEEN), name)))
    assert read[0, :, 0].tolist() == EIGHT
    assert (read == read[:, :, :1]).all()


def test_a_dark_sixteen_bit_image_stays_dark(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.pgm"):
        assert pixels(read_image(saved(tmp_path, Image.fromarray(np.full((2, 2), 250, np.uint16)), name))).max() == 1


def test_big_endian_sixteen_bit_tiff(tmp_path: Path) -> None:
    image = Image.frombytes("I;16B", (6, 1), SIXTEEN.astype(">u2").tobytes())
    path = saved(tmp_path, image, "a.tif")
    assert path.read_bytes()[:2] == b"MM"
    assert pixels(read_image(path))[0, :, 0].tolist() == EIGHT


def test_sixteen_bit_colour_png(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0xFFFF, 0x8000, 0x0102)))
    assert np.abs(pixels(read_image(path))[0, 0] - [255, 128, 1]).max() <= 1


def test_sixteen_bit_grey_png_with_a_transparent_value(tmp_path: Path) -> None:
    body = struct.pack(">H", 300)
    key = struct.pack(">I", 2) + b"tRNS" + body + struct.pack(">I", zlib.crc32(b"tRNS" + body))
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 1, 16, 0, b"\0" + struct.pack(">HH", 300, 514), key))
    assert pixels(read_image(path))[0, :, 0].tolist() == [255, 2]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[-3.0, 100.4, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[0, 1, 255]], np.int32), [0, 1, 255]),
        (np.array([[0, 257, 65_535]], np.int32), [0, 1, 255]),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), [0, 128, 255]),
        (np.zeros((1, 3), np.float32), [0, 0, 0]),
    ],
)
def test_wide_grey(tmp_path: Path, values: np.ndarray, expected: list[int]) -> None:
    assert pixels(read_image(saved(tmp_path, Image.fromarray(values), "a.tif")))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turned_images_are_turned(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = Image.new("RGB", (32, 64), "black")
    upright.paste((255, 255, 255), (0, 0, 16, 32))  # the upper left quarter
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if undo is None else upright.transpose(undo)
    read = read_image(saved(tmp_path, stored, f"a.{suffix}", exif=exif))
    assert read.size == (32, 64)
    assert np.abs(pixels(read) - pixels(upright))[4:28, 4:12].max() < 10
    assert np.abs(pixels(read) - pixels(upright))[36:60, 20:28].max() < 10


def test_turned_sixteen_bit_grey(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path, Image.fromarray(SIXTEEN), "a.png", exif=exif)
    assert pixels(read_image(path))[:, 0, 0].tolist() == EIGHT


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_leaves_the_pixels_good(tmp_path: Path) -> None:
    path = saved(tmp_path, photo(), "a.png", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")
    assert np.array_equal(pixels(read_image(path)), pixels(photo()))


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_an_animation_shows_its_first_picture(tmp_path: Path, suffix: str) -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path, first, f"a.{suffix}", save_all=True, append_images=[second], **options)
    assert (pixels(read_image(path)) == [255, 0, 0]).all()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path: Path) -> None:
    assert read_image(saved(tmp_path, photo(), "a.avif")).size == (16, 24)


def test_no_file_stays_open_and_the_result_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path, photo(), "a.tif")
    image = read_image(path)
    path.unlink()
    assert np.array_equal(pixels(image), pixels(photo()))


def test_crop_box() -> None:
    image = photo(24, 16)
    assert np.array_equal(pixels(crop_box(image, (2, 3, 10, 20))), pixels(image)[3:23, 2:12])
    assert crop_box(image, (0, 0, 16, 24)).size == (16, 24)


@pytest.mark.parametrize(
    "box", [(-1, 0, 4, 4), (0, -1, 4, 4), (0, 0, 0, 4), (0, 0, 4, 0), (10, 0, 7, 4), (0, 20, 4, 5)]
)
def test_a_box_outside_the_image_is_refused(box: tuple[int, int, int, int]) -> None:
    text = ",".join(map(str, box))
    with pytest.raises(DataError, match=rf"The box {text} is not inside the image of 16x24 pixels"):
        crop_box(photo(24, 16), box)


def test_a_view_is_a_file_or_its_third_of_a_strip(tmp_path: Path) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    strip = Image.new("RGB", (24, 4))
    for part, colour in enumerate(colours):
        strip.paste(colour, (8 * part, 0, 8 * part + 8, 4))
    strip.save(tmp_path / "strip.png")
    assert read_view(View(tmp_path / "strip.png")).tobytes() == strip.tobytes()
    for part, colour in enumerate(colours):
        image = read_view(View(tmp_path / "strip.png", part))
        assert image.size == (8, 4)
        assert image.getcolors() == [(32, colour)]
    Image.new("RGB", (25, 4)).save(tmp_path / "odd.png")
    assert read_view(View(tmp_path / "odd.png")).size == (25, 4)
    with pytest.raises(ImageError, match=r"odd\.png is 25 pixels wide, which cannot be divided into 3 images of one"):
        read_view(View(tmp_path / "odd.png", 1))
