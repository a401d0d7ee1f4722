"""Captions of hits: a hit that is the photo itself is marked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from scing_cli.core.index import Hit, Row, entry_of
from scing_cli.core.workflows.shared.pictures import montage_hit


@pytest.fixture
def photo(tmp_path):
    file = tmp_path / "photo.png"
    Image.new("RGB", (4, 8), "red").save(file)
    return file


def mark(file, photo):
    return montage_hit(Hit(row=Row.of(0, entry_of(file)), score=0.75), "", None, photo=photo).caption[0]


def test_the_photo_itself_is_marked_under_any_name_of_its_file(photo, tmp_path, monkeypatch):
    assert mark(photo, photo) == "0.750 same file"
    (tmp_path / "link").symlink_to(tmp_path)
    assert mark(photo, tmp_path / "link" / "photo.png") == "0.750 same file"
    monkeypatch.chdir(tmp_path)
    assert mark(photo, Path("photo.png")) == "0.750 same file"


def test_a_copy_is_marked_and_nothing_else(photo, tmp_path):
    copy, other = tmp_path / "copy.png", tmp_path / "other.png"
    shutil.copy(photo, copy)
    Image.new("RGB", (4, 8), "blue").save(other)
    assert mark(copy, photo) == "0.750 same bytes"
    assert mark(other, photo) == mark(photo, None) == "0.750"
    assert mark(photo, tmp_path / "gone.png") == "0.750"
