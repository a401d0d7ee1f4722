"""Embedding with the OpenVINO model: its vectors are near those of the tower, or it is not used."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_clip

from scing_cli.core.embeddings import openvino_embedder
from scing_cli.core.embeddings.openvino_embedder import OpenVinoEmbedder, make_openvino_model
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.openvino_model import OpenVinoModel, load_openvino_model, read_stamp
from scing_cli.core.runtime import Silent

pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)


class Listening(Silent):
    """A reporter that keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(draw.integers(0, 256, (40 + number, 20, 3), np.uint8)).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def copy(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> OpenVinoModel:
    folder = tmp_path_factory.mktemp("made") / "inference"
    assert make_openvino_model(folder, tiny_clip().image, "d", files, reporter=Silent())
    loaded = load_openvino_model(folder, "d", in_flight=2)
    assert loaded is not None
    return loaded


def tower(**changes: Any) -> TorchEmbedder:
    settings = {"kind": "projected", "device": torch.device("cpu"), "precision": "fp32", "batch_size": 3, "workers": 2}
    return TorchEmbedder(tiny_clip().image, **{**settings, **changes})


@pytest.mark.parametrize("kind", ["projected", "concat"])
@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_vectors_are_near_the_towers_and_of_unit_length(
    copy: OpenVinoModel, files: list[Path], kind: str, batch_size: int
) -> None:
    embedder = OpenVinoEmbedder(copy, kind=kind, batch_size=batch_size, workers=2)
    found = embedder.files(files, reporter=Silent(), text="embed")
    expected = tower(kind=kind).files(files, reporter=Silent(), text="embed")
    assert (found.dtype, found.shape, embedder.width) == (np.float32, expected.shape, expected.shape[1])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert (found * expected).sum(1).min() > 0.999


def test_boxes_images_and_files_give_the_same(copy: OpenVinoModel, files: list[Path]) -> None:
    embedder = OpenVinoEmbedder(copy, kind="projected", batch_size=3, workers=2)
    whole = embedder.files(files, reporter=Silent(), text="embed")
    images = embedder.images([Image.open(file).convert("RGB") for file in files])
    np.testing.assert_allclose(images, whole, atol=1e-6)
    assert embedder.images([]).shape == (0, embedder.width)


def test_lengths_are_kept_where_they_are_wanted(copy: OpenVinoModel, files: list[Path]) -> None:
    embedder = OpenVinoEmbedder(copy, kind="projected", batch_size=3, workers=2)
    plain, unit = (embedder.files(files, unit=one, reporter=Silent(), text="embed") for one in (False, True))
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 1e-3
    np.testing.assert_allclose(plain / lengths, unit, atol=1e-6)


def test_its_stamp_says_how_near_it_came(tmp_path: Path, files: list[Path]) -> None:
    assert make_openvino_model(tmp_path / "made", tiny_clip().image, "d", files, reporter=Silent())
    stamp = read_stamp(tmp_path / "made")
    assert stamp is not None
    assert 0.999 <= stamp["least_cosine"] <= 1.0000001
    assert stamp["crops"] == 7
    assert [entry.name for entry in tmp_path.iterdir()] == ["made"]


def test_a_copy_that_disagrees_is_refused_and_the_former_one_stays(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, reporter = tmp_path / "made", Listening()
    assert make_openvino_model(folder, tiny_clip().image, "d", files, reporter=Silent())
    write = openvino_embedder.write_openvino_model

    def wrong(place: Path, state: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        write(place, {**state, "proj": state["proj"][:, ::-1]}, facts)

    monkeypatch.setattr(openvino_embedder, "write_openvino_model", wrong)
    assert not make_openvino_model(folder, tiny_clip().image, "d", files, reporter=reporter)
    (warning,) = reporter.warnings
    assert "The OpenVINO model was not saved: the cosine of its vectors to the encoder's is" in warning
    assert "torch embeds instead." in warning
    assert load_openvino_model(folder, "d") is not None
    assert [entry.name for entry in tmp_path.iterdir()] == ["made"]


def test_a_broken_openvino_is_only_a_warning(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("openvino_graph", "openvino_runtime"):
        monkeypatch.setitem(sys.modules, f"scing_cli.core.encoders.{name}", None)
    reporter = Listening()
    assert not make_openvino_model(tmp_path / "made", tiny_clip().image, "d", files, reporter=reporter)
    assert "No OpenVINO model was made" in reporter.warnings[0]
    assert not list(tmp_path.iterdir())


def test_a_copy_that_another_process_made_meanwhile_is_taken(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, put = tmp_path / "made", openvino_embedder.put_folder

    def late(made: Path, place: Path) -> None:
        shutil.copytree(made, place)
        raise OSError("Directory not empty")

    monkeypatch.setattr(openvino_embedder, "put_folder", late)
    reporter = Listening()
    assert make_openvino_model(folder, tiny_clip().image, "d", files, reporter=reporter)
    assert not reporter.warnings
    monkeypatch.setattr(openvino_embedder, "put_folder", put)
    assert make_openvino_model(folder, tiny_clip().image, "d2", files, reporter=reporter)
    assert load_openvino_model(folder, "d2") is not None


def test_a_damaged_copy_that_cannot_be_replaced_is_no_success(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "made"
    assert make_openvino_model(folder, tiny_clip().image, "d", files, reporter=Silent())
    (folder / "encoder.bin").write_bytes(b"damaged")

    def refuse(made: Path, place: Path) -> None:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(openvino_embedder, "put_folder", refuse)
    reporter = Listening()
    assert not make_openvino_model(folder, tiny_clip().image, "d", files, reporter=reporter)
    assert reporter.warnings == [
        f"No OpenVINO model was made in {folder} ({folder}: Permission denied): torch embeds instead."
    ]


def test_what_a_killed_maker_left_is_removed_by_the_next_one(tmp_path: Path, files: list[Path]) -> None:
    old, fresh = tmp_path / ".made-old", tmp_path / ".made-fresh"
    for left in (old, fresh):
        left.mkdir()
        (left / "encoder.bin").write_bytes(b"1")
    os.utime(old, (0, 0))
    (tmp_path / ".made-gone").symlink_to(tmp_path / "nowhere")  # cannot be asked for its time, as one that just ended
    assert make_openvino_model(tmp_path / "made", tiny_clip().image, "d", files, reporter=Silent())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".made-fresh", ".made-gone", "made"]


def test_a_maker_whose_copy_is_replaced_at_once_takes_the_others(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(place: Path) -> None:
        raise FileNotFoundError(2, "No such file or directory", str(place / "encoder.bin"))

    monkeypatch.setattr(openvino_embedder, "remember_openvino_model", vanished)
    reporter = Listening()
    assert make_openvino_model(tmp_path / "made", tiny_clip().image, "d", files, reporter=reporter)
    assert not reporter.warnings


def test_a_tower_without_finite_vectors_gets_no_copy(tmp_path: Path, files: list[Path]) -> None:
    broken, reporter = tiny_clip().image, Listening()
    with torch.no_grad():
        broken.proj.fill_(float("nan"))
    assert not make_openvino_model(tmp_path / "made", broken, "d", files, reporter=reporter)
    assert "not finite" in reporter.warnings[0]
    assert not list(tmp_path.iterdir())


def test_no_crops_no_copy(tmp_path: Path) -> None:
    assert not make_openvino_model(tmp_path / "made", tiny_clip().image, "d", [], reporter=Silent())
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_only_a_warning(tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "file").write_text("in the way")
    reporter = Listening()
    assert not make_openvino_model(tmp_path / "file" / "made", tiny_clip().image, "d", files, reporter=reporter)
    assert "No OpenVINO model was made" in reporter.warnings[0]


def test_a_tower_with_cameras_is_copied_with_them(tmp_path: Path, files: list[Path]) -> None:
    encoder = tiny_clip().image
    encoder.learn_cameras(["1", "2"], 0)
    with torch.no_grad():
        encoder.camera_embedding += torch.randn(
            encoder.camera_embedding.shape, generator=torch.Generator().manual_seed(1)
        )
    cameras = ["1", "2", "1", "", "2", "1", "7"]
    assert make_openvino_model(tmp_path / "made", encoder, "d", files, cameras=cameras, reporter=Silent())
    loaded = load_openvino_model(tmp_path / "made", "d")
    assert loaded is not None
    listening = Listening()
    found = OpenVinoEmbedder(loaded, kind="projected", batch_size=4, workers=2).files(
        files, cameras=cameras, reporter=listening, text="embed"
    )
    settings = {"kind": "projected", "device": torch.device("cpu"), "precision": "fp32", "batch_size": 4, "workers": 2}
    expected = TorchEmbedder(encoder, **settings).files(files, cameras=cameras, reporter=Silent(), text="embed")
    without = TorchEmbedder(encoder, **settings).files(files, reporter=Silent(), text="embed")
    assert (found * expected).sum(1).min() > 0.999
    assert (found * without).sum(1)[[0, 1, 2, 4, 5]].max() < 0.999
    assert listening.warnings == ["2 images are not from a camera of the model's training: no camera vector is added."]
