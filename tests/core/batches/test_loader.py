from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scing_cli.core import observation_images
from scing_cli.core.batches import ImageLoader, resize, sequential, shares
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.errors import ImageError, SettingError
from scing_cli.core.imagefile import read_image
from scing_cli.core.spectra import Observation, Source, View


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number in range(23):
        image = Image.fromarray(draw.integers(0, 256, (40 + number, 30, 3), dtype=np.uint8))
        image.save(folder / f"{number:02}.png")
    return sorted(folder.iterdir())


def loader(files: Sequence[Source], **changes: Any) -> ImageLoader:
    return ImageLoader(files, **{"height": 32, "width": 16, "interpolation": "bicubic", "workers": 3, **changes})


def decoding() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (3, 4), (8, 50)])
def test_batches_come_in_order_and_hold_the_right_pixels(files: list[Path], workers: int, ahead: int) -> None:
    plan = [[5, 2, 2], [22], [], *sequential(23, 4)]
    seen = []
    for rows, pixels, *_ in loader(files, workers=workers, ahead=ahead).batches(plan):
        seen.append(rows)
        assert (pixels.shape, pixels.dtype) == ((len(rows), 3, 32, 16), np.uint8)
        for row, image in zip(rows, pixels, strict=True):
            np.testing.assert_array_equal(image, resize(read_image(files[row]), 32, 16))
    assert seen == plan
    assert not decoding()


