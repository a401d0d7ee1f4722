"""Weights files of every accepted form give the same model; others are refused with their fault named."""

from __future__ import annotations

import os
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from oracles.openclip import twin
from safetensors.torch import save_file
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.encoders.clip import load_clip, load_image_tower
from scing_cli.core.encoders.position import resize_positions
from scing_cli.core.encoders.weights import read_state
from scing_cli.core.errors import WeightsError


@pytest.fixture(scope="module")
def state():
    """The whole state of the small model, as open_clip names it."""
    return {name: tensor.detach() for name, tensor in twin(tiny_clip(seed=4)).state_dict().items()}


def save(path, content):
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return str(path)


def two_part_names(state):
    """Rename the text tower as open_clip's models with a text module of their own do."""
    kept = ("visual.", "logit_scale")
    return {name if name.startswith(kept) else f"text.{name}": tensor for name, tensor in state.items()}


FORMS = {
    "safetensors": ("w.safetensors", lambda state: state),
    "bin": ("open_clip_pytorch_model.bin", lambda state: state),
    "checkpoint": ("epoch_3.pt", lambda state: {"epoch": 3, "name": "run", "state_dict": state}),
    "parallel": ("p.pt", lambda state: {"state_dict": {f"module.{name}": t for name, t in state.items()}}),
    "two parts": ("t.pt", two_part_names),
    "half": ("h.safetensors", lambda state: {name: t.half() for name, t in state.items()}),
    "sizes": ("s.pt", lambda state: {**state, "input_resolution": torch.tensor(32), "vocab_size": torch.tensor(49408)}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_model(tmp_path, state, form):
    name, change = FORMS[form]
    file = save(tmp_path / name, change(state))
    loaded, expected = load_clip(TINY_MODEL, file), tiny_clip(seed=4)
    tolerance = 1e-3 if form == "half" else 0
    for ours, theirs in ((loaded.image, expected.image), (loaded.text, expected.text)):
        for (name, found), wanted in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert found.dtype == torch.float32
            assert found.requires_grad
            torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance, msg=name)
    assert loaded.logit_scale == pytest.approx(expected.logit_scale, rel=1e-3)
    assert loaded.pretrained == file
    assert not loaded.image.training


def test_positions_are_resized_to_the_grid(tmp_path, state):
    file = save(tmp_path / "w.safetensors", state)
    for options, grid in (({"stride": 4}, (7, 3)), ({"size": (64, 32)}, (8, 4))):
        image = load_clip(TINY_MODEL, file, **options).image
        expected = resize_positions(state["visual.positional_embedding"], (4, 2), grid)
        torch.testing.assert_close(image.positional_embedding.detach(), expected, atol=0, rtol=0)
        assert image(torch.randn(1, 3, image.geometry.height, image.geometry.width)).cls.shape == (1, 32)


def test_positions_of_no_grid_are_refused(tmp_path, state):
    changed = {**state, "visual.positional_embedding": torch.zeros(1 + 13, 32)}
    with pytest.raises(WeightsError, match=r"14 position rows.*model's 4x2 patches or the requested 7x3 patches"):
        load_clip(TINY_MODEL, save(tmp_path / "w.safetensors", changed), stride=4)


def without(state, *names):
    return {name: tensor for name, tensor in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: without(state, "visual.proj"), r"visual\.proj is missing"),
        (lambda state: without(state, "ln_final.bias"), r"ln_final\.bias is missing"),
        (lambda state: {**state, "visual.extra": torch.zeros(1)}, r"visual\.extra is unexpected"),
        (lambda state: {**state, "logit_bias": torch.zeros(1)}, "logit_bias is unexpected"),
        (
            lambda state: {**state, "visual.conv1.weight": torch.zeros(32, 3, 4, 4)},
            r"visual\.conv1\.weight has shape \(32, 3, 4, 4\) instead of \(32, 3, 8, 8\)",
        ),
        (lambda state: without(state, "logit_scale"), "does not contain logit_scale"),
        (lambda state: {"visual.proj": torch.zeros(32, 16), "logit_scale": torch.tensor(1.0)}, "and [0-9]+ more"),
    ],
)
def test_a_state_that_does_not_fit(tmp_path, state, change, message):
    with pytest.raises(WeightsError, match=message) as caught:
        load_clip(TINY_MODEL, save(tmp_path / "w.safetensors", change(state)))
    assert "w.safetensors" in str(caught.value)


