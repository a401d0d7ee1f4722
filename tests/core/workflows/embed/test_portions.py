"""`embed` in portions: the same index, whatever the size of a portion, and what is kept grows by what is new."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from core.workflows.embed.test_partial_index import KEPT, Notes, assert_same, crops, run, stop_at, world

from scing_cli.core.artifacts import file_digest
from scing_cli.core.errors import ImageError, InterruptionError
from scing_cli.core.index import GalleryIndex, commits, read_stamp
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.embed import embed_work, partial_index

__all__ = ["crops", "stop_at", "world"]


class Bars(Notes):
    def __init__(self):
        super().__init__()
        self.bars = []

    def progress(self, description, total):
        self.bars.append((description, total))
        return Silent().progress(description, total)


@pytest.mark.parametrize("portion", [1, 3, 7, 15])
@pytest.mark.parametrize("append", [False, True])
def test_the_size_of_a_portion_changes_nothing(crops, monkeypatch, portion, append):
    if append:
        kept = [file.rename(crops.parent / file.name) for file in sorted(crops.iterdir())[::3]]
        for name in ("gallery", "whole"):
            run(crops, output=f"{name}.faiss")
        for file in kept:
            file.rename(crops / file.name)
        first, *_, last = sorted(crops.iterdir())
        shutil.copyfile(last, first)
    expected = run(crops, output="whole.faiss", append=append)
    monkeypatch.setattr(embed_work, "PORTION", portion)
    bars = Bars()
    report = run(crops, append=append, reporter=bars)
    assert (report.added, report.replaced, report.skipped) == (expected.added, expected.replaced, expected.skipped)
    new = 5 if append else 14
    assert bars.bars == ([("embed", 14)] if portion < 14 else [("digests", new), ("embed", new)])
    ours, theirs = (GalleryIndex.read(Path(f"{name}.faiss")) for name in ("gallery", "whole"))
    assert ours.rows() == theirs.rows()
    np.testing.assert_allclose(ours.vectors(), theirs.vectors(), atol=1e-6)
    if not append:  # otherwise images that are there already stand between, and batches begin elsewhere
        assert file_digest(Path("gallery.faiss")) == file_digest(Path("whole.faiss"))


def test_what_cannot_be_read_is_left_out_of_every_portion(crops, monkeypatch):
    files = sorted(crops.iterdir())
    for file in (files[1], files[2], files[3], files[13]):
        file.write_bytes(b"no image")
    expected = run(crops, output="whole.faiss")
    monkeypatch.setattr(embed_work, "PORTION", 3)
    report = run(crops)
    assert report.left_out == expected.left_out
    assert_same("gallery.faiss", "whole.faiss")
    for file in files:
        file.write_bytes(b"no image")
    with pytest.raises(ImageError, match="None of the 14 images can be read"):
        run(crops, output="none.faiss")


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_an_interruption_in_any_portion(crops, stop_at, monkeypatch, batch):
    run(crops, output="whole.faiss")
    monkeypatch.setattr(embed_work, "PORTION", 6)
    stop_at(batch)
    with pytest.raises(InterruptionError) as stopped:
        run(crops)
    assert f"after {3 * batch} of 14 images; {3 * batch} are saved" in stopped.value.what
    count, notes = stop_at(None), Notes()
    run(crops, reporter=notes)
    assert count["count"] + 1 == 5 - batch
    assert sum("embedded before the interruption" in said for said in notes.said) == -(-3 * batch // 6)
    assert_same("gallery.faiss", "whole.faiss")


def test_what_is_kept_grows_by_what_is_new(crops, stop_at, monkeypatch):
    """Every save of a large one writes a segment, and never again what it has."""
    run(crops, output="whole.faiss")
    monkeypatch.setattr(commits, "LARGE", 0)
    monkeypatch.setattr(partial_index, "MOST_UNSAVED", 1)
    saved, save = [], partial_index.PartialIndex.save

    def watched(partial):
        save(partial)
        saved.append([part.count for part in read_stamp(KEPT).parts])

    monkeypatch.setattr(partial_index.PartialIndex, "save", watched)
    stop_at(4)
    with pytest.raises(InterruptionError):
        run(crops)
    assert saved == [[3], [6], [9], [9, 3]]  # merged where a half or more is new
    stop_at(None)
    run(crops)
    assert_same("gallery.faiss", "whole.faiss")
    assert not list(Path().glob("*unfinished*"))


def test_a_disk_without_room_is_said_once_for_each_try(crops, monkeypatch):
    from scing_cli.core.errors import ScingError

    def full(_partial):
        raise ScingError("The disk is full.")

    monkeypatch.setattr(partial_index.PartialIndex, "save", full)
    monkeypatch.setattr(partial_index, "MOST_UNSAVED", 4 * 16 * 7)  # vectors of 7 images
    notes = Notes()
    run(crops, reporter=notes)
    assert sum("The partial results are not saved" in said for said in notes.said) <= 2
    assert len(GalleryIndex.read(Path("gallery.faiss"))) == 14
