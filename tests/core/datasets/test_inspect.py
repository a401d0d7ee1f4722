"""Opening every image, and counting parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from scing_cli.core.datasets import Dropped, read_data
from scing_cli.core.datasets.inspect import (
    Spread,
    cameras_per_identity,
    count_distractors,
    count_parts,
    inspect_images,
)
from scing_cli.core.datasets.published_counts import PartCount
from scing_cli.core.manifest import SPLITS, Manifest, Sample
from scing_cli.core.runtime import Advance, Silent


class Counting(Silent):
    """A reporter that adds up the steps of its one bar."""

    def __init__(self) -> None:
        self.total = self.steps = 0

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        self.total = total

        def advance(steps: int, text: str = "") -> None:
            self.steps += steps

        yield advance


@pytest.mark.parametrize("workers", [1, 3])
def test_unreadable_images_are_returned_in_manifest_order(tmp_path: Path, workers: int) -> None:
    good = tmp_path / "good.jpg"
    Image.effect_noise((40, 80), 60).save(good)
    whole = good.read_bytes()
    contents = {"z.jpg": b"", "good.jpg": whole, "cut.jpg": whole[: len(whole) // 2], "words.jpg": b"hello there\n"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    names = [*contents, "gone.jpg", *["good.jpg"] * 100, "z.jpg"]
    samples = tuple(Sample(name, split="query") for name in names)
    reporter = Counting()
    found = inspect_images(Manifest(tmp_path, samples, "mine"), workers=workers, reporter=reporter)
    dropped = found.unreadable
    assert (found.widths, found.heights) == (Spread(40, 40, 40), Spread(80, 80, 80))
    assert found.identical == ()
    assert [entry.path for entry in dropped] == ["z.jpg", "cut.jpg", "words.jpg", "gone.jpg"]
    reasons = [entry.reason for entry in dropped]
    assert "empty" in reasons[0]
    assert "truncated" in reasons[1]
    assert "text" in reasons[2]
    assert "missing" in reasons[3]
    assert not any(str(tmp_path) in reason or reason.endswith(".") for reason in reasons)
    assert (reporter.total, reporter.steps) == (5, 5)


def test_more_images_than_one_window_are_all_opened(tmp_path: Path) -> None:
    for number in range(80):
        (tmp_path / f"{number:02}.jpg").touch()
    samples = tuple(Sample(f"{number:02}.jpg") for number in range(80))
    dropped = inspect_images(Manifest(tmp_path, samples, "mine"), workers=2, reporter=Silent()).unreadable
    assert [entry.path for entry in dropped] == [f"{number:02}.jpg" for number in range(80)]
    assert isinstance(dropped[0], Dropped)


def test_sizes_and_files_of_the_same_bytes(tmp_path: Path) -> None:
    for name, size in {"a.png": (10, 30), "b.png": (20, 20), "c.png": (30, 90), "d.png": (40, 10)}.items():
        Image.new("RGB", size).save(tmp_path / name)
    for copy in ("y.png", "x.png"):
        (tmp_path / copy).write_bytes((tmp_path / "c.png").read_bytes())
    samples = tuple(Sample(f"{letter}.png") for letter in "abycdxa")
    found = inspect_images(Manifest(tmp_path, samples, "mine"), workers=2, reporter=Silent())
    assert found.identical == (("y.png", "c.png", "x.png"),)
    assert found.widths == Spread(10, 30, 40)
    assert found.heights == Spread(10, 30, 90)
    assert found.unreadable == ()


def test_nothing_has_no_spread() -> None:
    assert Spread.of([]) is None
    assert Spread.of([4, 1]) == Spread(1, 1, 4)


def test_distractors_and_cameras_per_identity(make_market) -> None:
    root = make_market(
        train=["0001_c1_a.jpg", "0001_c2_a.jpg", "0002_c2_a.jpg", "0004_c1_a.jpg", "0004_c2_a.jpg", "0004_c5_a.jpg"],
        query=["0003_c1_a.jpg"],
        gallery=["0003_c2_a.jpg", "0003_c2_b.jpg", "0000_c3_a.jpg", "0000_c3_b.jpg", "0009_c1_a.jpg"],
    )
    manifest = read_data(root).manifest
    assert count_distractors(manifest) == PartCount(2, 3, 2)
    assert cameras_per_identity(manifest) == {
        "train": Spread(1, 2, 3),
        "query": Spread(1, 1, 1),
        "gallery": Spread(1, 1, 1),
    }
    assert list(cameras_per_identity(manifest)) == ["train", "query", "gallery"]


def test_without_cameras_there_is_no_spread_of_them() -> None:
    assert cameras_per_identity(Manifest(Path(), (Sample("a", "1", "", "train"),), "mine")) == {}


def test_parts_are_counted_distractors_included(make_market) -> None:
    root = make_market(
        train=["0001_c1_a.jpg", "0001_c2_a.jpg", "0002_c2_a.jpg"],
        query=["0003_c1_a.jpg"],
        gallery=["0003_c2_a.jpg", "0000_c3_a.jpg", "-1_c4_a.jpg"],
    )
    assert count_parts(read_data(root).manifest) == {
        "train": PartCount(2, 3, 2),
        "query": PartCount(1, 1, 1),
        "gallery": PartCount(2, 2, 2),
    }


def test_parts_without_rows_count_zero_and_unknown_people_do_not_count() -> None:
    samples = (Sample("a", "1", "", "val"), Sample("b", "", "7", "val"), Sample("c", "9", "9", ""))
    parts = count_parts(Manifest(Path(), samples, "mine"))
    nothing = PartCount(0, 0, 0)
    assert parts == {"train": nothing, "val": PartCount(1, 2, 1), "query": nothing, "gallery": nothing}
    assert list(parts) == list(SPLITS)
