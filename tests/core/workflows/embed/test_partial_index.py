"""An `embed` that ends early saves its partial results, and the same command resumes."""

from __future__ import annotations

import csv
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY_MODEL

from scing_cli.core.artifacts import file_digest
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.errors import ImageError, IndexFileError, InterruptionError
from scing_cli.core.index import GalleryIndex, write_lock
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import PromptSettings, VisualSettings
from scing_cli.core.workflows.embed import partial_index as partial_module
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice
from scing_cli.core.workflows.train.prompts_stage import train_prompts
from scing_cli.core.workflows.train.visual_stage import train_visual

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
    real, state = TorchEmbedder.tensors, {}

    def tensors(self, *arguments, **options):
        state["count"] += 1
        if state["count"] == state["at"]:
            signal.raise_signal(signal.SIGINT)
        return real(self, *arguments, **options)

    monkeypatch.setattr(TorchEmbedder, "tensors", tensors)

    def stop(at):
        state.update(count=-1, at=at)
        return state

    stop(None)
    return stop


def run(crops, *, output="gallery.faiss", reporter=None, precision="fp32", **options):
    machine = Machine(precision=precision, batch_size=3, workers=1)
    return embed(
        MODEL,
        GalleryChoice(images=crops),
        output=Path(output),
        machine=machine,
        reporter=reporter or Silent(),
        **options,
    )


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
    assert f"after {3 * batch} of 14 images; {3 * batch} are saved in gallery.unfinished.faiss" in stopped.value.what
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
        patch.setattr("scing_cli.core.workflows.embed.embed_gallery._joined", gone)
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
        run(crops, strict=True)
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
    assert any("gallery.unfinished" in said and "embedded again" in said for said in notes.said)
    assert len(GalleryIndex.read(Path("gallery.faiss"))) == 14
    assert not list(Path().glob("*unfinished*"))


def test_work_of_seconds_is_not_kept(crops, stop_at, monkeypatch):
    monkeypatch.setattr(partial_module, "WORTH", 60.0)
    stop_at(2)
    with pytest.raises(KeyboardInterrupt):
        run(crops)
    assert [file.name for file in Path().iterdir()] == ["crops"]


@pytest.mark.parametrize("place", ["in the commit", "after it"])
@pytest.mark.parametrize("option", [None, "append", "force"])
def test_ctrl_c_once_the_index_is_committed_leaves_nothing_unfinished(crops, stop_at, monkeypatch, place, option):
    run(crops, output="whole.faiss")
    if option is not None:
        last = max(crops.iterdir()).rename("last.jpg")
        run(crops)
        last.rename(crops / "zz.jpg")
        run(crops, output="whole.faiss", **{option: True})
    write, rename, sent = GalleryIndex.write, Path.replace, []

    def interrupted(index, path, **options):
        stamp = write(index, path, **options)
        if path == Path("gallery.faiss") and place == "after it":
            sent.append(path)
            signal.raise_signal(signal.SIGINT)
        return stamp

    def renamed(file, target):
        rename(file, target)
        if target == Path("gallery.faiss") and place == "in the commit":
            sent.append(target)
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(GalleryIndex, "write", interrupted)
        patch.setattr(Path, "replace", renamed)
        with pytest.raises(InterruptionError) as stopped:
            run(crops, save_minutes=0, **({option: True} if option else {}))
    assert sent
    assert "gallery.faiss was written: it is complete" in stopped.value.what
    assert "Nothing is left to do" in stopped.value.remedy
    vectors = [GalleryIndex.read(Path(name)).vectors() for name in ("gallery.faiss", "whole.faiss")]
    assert len(vectors[0]) == 14
    if option != "append":
        np.testing.assert_array_equal(*vectors)
    assert not [file for file in Path().iterdir() if "unfinished" in file.name]


