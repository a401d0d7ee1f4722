from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.batches import ImageLoader, resize, sequential, shares
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.errors import ImageError, SettingError
from scing_cli.core.imagefile import read_image


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    for number in range(23):
        image = Image.fromarray(draw.integers(0, 256, (40 + number, 30, 3), dtype=np.uint8))
        image.save(folder / f"{number:02}.png")
    return sorted(folder.iterdir())


def loader(files: list[Path], **changes: int) -> ImageLoader:
    return ImageLoader(files, **{"height": 32, "width": 16, "interpolation": "bicubic", "workers": 3, **changes})


def decoding() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (3, 4), (8, 50)])
def test_batches_come_in_order_and_hold_the_right_pixels(files: list[Path], workers: int, ahead: int) -> None:
    plan = [[5, 2, 2], [22], [], *sequential(23, 4)]
    seen = []
    for rows, pixels in loader(files, workers=workers, ahead=ahead).batches(plan):
        seen.append(rows)
        assert (pixels.shape, pixels.dtype) == ((len(rows), 3, 32, 16), np.uint8)
        for row, image in zip(rows, pixels, strict=True):
            np.testing.assert_array_equal(image, resize(read_image(files[row]), 32, 16))
    assert seen == plan
    assert not decoding()


def test_one_loader_serves_many_plans(files: list[Path]) -> None:
    several = loader(files)
    first, second = (np.concatenate([pixels for _, pixels in several.batches(sequential(23, 7))]) for _ in range(2))
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
    assert [rows for rows, _ in found] == plan
    for (_, pixels), rows in zip(found, expected, strict=True):
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
        for rows, _ in loader(files).batches(sequential(23, 2)):
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