class _Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code(tmp_path, zipped):
    trace, path = tmp_path / "trace", tmp_path / "evil.pt"
    hostile = {"state_dict": _Hostile(f"touch {trace}")}
    if zipped:
        torch.save(hostile, path)
    else:
        path.write_bytes(pickle.dumps(hostile, protocol=2))
    with pytest.raises(WeightsError, match="It was not loaded: it might run code"):
        read_state(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pt", b"", "is empty"),
        ("w.safetensors", b"no weights at all", "damaged or not a safetensors file"),
        ("w.pt", b"no weights at all", "not a weights file"),
        ("w.bin", b"PK\x03\x04 cut off", "damaged or not a weights file|not a weights file"),
    ],
)
def test_what_is_no_weights_file(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        read_state(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_truncated_file(tmp_path, state, name):
    path = tmp_path / name
    save(path, state)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match="damaged"):
        read_state(path)


def test_a_file_without_tensors(tmp_path):
    for content in ({"epoch": 3}, [1, 2], {"state_dict": {}}):
        with pytest.raises(WeightsError, match="does not contain named tensors"):
            read_state(tmp_path / save(tmp_path / "w.pt", content))


def knot(form, ways=2, deep=40):
    """Objects that contain each other: there are `ways ** deep` ways to the inmost one."""
    content = torch.nn.Linear(1, 1) if form == "modules" else {}
    for _ in range(deep):
        inner = content
        content = torch.nn.Module() if form == "modules" else [inner] * ways
        if form == "modules":
            content._modules = {str(way): inner for way in range(ways)}
        if form == "dictionaries":
            content = {str(way): inner for way in range(ways)}
    return content


@pytest.mark.parametrize("form", ["lists", "dictionaries"])
def test_what_contains_each_other_is_read_once(tmp_path, state, form):
    content = {"state_dict": state, "best": np.float64(1), "more": knot(form)}
    found = read_state(tmp_path / save(tmp_path / "w.pt", content))
    assert {"visual.conv1.weight", "logit_scale"} <= set(found)
    content["more"].append(content["more"]) if form == "lists" else content["more"].update(again=content["more"])
    with pytest.raises(WeightsError, match="nested too deeply"):
        read_state(tmp_path / save(tmp_path / "w.pt", content))


def test_modules_that_contain_each_other_too_often_are_refused(tmp_path, state):
    content = {"state_dict": state, "best": np.float64(1), "more": knot("modules")}
    with pytest.raises(WeightsError, match="its modules contain each other too often"):
        read_state(tmp_path / save(tmp_path / "w.pt", content))
    content["more"] = knot("modules", deep=3)  # as a network with shared parts has them
    assert (
        read_state(tmp_path / save(tmp_path / "w.pt", content)).keys()
        == read_state(tmp_path / save(tmp_path / "plain.pt", state)).keys()
    )


def odd(kind):
    """A tensor that is not a plain array, or has another shape than its neighbours."""
    plain = torch.zeros(4, 4)
    with warnings.catch_warnings(action="ignore"):  # torch is about to remove some of these
        make = {
            "sparse": plain.to_sparse,
            "quantized": lambda: torch.quantize_per_tensor(plain, 1.0, 0, torch.qint8),
            "without numbers": lambda: plain.to("meta"),
            "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
            "(4, 5)": lambda: torch.zeros(4, 5),
            "()": lambda: torch.zeros(()),
            "(4, 4, 4)": lambda: torch.zeros(4, 4, 4),
        }
        return make[kind]()


ATTENTION = "vision_model.encoder.layers.0.self_attn"


@pytest.mark.parametrize("layout", ["transformers", "clip"])
@pytest.mark.parametrize("kind", ["sparse", "quantized", "without numbers", "nested"])
def test_tensors_that_are_not_arrays_are_refused_by_name(tmp_path, kind, layout):
    content, name = {"visual.conv1.weight": odd(kind)}, "visual.conv1.weight"
    if layout == "transformers":
        name = f"{ATTENTION}.k_proj.weight"
        content = attention(odd(kind))
    with pytest.raises(WeightsError, match=f"contains tensors that are not weights: {name} is {kind}") as failure:
        read_state(tmp_path / save(tmp_path / "w.pt", content))
    assert failure.value.remedy == "Use another file."


def attention(keys):
    parts = {f"{ATTENTION}.{part}_proj.weight": torch.zeros(4, 4) for part in "qv"}
    patches = {"vision_model.embeddings.patch_embedding.weight": torch.zeros(4, 3, 8, 8)}
    return {**patches, **parts, f"{ATTENTION}.k_proj.weight": keys}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("shape", ["(4, 5)", "()", "(4, 4, 4)"])
def test_queries_keys_and_values_of_other_shapes_are_refused(tmp_path, name, shape):
    shapes = re.escape(f"the weights of {ATTENTION} have shapes (4, 4), {shape}, (4, 4)")
    with pytest.raises(WeightsError, match=shapes):
        read_state(tmp_path / save(tmp_path / name, attention(odd(shape))))


@pytest.mark.parametrize("shape", [(), (5,), (2, 2, 2)])
def test_a_projection_that_is_not_a_matrix_does_not_fit(tmp_path, shape):
    content = attention(torch.zeros(4, 4)) | {"visual_projection.weight": torch.zeros(shape)}
    file = save(tmp_path / "w.safetensors", content)
    with warnings.catch_warnings(action="error"), pytest.raises(WeightsError, match="does not fit the model"):
        load_image_tower(TINY_MODEL, file)


def test_camera_vectors_that_are_not_rows_are_refused(tmp_path):
    content = {"image_encoder.conv1.weight": torch.zeros(4, 3, 8, 8), "cv_embed": torch.zeros(())}
    with pytest.raises(WeightsError, match=r"its camera vectors have shape \(\), which is not one row per camera"):
        read_state(tmp_path / save(tmp_path / "w.pt", content))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match=r"weights file .*gone\.pt does not exist"):
        load_clip(TINY_MODEL, str(tmp_path / "gone.pt"))
