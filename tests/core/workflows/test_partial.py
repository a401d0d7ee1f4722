"""An `embed` that ends early keeps what it has done, and the same command goes on with it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY_MODEL

from scing_cli.core.artifacts import file_digest
from scing_cli.core.embeddings.tower import TowerEmbedder
from scing_cli.core.errors import ImageError, InterruptionError
from scing_cli.core.index import GalleryIndex
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows import partial as partial_module
from scing_cli.core.workflows.embed import GalleryChoice, embed
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice

MODEL = ModelChoice(None, TINY_MODEL, "random", None, 0)
KEPT = Path("gallery.unfinished.faiss")


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)

    warn = note


@pytest.fixture
def crops(tmp_path, world, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(partial_module, "WORTH", 0.0)
    folder = tmp_path / "crops"
    folder.mkdir()
    for file in sorted((world / "bounding_box_test").glob("*.jpg"))[:14]:
        shutil.copy2(file, folder)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from scing_cli.core.synthetic import write_world

    folder = tmp_path_factory.mktemp("data") / "world"
    write_world(folder, identities=2, cameras=3, images_per_camera=3, seed=5, workers=2)
    return folder


@pytest.fixture
def stop_at(monkeypatch):
    """Send Ctrl-C before some batch of 3 images, counted from 0; None for none."""
    real, state = TowerEmbedder.tensors, {}

    def tensors(self, *arguments, **options):
        state["count"] += 1
        if state["count"] == state["at"]:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *arguments, **options)

    monkeypatch.setattr(TowerEmbedder, "tensors", tensors)

    def stop(at):
        state.update(count=-1, at=at)
        return state

    stop(None)
    return stop


def run(crops, *, output="gallery.faiss", reporter=None, precision="fp32", **options):
    machine = Machine(precision=precision, batch_size=3, workers=1)
    return embed(MODEL, GalleryChoice(images=crops), output=Path(output), machine=machine, reporter=reporter, **options)


def assert_same(one, other):
    one, other = GalleryIndex.read(Path(one)), GalleryIndex.read(Path(other))
    assert one.rows() == other.rows()
    np.testing.assert_array_equal(one.vectors(), other.vectors())


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("append", [False, True])
def test_the_same_command_goes_on_and_ends_the_same(crops, stop_at, batch, append):
    if append:
        late = [file.rename(crops.parent / file.name) for file in sorted(crops.iterdir())[::7]]
        for output in ("gallery.faiss", "whole.faiss"):
            run(crops, output=output)
        for file in late:
            file.rename(crops / file.name)
        shutil.copytree(crops, "more")
        crops = Path("more").absolute()
    options = {"append": append}
    run(crops, output="whole.faiss", **options)
    before = file_digest(Path("gallery.faiss")) if append else None
    stop_at(batch)
    with pytest.raises(InterruptionError) as stopped:
        run(crops, **options)
    assert f"after {3 * batch} of 14 images; gallery.unfinished.faiss keeps what was done" in stopped.value.what
    assert "same command" in stopped.value.remedy
    assert (file_digest(Path("gallery.faiss")) if append else None) == before
    assert append or not Path("gallery.faiss").exists()
    notes, count = Notes(), stop_at(None)
    run(crops, reporter=notes, **options)
    assert any(f"{3 * batch} images were embedded before the interruption" in said for said in notes.said)
    assert count["count"] + 1 == 5 - batch
    assert_same("gallery.faiss", "whole.faiss")
    assert not list(Path().glob("*unfinished*"))


def test_interrupted_again_and_again_it_still_ends_the_same(crops, stop_at):
    run(crops, output="whole.faiss")
    for done in (3, 6, 9, 12):
        stop_at(1)
        with pytest.raises(InterruptionError, match=f"after {done} of 14 images"):
            run(crops)
    stop_at(None)
    run(crops)
    assert_same("gallery.faiss", "whole.faiss")


def test_what_was_done_in_time_is_kept_whatever_ends_it(crops, stop_at, monkeypatch):
    """Saved after every batch here, as after so many minutes: a process that is killed has no say."""

    class Killed(BaseException):
        pass

    def gone(*_arguments, **_options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("scing_cli.core.workflows.embed._joined", gone)
        with pytest.raises(Killed):
            run(crops, save_minutes=0)
    assert len(GalleryIndex.read(KEPT)) == 14
    notes = Notes()
    run(crops, reporter=notes)
    assert any("14 images were embedded before" in said for said in notes.said)
    run(crops, output="whole.faiss")
    assert_same("gallery.faiss", "whole.faiss")


def test_a_damaged_image_loses_nothing_either(crops, stop_at):
    files = sorted(crops.iterdir())
    good = files[7].read_bytes()
    files[7].write_bytes(good[:200])
    with pytest.raises(ImageError, match=files[7].name):
        run(crops)
    assert len(GalleryIndex.read(KEPT)) == 6
    files[7].write_bytes(good)
    count = stop_at(None)
    run(crops)
    assert count["count"] + 1 == 3  # 8 images left
    assert len(GalleryIndex.read(Path("gallery.faiss"))) == 14


def test_an_image_that_has_changed_since_is_embedded_again(crops, stop_at):
    stop_at(2)
    with pytest.raises(InterruptionError):
        run(crops)
    first, second, *_ = sorted(crops.iterdir())
    shutil.copyfile(second, first)
    stop_at(None)
    notes = Notes()
    run(crops, reporter=notes)
    assert any("5 images were embedded before" in said for said in notes.said)
    run(crops, output="whole.faiss")
    one, other = GalleryIndex.read(Path("gallery.faiss")), GalleryIndex.read(Path("whole.faiss"))
    assert one.rows() == other.rows()
    np.testing.assert_allclose(one.vectors(), other.vectors(), atol=1e-6)


@pytest.mark.parametrize("how", ["other precision", "damaged", "no rows"])
def test_what_does_not_fit_is_not_taken(crops, stop_at, how):
    stop_at(2)
    with pytest.raises(InterruptionError):
        run(crops)
    if how == "damaged":
        KEPT.write_bytes(KEPT.read_bytes()[:-30])
    if how == "no rows":
        next(Path().glob("gallery.unfinished.rows-*")).unlink()
    stop_at(None)
    notes = Notes()
    run(crops, reporter=notes, precision="bf16" if how == "other precision" else "fp32")
    assert not any("embedded before" in said for said in notes.said)
    assert any("embedded anew" in said for said in notes.said) == (how != "other precision")
    assert len(GalleryIndex.read(Path("gallery.faiss"))) == 14
    assert not list(Path().glob("*unfinished*"))


def test_work_of_seconds_is_not_kept(crops, stop_at, monkeypatch):
    monkeypatch.setattr(partial_module, "WORTH", 60.0)
    stop_at(2)
    with pytest.raises(KeyboardInterrupt):
        run(crops)
    assert [file.name for file in Path().iterdir()] == ["crops"]
