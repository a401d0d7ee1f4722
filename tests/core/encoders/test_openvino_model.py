"""The OpenVINO model: its graph computes the same as the tower, and a file on disk is used only if it matches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artifacts import edit_json
from tiny import tiny_clip

from scing_cli.core.devices import cpu_has_bf16
from scing_cli.core.encoders import openvino_model
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.encoders.initial import fill_image
from scing_cli.core.encoders.openvino_model import GRAPH, WEIGHTS, load_openvino_model, write_openvino_model
from scing_cli.core.errors import RunError

pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
SIZES: dict[str, Any] = {"width": 32, "layers": 3, "heads": 4, "embed_dim": 24}
TOWERS = {
    "plain": (Geometry(32, 16, 8, 8), {}),
    "quick gelu": (Geometry(32, 16, 8, 8), {"quick_gelu": True}),
    "overlapping patches": (Geometry(40, 24, 8, 5), {"mlp_ratio": 2.0}),
    "one block": (Geometry(16, 16, 16, 16), {"layers": 1}),
    "cameras": (Geometry(32, 16, 8, 8), {"cameras": ("1", "2", "yard")}),
    "a prompt in the first block": (Geometry(32, 16, 8, 8), {"prompt_tokens": 1, "prompt_depth": 1}),
    "prompts in some blocks": (Geometry(32, 16, 8, 8), {"prompt_tokens": 4, "prompt_depth": 2}),
    "prompts in all blocks": (Geometry(40, 24, 8, 5), {"prompt_tokens": 3, "prompt_depth": 3}),
    "one block with prompts": (Geometry(16, 16, 8, 8), {"layers": 1, "prompt_tokens": 2, "prompt_depth": 1}),
}


def tower(name: str, seed: int = 0) -> ImageEncoder:
    geometry, changes = TOWERS[name]
    encoder = ImageEncoder(geometry=geometry, **{**SIZES, **changes})
    fill_image(encoder, seed)
    if encoder.cameras:
        encoder.learn_cameras(encoder.cameras, seed)
    if encoder.prompts is not None:
        encoder.learn_prompts(encoder.prompt_tokens, len(encoder.prompts), seed)
    with torch.no_grad():  # norms, biases and cameras that a mistake would show in
        for number, value in enumerate(encoder.parameters()):
            value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(number)))
    return encoder.eval()


def arrays(encoder: ImageEncoder) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in encoder.state_dict().items()}


def facts(encoder: ImageEncoder, digest: str = "d1") -> dict[str, Any]:
    return {
        "digest": digest,
        "geometry": encoder.geometry.as_dict(),
        "model": encoder.config,
        "embed_dim": encoder.embed_dim,
    }


def pixels(encoder: ImageEncoder, count: int) -> np.ndarray:
    size = encoder.geometry
    return np.random.default_rng(count).standard_normal((count, 3, size.height, size.width)).astype(np.float32)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    encoder = tower("plain")
    folder = tmp_path / "copy"
    folder.mkdir()
    write_openvino_model(folder, arrays(encoder), facts(encoder))
    return folder


@pytest.mark.parametrize("name", TOWERS)
def test_the_graph_computes_what_the_tower_computes(name: str) -> None:
    from scing_cli.core.encoders.openvino_graph import image_graph
    from scing_cli.core.encoders.openvino_runtime import openvino_core

    encoder = tower(name)
    graph = image_graph(arrays(encoder), encoder.geometry, encoder.config)
    compiled = openvino_core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for count in (1, 5):
        given = {"pixels": pixels(encoder, count)}
        places = None
        if encoder.cameras:
            given["cameras"] = np.resize([2, 3, 0, 1], count).astype(np.int64)  # 3: none
            places = torch.from_numpy(np.where(given["cameras"] == 3, -1, given["cameras"]))
        found = compiled(given)
        with torch.no_grad():
            expected = encoder(torch.from_numpy(given["pixels"]), places)
        np.testing.assert_allclose(found["cls"], expected.cls.numpy(), atol=2e-5)
        np.testing.assert_allclose(found["projected"], expected.projected.numpy(), atol=2e-5)


@pytest.mark.parametrize("in_flight", [1, 3])
def test_batches_come_back_in_order_with_what_belongs_to_them(tmp_path: Path, in_flight: int) -> None:
    encoder = tower("cameras")
    write_openvino_model(tmp_path, arrays(encoder), facts(encoder))
    copy = load_openvino_model(tmp_path, "d1", in_flight=in_flight)
    assert copy is not None
    assert (copy.cameras, copy.embed_dim, copy.width) == (("1", "2", "yard"), 24, 32)
    given = [(tag, pixels(encoder, 1 + tag % 4), np.arange(1 + tag % 4) - 1) for tag in range(9)]
    asked, most = 0, 0

    def feed():
        nonlocal asked
        for batch in given:
            asked += 1
            yield batch

    done = []
    for tag, features in copy.stream(feed()):
        done.append(tag)
        most = max(most, asked - len(done))
        with torch.no_grad():
            expected = encoder(torch.from_numpy(given[tag][1]), torch.from_numpy(given[tag][2]))
        for own, other in ((features.cls, expected.cls), (features.projected, expected.projected)):
            cosines = torch.nn.functional.cosine_similarity(torch.from_numpy(own), other)
            assert cosines.min() > 0.999
    assert done == list(range(9))
    assert most <= in_flight


def test_a_camera_changes_the_features_and_none_is_as_without(tmp_path: Path) -> None:
    encoder = tower("cameras")
    write_openvino_model(tmp_path, arrays(encoder), facts(encoder))
    copy = load_openvino_model(tmp_path, "d1")
    assert copy is not None
    image = pixels(encoder, 1)
    places = (None, np.array([-1]), np.array([1]))
    ((_, plain), (_, none), (_, second)) = copy.stream((number, image, own) for number, own in enumerate(places))
    np.testing.assert_array_equal(plain.projected, none.projected)
    assert np.abs(plain.projected - second.projected).max() > 1e-3


def test_what_is_not_there_is_none(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_openvino_model(copied, "d1") is not None
    assert load_openvino_model(copied, "another tower") is None
    assert load_openvino_model(tmp_path / "nothing", "d1") is None
    monkeypatch.setattr(openvino_model, "openvino_installed", lambda: False)
    assert load_openvino_model(copied, "d1") is None


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty, Path.unlink])
@pytest.mark.parametrize("name", [GRAPH, WEIGHTS])
def test_damage_is_told_and_named(copied: Path, name: str, damage: Any) -> None:
    damage(copied / name)
    with pytest.raises(RunError, match=r"copy") as caught:
        load_openvino_model(copied, "d1")
    assert "scing embed makes it again" in caught.value.remedy


def test_files_that_were_checked_once_are_checked_again_when_they_change(copied: Path) -> None:
    assert load_openvino_model(copied, "d1") is not None
    flip(copied / WEIGHTS)
    with pytest.raises(RunError, match=r"encoder\.bin does not match stamp\.json next to it"):
        load_openvino_model(copied, "d1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99}, "has format 99"),
        ({"geometry": {"height": -1}}, "geometry.height is -1: "),
        ({"model": None}, "model is null: "),
        ({"files": {}}, "files.encoder.xml is missing"),
    ],
)
def test_a_stamp_that_does_not_fit_is_refused(copied: Path, change: dict[str, Any], words: str) -> None:
    edit_json(copied / "stamp.json", lambda stamp: stamp.update(change))
    with pytest.raises(RunError, match=words):
        load_openvino_model(copied, "d1")


def test_other_statistics_than_were_written_are_noticed(copied: Path) -> None:
    """No other digest covers them: the graph takes normalised pixels."""
    file = copied / "stamp.json"
    stamp = json.loads(file.read_text())
    stamp["geometry"]["mean"] = [0.4, 0.5, 0.5]
    file.write_text(json.dumps(stamp))
    with pytest.raises(RunError, match=r"stamp\.json is damaged"):
        load_openvino_model(copied, "d1")
    assert not openvino_model.has_openvino_model(copied, "d1")


@pytest.mark.parametrize(
    ("tried", "here", "runs"), [("fp32", True, "fp32"), ("bf16", True, "bf16"), ("bf16", False, "fp32")]
)
def test_it_never_runs_in_a_precision_that_it_was_not_tried_in(
    copied: Path, monkeypatch: pytest.MonkeyPatch, tried: str, here: bool, runs: str
) -> None:
    if runs == "bf16" and not cpu_has_bf16():
        pytest.skip("needs a processor with bf16 products")
    edit_json(copied / "stamp.json", lambda stamp: stamp.update(precision=tried))
    monkeypatch.setattr(openvino_model, "cpu_has_bf16", lambda: here)
    copy = load_openvino_model(copied, "d1")
    assert copy is not None
    assert copy.precision == runs


def test_the_copy_of_another_tower_under_this_ones_stamp_is_refused(copied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    encoder = tower("plain", seed=1)
    write_openvino_model(other, arrays(encoder), facts(encoder, "d2"))
    shutil.copy(other / WEIGHTS, copied / WEIGHTS)
    with pytest.raises(RunError, match="the digests differ"):
        load_openvino_model(copied, "d1")


def test_weights_take_half_the_room(copied: Path) -> None:
    floats = sum(value.size for value in arrays(tower("plain")).values())
    assert 2 * floats <= (copied / WEIGHTS).stat().st_size < 3 * floats


def test_the_shipped_tower_comes_out_near(tmp_path: Path) -> None:
    """A trained tower: its activations are spread otherwise than random ones."""
    from scing_cli.core.encoders.clip import load_clip

    encoder = load_clip("scing-tiny").image
    write_openvino_model(tmp_path, arrays(encoder), facts(encoder))
    copy = load_openvino_model(tmp_path, "d1")
    assert copy is not None
    image = np.clip(pixels(encoder, 8), -1, 1)
    ((_, found),) = copy.stream([(0, image, None)])
    with torch.no_grad():
        expected = encoder(torch.from_numpy(image)).projected
    assert torch.nn.functional.cosine_similarity(torch.from_numpy(found.projected), expected).min() > 0.9995


def test_the_tiny_clips_tower_has_a_graph(tmp_path: Path) -> None:
    encoder = tiny_clip().image
    write_openvino_model(tmp_path, arrays(encoder), facts(encoder))
    assert load_openvino_model(tmp_path, "d1") is not None
