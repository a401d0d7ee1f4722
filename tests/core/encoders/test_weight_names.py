"""A small CLIP in every layout that people have gives the same vectors; other models are recognised as such."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.openclip import twin
from tiny import TINY_MODEL, tiny_clip
from weight_layouts import CONFIG, SQUARE, clip_reid_names, save, transformers_names

from scing_cli.core.encoders.clip import load_clip, load_image_tower
from scing_cli.core.encoders.hub import folder_weights, locate
from scing_cli.core.encoders.weights import read_state
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent


@pytest.fixture(scope="module")
def state():
    """The whole state of the small model, as open_clip names it, with the masks that it saves."""
    return {name: tensor.detach() for name, tensor in twin(tiny_clip(seed=4)).state_dict().items()}


def with_extras(state):
    """Return a checkpoint as trainings write it, with objects that are not tensors."""
    return {
        "epoch": 3,
        "loss": np.float64(0.5),
        "best": np.arange(3),
        "args": argparse.Namespace(lr=1e-4, output=Path("runs")),
        "optimizer": torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))]).state_dict(),
        "seen": {1, 2},
        "model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "best_acc1": torch.tensor(0.7),
        "rng_state": torch.get_rng_state(),
    }


def image_part(state):
    return {name: tensor for name, tensor in state.items() if name.startswith("visual.")}


WHOLE = {
    "transformers, safetensors": ("model.safetensors", transformers_names),
    "transformers, bin": ("pytorch_model.bin", transformers_names),
    "training checkpoint": ("epoch_3.pt", with_extras),
    "lightning": ("last.ckpt", lambda s: {"state_dict": {f"model.{n}": t for n, t in s.items()}, "version": "2.0"}),
    "wrapped": ("w.pth", lambda s: {**{f"clip_model.{n}": t for n, t in s.items()}, "head.weight": torch.ones(3)}),
    "wrapped twice": ("w.pth", lambda s: {"model": {f"module.clip.{n}": t for n, t in s.items()}}),
}
TOWERS = {
    "CLIP-ReID": ("ViT-B-16_60.pth", clip_reid_names),
    "CLIP-ReID, parallel": ("p.pth", lambda s: {f"module.{n}": t for n, t in clip_reid_names(s).items()}),
    "image tower": ("tower.pt", lambda s: {n.removeprefix("visual."): t for n, t in image_part(s).items()}),
    "image tower of a CLIP": ("visual.safetensors", image_part),
    "transformers' image model": (
        "vision.safetensors",
        lambda s: {n: t for n, t in transformers_names(s).items() if n.startswith(("vision_", "visual_"))},
    ),
}


def same_vectors(image):
    pixels = torch.randn(3, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            image(pixels).projected, tiny_clip(seed=4).image(pixels).projected, atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("form", WHOLE)
def test_a_whole_model(tmp_path, state, form):
    name, change = WHOLE[form]
    loaded = load_clip(TINY_MODEL, save(tmp_path / name, change(state)), reporter=Silent())
    same_vectors(loaded.image)
    for ours, theirs in zip(loaded.text.parameters(), tiny_clip(seed=4).text.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("form", TOWERS | WHOLE)
def test_an_image_tower_needs_no_text_tower(tmp_path, state, form):
    name, change = (TOWERS | WHOLE)[form]
    file = save(tmp_path / name, change(state))
    loaded = load_image_tower(TINY_MODEL, file, reporter=Silent())
    assert loaded.pretrained == file
    same_vectors(loaded.image)


def test_a_stored_module_is_read_without_its_code(tmp_path, state):
    model = twin(tiny_clip(seed=4))
    found = read_state(Path(save(tmp_path / "whole.pt", {"epoch": 1, "model": model})))
    assert found.keys() == {name for name in state if not name.endswith("attn_mask")}
    assert all(torch.equal(found[name], state[name]) for name in found)


class _Caller:
    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("where", ["beside", "inside", "as a number"])
def test_a_call_of_an_unknown_function_is_refused_and_not_made(tmp_path, state, where):
    trace = tmp_path / "trace"
    caller = _Caller(os.mkdir, str(trace))
    content = {
        "beside": {"args": argparse.Namespace(), "state_dict": state, "log": caller},
        "inside": {"args": argparse.Namespace(inner=[caller]), "state_dict": state},
        "as a number": {"loss": np.float64(1), "state_dict": {**state, "logit_scale": caller}},
    }[where]
    with pytest.raises(WeightsError, match=r"It was not loaded: it might run code \(it would call .*mkdir\)"):
        read_state(Path(save(tmp_path / "evil.pt", content)))
    assert not trace.exists()


def test_folders_as_transformers_and_open_clip_write_them(tmp_path):
    square = tmp_path / "square.json"
    square.write_text(json.dumps(SQUARE))
    made = load_clip(str(square), "random", seed=4, size=(32, 32), reporter=Silent())
    state = twin(made).state_dict()
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    (theirs / "config.json").write_text(json.dumps(CONFIG))
    (ours / "open_clip_config.json").write_text(json.dumps({"model_cfg": SQUARE, "preprocess_cfg": {}}))
    save(theirs / "model.safetensors", transformers_names(state))
    save(ours / "open_clip_model.safetensors", {n: t for n, t in state.items() if not n.endswith("attn_mask")})
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for folder in (theirs, ours):
        loaded = load_clip(str(folder), size=(32, 32), reporter=Silent())
        assert Path(loaded.pretrained).parent == folder
        assert Path(loaded.name).parent == folder
        assert folder_weights(loaded.name) == locate(loaded.name, None, reporter=Silent())
        with torch.no_grad():
            assert torch.equal(loaded.image(pixels).projected, made.image(pixels).projected)
        again = load_image_tower(str(square), str(folder), reporter=Silent())
        assert again.pretrained == loaded.pretrained


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "siglip"}, "model_type = 'siglip' is not part of a plain CLIP"),
        ({"projection_dim": "wide"}, "embed_dim must be a whole number"),
        ({"vision_config": CONFIG["vision_config"] | {"hidden_act": "relu"}}, "hidden_act = "),
        ({"text_config": CONFIG["text_config"] | {"vocab_size": 32000}}, "vocab_size is 32000"),
        ({"vision_config": CONFIG["vision_config"] | {"layer_norm_eps": 1e-3}}, "layer_norm_eps = 0.001"),
        ({"vision_config": CONFIG["vision_config"] | {"hidden_size": 0}}, "width must be a whole number"),
    ],
)
def test_a_config_of_another_model_is_refused(tmp_path, change, message):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(WeightsError, match=message):
        load_clip(str(tmp_path), "random", reporter=Silent())


def test_a_folder_without_weights_or_config(tmp_path):
    with pytest.raises(WeightsError, match=r"the folder has no open_clip_config\.json or config\.json"):
        load_clip(str(tmp_path), "random")
    with pytest.raises(WeightsError, match="has no weights file"):
        load_clip(TINY_MODEL, str(tmp_path))


def test_the_stride_of_a_tower_is_that_of_its_positions(tmp_path, state):
    loaded = load_clip(TINY_MODEL, save(tmp_path / "w.safetensors", state), stride=4).image
    tower = {name: tensor.detach() for name, tensor in loaded.state_dict().items()}
    again = load_image_tower(TINY_MODEL, save(tmp_path / "tower.pt", tower), reporter=Silent()).image
    assert again.geometry.stride == 4
    assert torch.equal(again.positional_embedding, loaded.positional_embedding)


WIDE = {  # CLIP-ReID's sizes of images and patches
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": SQUARE["text_cfg"],
}


@pytest.mark.parametrize(("stride", "grid"), [(16, (16, 8)), (12, (21, 10))])
def test_clip_reid_at_its_own_size_with_its_stride(tmp_path, stride, grid):
    config = tmp_path / "wide.json"
    config.write_text(json.dumps(WIDE))
    made = load_clip(str(config), "random", stride=stride, seed=4, reporter=Silent()).image
    tower = {f"visual.{name}": tensor.detach() for name, tensor in made.state_dict().items()}
    file = save(tmp_path / "ViT-B-16_60.pth", clip_reid_names(tower))
    loaded = load_image_tower(str(config), file, reporter=Silent()).image
    assert (loaded.geometry.stride, loaded.geometry.grid) == (stride, grid)
    pixels = torch.randn(2, 3, 256, 128, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixels).projected, made(pixels).projected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("factor", "options"), [(1.0, {}), (3.0, {"camera_factor": 3.0})])
def test_clip_reid_with_its_camera_vectors(tmp_path, state, factor, options):
    """CLIP-ReID adds SIE_COE * cv_embed[camera] to the class token; open_clip with such a token is the oracle."""
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(2))
    file = save(tmp_path / "sie.pth", {**clip_reid_names(state), "cv_embed": vectors})
    loaded = load_image_tower(TINY_MODEL, file, cameras=["1", "2", "door"], reporter=Silent(), **options).image
    pixels = torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    names = ["door", "1", "2", "unknown"]
    with torch.no_grad():
        found = loaded(pixels, loaded.camera_rows(names)).projected
        for row, name in enumerate(names):
            theirs = twin(tiny_clip(seed=4))
            if name != "unknown":
                theirs.visual.class_embedding += factor * vectors[["1", "2", "door"].index(name)]
            torch.testing.assert_close(found[row], theirs.encode_image(pixels[row : row + 1])[0], atol=1e-5, rtol=0)


def test_camera_vectors_need_names(tmp_path, state, recwarn):
    file = save(tmp_path / "sie.pth", {**clip_reid_names(state), "cv_embed": torch.ones(6, 32)})
    loaded = load_image_tower(TINY_MODEL, file)
    said = "".join(str(warning.message) for warning in recwarn)
    assert "has 6 camera vectors, but the file does not name the cameras: they are left out" in said
    assert "such as --cameras 1,2,3,4,5,6" in said
    assert loaded.image.cameras == ()
    same_vectors(loaded.image)
    with pytest.raises(WeightsError, match=r"--cameras names 5 cameras, but .* has camera vectors of shape \(6, 32\)"):
        load_image_tower(TINY_MODEL, file, cameras=list("abcde"))
    plain = save(tmp_path / "plain.pth", clip_reid_names(state))
    for weights in (plain, "random"):
        with pytest.raises(WeightsError, match="has no camera vectors"):
            load_image_tower(TINY_MODEL, weights, cameras=["a"])