@pytest.mark.parametrize("option", ["append", "force"])
def test_what_a_kill_between_commit_and_removal_leaves_is_named_and_removed(crops, monkeypatch, option):
    class Killed(BaseException):
        pass

    def gone(*_arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(partial_module.PartialIndex, "clear", gone)
        with pytest.raises(Killed):
            run(crops, save_minutes=0)
    assert KEPT.exists()
    with pytest.raises(IndexFileError, match=r"gallery\.faiss is there already") as refused:
        run(crops)
    assert "gallery.unfinished.faiss has partial results of an interrupted embed: --append" in refused.value.remedy
    assert KEPT.exists()
    run(crops, **{option: True})
    assert not [file for file in Path().iterdir() if "unfinished" in file.name]
    with pytest.raises(IndexFileError, match=r"gallery\.faiss is there already") as refused:
        run(crops)
    assert "unfinished" not in refused.value.remedy


def test_two_embeds_of_one_index_do_not_share_what_is_kept(crops, stop_at):
    """The second one neither takes, keeps nor removes anything."""
    stop_at(2)
    with pytest.raises(InterruptionError):
        run(crops)
    stop_at(None)
    before, notes = file_digest(KEPT), Notes()
    with write_lock(KEPT):
        run(crops, save_minutes=0, reporter=notes)
    assert any("writing gallery.unfinished.faiss" in said and "saves no partial results" in said for said in notes.said)
    assert not any("embedded before" in said for said in notes.said)
    assert file_digest(KEPT) == before
    assert len(GalleryIndex.read(Path("gallery.faiss"))) == 14
    stop_at(2)
    with write_lock(KEPT), pytest.raises(KeyboardInterrupt):
        run(crops, force=True)
    assert file_digest(KEPT) == before


@pytest.fixture(scope="module")
def sie(world, tmp_path_factory):
    """A run whose encoder knows the world's cameras."""
    run = tmp_path_factory.mktemp("sie") / "run"
    settings = {"epochs": 1, "batch_size": 8, "instances": 2, "lr": 1e-2}
    train_prompts(world, PromptSettings(model=TINY_MODEL, pretrained="random", **settings), run=run)
    train_visual(VisualSettings(camera_embedding=True, warmup_epochs=0, **settings), run=run)
    return run


def table(world, cameras, leave_out):
    """Write a table of the world's gallery in which each image is of the camera that its name tells, or another."""
    with Path("rows.csv").open("w", newline="") as stream:
        rows = [
            (file, file.name[:4], file.name[6], "gallery") for file in sorted(world.glob("bounding_box_test/*.jpg"))
        ]
        rows = [(*row[:2], cameras.get(place, row[2]), row[3]) for place, row in enumerate(rows)]
        csv.writer(stream).writerows([("path", "identity", "camera", "split"), *rows[: len(rows) - leave_out]])
    return Path("rows.csv")


def test_of_a_model_that_knows_cameras_each_image_is_held_against_its_own(world, sie, tmp_path, monkeypatch, stop_at):
    """One more image, or another camera of one, costs the vectors of no other image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(partial_module, "WORTH", 0.0)
    machine = Machine(precision="fp32", batch_size=3, workers=1)

    def own(cameras, *, leave_out=0, **options):
        data = GalleryChoice(data=table(world, cameras, leave_out))
        return embed(ModelChoice(run=sie), data, machine=machine, **options)

    own({0: "2", 1: "none"}, output=Path("whole.faiss"))
    stop_at(2)
    with pytest.raises(InterruptionError, match="after 6 of"):
        own({1: "unknown"}, leave_out=1)
    stop_at(None)
    notes = Notes()
    own({0: "2", 1: "none"}, reporter=notes)
    assert [said.split(" ")[0] for said in notes.said if "embedded before" in said] == ["5"]
    one, other = GalleryIndex.read(Path("gallery.faiss")), GalleryIndex.read(Path("whole.faiss"))
    assert one.rows() == other.rows()
    assert [row.camera for row in one.rows()[:2]] == ["2", "none"]
    np.testing.assert_allclose(one.vectors(), other.vectors(), atol=1e-6)