def test_one_loader_serves_many_plans(files: list[Path]) -> None:
    several = loader(files)
    first, second = (np.concatenate([batch.pixels for batch in several.batches(sequential(23, 7))]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_no_batch_for_no_image(files: list[Path]) -> None:
    assert list(loader(files).batches([])) == []


def test_only_so_many_batches_are_decoded_ahead(files: list[Path]) -> None:
    asked = []

    def plan() -> Iterator[list[int]]:
        for batch in range(20):
            asked.append(batch)
            yield [batch]

    batches = loader(files, ahead=3).batches(plan())
    next(batches)
    assert len(asked) == 4
    next(batches)
    time.sleep(0.05)
    assert len(asked) == 5
    batches.close()


def test_an_unreadable_image_is_named_with_what_to_do(files: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "kaputt é.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0 and no more")
    batches = loader([*files, bad]).batches([[0, 1], [2, 23], [3]])
    assert next(batches)[0] == [0, 1]
    with pytest.raises(ImageError, match=r"kaputt é\.jpg cannot be decoded") as caught:
        next(batches)
    assert "run scing prepare, which marks such images with the reason in its manifest" in caught.value.remedy
    assert not decoding()
    assert next(batches, None) is None


def test_others_take_the_place_of_an_unreadable_image(files: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    several = [files[0], broken, broken, files[3], files[4]]
    left_out = LeftOut()
    plan = [[0, 1, 3], [1], [2]]
    found = list(loader(several).batches(plan, left_out=left_out, others=lambda row: [2, 4, 3] if row == 1 else [3]))
    expected = [[0, 4, 3], [4], [3]]
    assert [rows for rows, *_ in found] == plan
    for (_, pixels, *_), rows in zip(found, expected, strict=True):
        for row, image in zip(rows, pixels, strict=True):
            np.testing.assert_array_equal(image, resize(read_image(several[row]), 32, 16))
    assert [fault.path for fault in left_out.dropped()] == [str(broken)]
    with pytest.raises(ImageError, match=r"broken\.png .*\nNo other image of this person can be read"):
        list(loader(several).batches([[1]], left_out=LeftOut(), others=lambda row: [2]))
    with pytest.raises(ImageError, match=r"broken\.png"):
        list(loader(several).batches([[1]], left_out=LeftOut(strict=True), others=lambda row: [3]))


def test_closing_early_leaves_no_thread(files: list[Path]) -> None:
    batches = loader(files).batches(sequential(23, 2))
    next(batches)
    batches.close()
    assert not decoding()


def test_leaving_the_loop_leaves_no_thread(files: list[Path]) -> None:
    def first_rows() -> list[int]:
        for rows, *_ in loader(files).batches(sequential(23, 2)):
            return rows
        return []

    assert first_rows() == [0, 1]
    assert not decoding()


def test_a_failing_plan_leaves_no_thread(files: list[Path]) -> None:
    def plan() -> Iterator[list[int]]:
        yield [0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(loader(files).batches(plan()))
    assert not decoding()


def test_a_pool_of_nobody_is_refused(files: list[Path]) -> None:
    with pytest.raises(SettingError, match="0 workers"):
        loader(files, workers=0)
    with pytest.raises(SettingError, match="at least 1"):
        loader(files, ahead=0)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(0, 4, []), (4, 4, [[0, 1, 2, 3]]), (5, 4, [[0, 1, 2, 3], [4]]), (3, 8, [[0, 1, 2]]), (2, 1, [[0], [1]])],
)
def test_sequential_never_ends_in_an_empty_batch(count: int, size: int, expected: list[list[int]]) -> None:
    assert sequential(count, size) == expected


@pytest.mark.parametrize(
    ("count", "workers", "longest"), [(0, 3, 0), (3, 16, 1), (256, 16, 4), (256, 2, 8), (10_001, 1, 8)]
)
def test_shares_hold_every_item_once(count: int, workers: int, longest: int) -> None:
    parts = [range(count)[part] for part in shares(count, workers)]
    assert [item for part in parts for item in part] == list(range(count))
    assert max(map(len, parts), default=0) == longest


ALL = ("rgb", "nir", "tir")


@pytest.fixture
def observed(files: list[Path], tmp_path: Path) -> list[Observation]:
    """Observations of three files, of a strip, and of some of the spectra."""
    strip = tmp_path / "strip.png"
    Image.fromarray(np.random.default_rng(4).integers(0, 256, (24, 99, 3), dtype=np.uint8)).save(strip)
    return [
        Observation((View(files[0]), View(files[1]), View(files[2]))),
        Observation((View(strip, 0), View(strip, 1), View(strip, 2))),
        Observation((None, View(files[3]), None)),
        Observation((View(files[4]), None, View(files[5]))),
    ]


def by_hand(source: Observation) -> np.ndarray:
    """The pixels of an observation, image by image: (9, 32, 16); zero where there is none."""
    parts = []
    for view in source.views:
        if view is None:
            parts.append(np.zeros((3, 32, 16), np.uint8))
            continue
        image = Image.open(view.file).convert("RGB")
        if view.part is not None:
            image = image.crop(((0, 0, 33, 24), (33, 0, 66, 24), (66, 0, 99, 24))[view.part])
        parts.append(resize(image, 32, 16))
    return np.concatenate(parts)


def test_an_observation_is_one_row_of_all_its_spectra(observed: list[Observation]) -> None:
    several = loader(observed, spectra=ALL)
    rows, pixels, cameras, missing = next(several.batches([[3, 0, 1, 2]]))
    assert (rows, cameras) == ([3, 0, 1, 2], None)
    for row, image in zip(rows, pixels, strict=True):
        np.testing.assert_array_equal(image, by_hand(observed[row]))
    assert missing is not None
    assert missing.tolist() == [[False, True, False], [False] * 3, [False] * 3, [True, False, True]]
    assert next(several.batches([[0, 1]])).missing is None


def test_a_file_is_a_visible_image_for_a_model_of_several_spectra(files: list[Path]) -> None:
    found = next(loader(files, spectra=ALL).batches([[2]]))
    np.testing.assert_array_equal(found.pixels[0], by_hand(Observation((View(files[2]), None, None))))
    assert found.missing is not None
    assert found.missing.tolist() == [[False, True, True]]


def test_a_strip_is_decoded_once(observed: list[Observation], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(observation_images, "read_image", lambda path: opened.append(path.name) or read_image(path))
    next(loader(observed, spectra=ALL).batches([[1, 0]]))
    assert sorted(opened) == ["00.png", "01.png", "02.png", "strip.png"]


def test_an_observation_with_a_damaged_image_is_left_out_as_a_whole(
    files: list[Path], observed: list[Observation], tmp_path: Path
) -> None:
    broken = tmp_path / "thermal.png"
    broken.write_text("no picture")
    observed.append(Observation((View(files[7]), None, View(broken))))
    left_out = LeftOut()
    (found,) = loader(observed, spectra=ALL).batches([[4, 3]], left_out=left_out)
    assert found.rows == [3]
    assert found.missing is not None
    assert found.missing.tolist() == [[False, True, False]]
    (fault,) = left_out.dropped()
    assert fault.path == str(files[7])
    assert "thermal.png" in fault.reason


def test_a_replaced_observation_has_the_spectra_of_the_other(observed: list[Observation], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    observed.append(Observation((View(broken), View(broken), View(broken))))
    batches = loader(observed, spectra=ALL).batches([[4, 0]], left_out=LeftOut(), others=lambda row: [4, 2])
    rows, pixels, _, missing = next(batches)
    assert rows == [4, 0]
    assert missing is not None
    assert missing.tolist() == [[True, False, True], [False] * 3]
    np.testing.assert_array_equal(pixels[0], by_hand(observed[2]))


def test_a_strip_of_two_pixels_is_refused(tmp_path: Path) -> None:
    narrow = tmp_path / "narrow.png"
    Image.new("RGB", (2, 9)).save(narrow)
    source = Observation((View(narrow, 0), View(narrow, 1), View(narrow, 2)))
    with pytest.raises(ImageError, match=r"narrow\.png is 2 pixels wide, which cannot be divided into 3 images"):
        list(loader([source], spectra=ALL).batches([[0]]))
