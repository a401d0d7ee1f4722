"""The check before a training: what cannot be decoded goes, what was decoded before is not decoded again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fixtures import put

from scing_cli.core.artifacts import DecodedImages
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.errors import DataError, ImageError
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.shared import readable
from scing_cli.core.workflows.shared.readable import image_count, readable_rows


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Twenty images of ten people to train on, and a query that nobody checks."""
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))
    rows = [Sample(f"{number}.png", str(number // 2), split="train") for number in range(20)]
    for number, row in enumerate(rows):
        put(tmp_path / "data" / row.path, number // 2, number % 2)
    return Manifest(tmp_path / "data", (*rows, Sample("gone.png", "0", split="query")), "mine")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    real = readable.read_image

    def read(file: Path) -> object:
        names.append(file.name)
        return real(file)

    monkeypatch.setattr(readable, "read_image", read)
    return names


def check(data: Manifest, *, strict: bool = False) -> tuple[Manifest, LeftOut]:
    left_out = LeftOut(strict=strict)
    return readable_rows(data, "train", left_out=left_out, workers=2, reporter=Silent()), left_out


def test_sound_data_is_the_same_and_is_decoded_once(data: Manifest, decoded: list[str]) -> None:
    assert check(data)[0] is data
    assert len(decoded) == 20
    assert check(data)[0] is data
    assert len(decoded) == 20
    os.utime(data.root / "3.png")
    data.root.joinpath("4.png").unlink()
    assert [fault.reason for fault in check(data)[1].dropped()] == ["is missing"]
    assert decoded[20:] == ["3.png", "4.png"]


def test_damage_is_left_out_until_it_is_repaired(data: Manifest) -> None:
    file = data.root / "7.png"
    whole = file.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"text\n"):
        file.write_bytes(content)
        rows, left_out = check(data)
        assert [row.path for row in data if row not in rows.samples] == ["7.png"]
        assert rows.samples[-1].split == "query"
        assert file in left_out
    with pytest.raises(ImageError, match=r"7\.png .*\n.*scing prepare"):
        check(data, strict=True)
    file.write_bytes(whole)
    assert check(data)[0] is data


@pytest.mark.parametrize("lost", [2, 3])
def test_more_than_a_tenth_is_an_error(data: Manifest, lost: int) -> None:
    for number in range(lost):
        (data.root / f"{2 * number}.png").write_bytes(b"")
    if lost == 2:
        assert len(check(data)[0]) == 19
        return
    with pytest.raises(DataError) as caught:
        check(data)
    assert caught.value.what.startswith("3 of 20 images of the split train cannot be read, more than a tenth:\n")
    assert "4.png: is empty (0 bytes)" in caught.value.what
    assert "scing prepare DIR marks such images" in caught.value.remedy


def test_a_damaged_or_unwritable_memory_only_costs_time(data: Manifest, tmp_path: Path, decoded: list[str]) -> None:
    check(data)
    (tmp_path / "cache" / "decoded-images").write_bytes(b"x" * 37)
    assert check(data)[0] is data
    assert len(decoded) == 40
    (tmp_path / "cache" / "decoded-images").unlink()
    (tmp_path / "cache" / "decoded-images").mkdir()
    assert check(data)[0] is data
    assert data.root / "1.png" not in DecodedImages()


def test_of_observations_rows_are_counted_not_files(data: Manifest) -> None:
    """Three damaged thermal images of twenty observations: 15 % of the rows, 5 % of the images."""
    rows = []
    for number in range(20):
        for name in ("nir", "tir"):
            put(data.root / f"{name}-{number}.png", number // 2, number % 2)
        extra = (("near_infrared", f"nir-{number}.png"), ("thermal", f"tir-{number}.png"))
        rows.append(Sample(f"{number}.png", str(number // 2), split="train", extra=extra))
    observed = Manifest(data.root, tuple(rows), "mine")
    spectra = ("rgb", "nir", "tir")
    assert image_count(observed, "train", spectra) == 60
    assert image_count(observed, "train") == image_count(data, "train") == 20
    for number in (1, 2):
        (data.root / f"tir-{number}.png").write_bytes(b"")
    left = readable_rows(observed, "train", left_out=LeftOut(), workers=2, reporter=Silent(), spectra=spectra)
    assert len(left) == 18
    (data.root / "tir-3.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"3 of 20 observations of the split train have an image that cannot be read"):
        readable_rows(observed, "train", left_out=LeftOut(), workers=2, reporter=Silent(), spectra=spectra)
    assert readable_rows(observed, "train", left_out=LeftOut(), workers=2, reporter=Silent()) is observed
