from __future__ import annotations

import io
import os
import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from oracles.png import png
from PIL import Image, ImageFile

from scing_cli.core.errors import ImageError
from scing_cli.core.imagefile import MAX_PIXELS, read_image


def photo(height: int = 24, width: int = 16, seed: int = 0) -> Image.Image:
    """Smooth coloured blobs, which JPEG keeps nearly as they are."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def saved(folder: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def test_missing_empty_folder_and_pipe(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, reason in {
        "no.jpg": "is missing",
        "empty.jpg": r"is empty \(0 bytes\)",
        "": "is a folder, not an image",
        "pipe.jpg": "is not a regular file",
    }.items():
        with pytest.raises(ImageError, match=rf"{tmp_path / name} {reason}"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    "text", [b"path,identity\na.jpg,1\n", "Größe: straße\n".encode(), b"BMW", b"\xef\xbb\xbfa,b\n"]
)
def test_a_text_file_is_no_image(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "notes.jpg"
    path.write_bytes(text)
    with pytest.raises(ImageError, match=r"notes\.jpg is not an image: its first bytes are text") as caught:
        read_image(path)
    assert "JPEG, PNG" in caught.value.remedy


def test_other_bytes_are_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(bytes(range(256)))
    with pytest.raises(ImageError, match=r"a\.jpg is not an image in a supported format"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tif", "ppm", "jp2"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_truncated_file(tmp_path: Path, suffix: str, share: float) -> None:
    path = saved(tmp_path, photo(96, 64), f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=rf"a\.{suffix} cannot be decoded, it is damaged or truncated: .+"):
        read_image(path)


def test_programs_in_postscript_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(ImageError, match="its first bytes are text"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("side", [10_001, 30_000])
def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match=r"a\.png is too large.*: the limit is 100 million pixels"):
            read_image(tmp_path / "a.png")
    assert side**2 > MAX_PIXELS


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(np.array([[1, np.nan]], np.float32)), "a.tif")
    with pytest.raises(ImageError, match="not finite"):
        read_image(path)


def contents() -> dict[str, bytes]:
    image, result = photo(48, 32), {}
    for name, options in {"JPEG": {}, "PNG": {}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}, "WEBP": {}}.items():
        buffer = io.BytesIO()
        image.save(buffer, name, **options)
        result[name] = buffer.getvalue()
    return result


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "noise"])
def test_any_bytes_end_in_an_image_or_an_error_that_names_the_file(tmp_path: Path, kind: str) -> None:
    draw = random.Random(kind)
    content = contents().get(kind, b"")
    path = tmp_path / "some photo.jpg"
    refused = []
    for trial in range(200):
        if kind == "noise":
            damaged = draw.choice([b"", b"\xff\xd8\xff", b"BM", b"II*\0", b"GIF89a", b"P5\n"]) + draw.randbytes(300)
        elif trial % 2:
            damaged = content[: draw.randrange(1, len(content))]
        else:
            damaged = bytearray(content)
            for _ in range(draw.choice([1, 4, 30])):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            assert read_image(path).mode == "RGB"
        except ImageError as error:
            refused.append(error.what)
    assert len(refused) >= 90
    assert all(what.startswith(f"{path} ") and "\n" not in what for what in refused)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_at_any_byte_ends_in_an_image_or_one_message(tmp_path: Path, kind: str) -> None:
    content, path = contents()[kind], tmp_path / "cut.jpg"
    read, refused = [], []
    for size in range(0, len(content), max(1, len(content) // 400)):
        path.write_bytes(content[:size])
        try:
            read.append(read_image(path).size)
        except ImageError as error:
            refused.append(error.what)
    assert all(what.startswith(f"{path} ") and "\n" not in what for what in refused)
    assert len(refused) >= 200
    assert len(read) <= 40  # what is cut off was padding, or the end mark alone
    assert set(read) <= {(32, 48)}


@pytest.mark.parametrize("size", [(1, 1), (1, 60_000), (60_000, 1)])
def test_tiny_and_very_long_images_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    path = saved(tmp_path, Image.new("RGB", size, (10, 20, 30)), "odd.png")
    assert read_image(path).size == size


def test_many_threads_read_as_one_does(tmp_path: Path) -> None:
    paths = [saved(tmp_path, photo(seed=seed), f"{seed}.{s}") for seed in range(8) for s in ("jpg", "png", "tif")]
    (tmp_path / "bad.jpg").write_bytes(paths[0].read_bytes()[:200])
    expected = [pixels(read_image(path)) for path in paths]
    filters = list(warnings.filters)

    def read(number: int) -> bool:
        if number % 7 == 0:
            with pytest.raises(ImageError, match="bad"):
                read_image(tmp_path / "bad.jpg")
            return True
        place = number % len(paths)
        return np.array_equal(pixels(read_image(paths[place])), expected[place])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(400)))
    assert list(warnings.filters) == filters
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
