"""A small CLIP in every layout that people have gives the same vectors; other models are recognised as such."""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.openclip import twin
from safetensors.torch import save_file
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.encoders.clip import load_clip, load_image_tower
from scing_cli.core.encoders.hub import folder_weights, locate
from scing_cli.core.encoders.weights import read_state, read_weights
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent

SQUARE = {  # transformers knows square images alone
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 24, "heads": 3, "layers": 2},
}
CONFIG = {
    "model_type": "clip",
    "projection_dim": 16,
    "vision_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "image_size": 32,
        "patch_size": 8,
        "hidden_act": "quick_gelu",
    },
    "text_config": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 96,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
    },
}


@pytest.fixture(scope="module")
def state():
    """The whole state of the small model, as open_clip names it, with the masks that it saves."""
    return {name: tensor.detach() for name, tensor in twin(tiny_clip(seed=4)).state_dict().items()}


def transformers_names(state):
    """Return the tensors as transformers' CLIPModel names them, written from its documentation."""
    plain = {
        "logit_scale": "logit_scale",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    }
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm"}
    norms["ln_final"] = "text_model.final_layer_norm"
    inner = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    found = {
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "text_projection.weight": state["text_projection"].T.contiguous(),
        "vision_model.embeddings.position_ids": torch.arange(9)[None],
    }
    for name, tensor in state.items():
        if name in plain:
            found[plain[name]] = tensor
        elif name.rpartition(".")[0] in norms:
            found[f"{norms[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}"] = tensor
        elif match := re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)", name):
            visual, block, part, kind = match.groups()
            layer = f"{'vision' if visual else 'text'}_model.encoder.layers.{block}"
            if part == "attn.in_proj":
                for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
                    found[f"{layer}.self_attn.{letter}_proj.{kind}"] = piece.clone()
            elif part == "attn.out_proj":
                found[f"{layer}.self_attn.out_proj.{kind}"] = tensor
            else:
                found[f"{layer}.{inner[part]}.{kind}"] = tensor
    return found


def clip_reid_names(state):
    """Return a checkpoint of CLIP-ReID: towers, prompts, heads and necks, with counters of whole numbers."""
    image = {name.replace("visual.", "image_encoder."): t for name, t in state.items() if name.startswith("visual.")}
    necks = {f"bottleneck.{name}": t for name, t in torch.nn.BatchNorm1d(32).state_dict().items()}
    words = {"prompt_learner.cls_ctx": torch.zeros(5, 4, 24), "prompt_learner.token_prefix": torch.zeros(1, 5, 24)}
    text = {f"text_encoder.{name}": t for name, t in state.items() if name.startswith(("transformer.", "ln_final."))}
    return {**image, **text, **words, **necks, "classifier.weight": torch.zeros(5, 32)}


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


def save(path, content):
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return str(path)


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


OTHERS = {
    "OSNet": ({"conv1.conv.weight": (64, 3, 7, 7), "conv2.0.conv2a.0.conv1.weight": (16, 16, 1, 1)}, "an OSNet"),
    "ResNet": ({"conv1.weight": (64, 3, 7, 7), "layer1.0.conv1.weight": (64, 64, 1, 1)}, "a ResNet"),
    "detector": ({"model.0.conv.weight": (16, 3, 3, 3), "model.22.cv2.0.0.conv.weight": (1, 1, 1, 1)}, "a detector"),
    "TransReID": ({"base.patch_embed.proj.weight": (768, 3, 16, 16)}, "a vision transformer of timm"),
    "unknown": ({"encoder.weight": (2, 2)}, r"is not a CLIP\. Its tensors are named encoder\.weight"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_model_is_recognised_as_such(tmp_path, other):
    shapes, message = OTHERS[other]
    content = {name: torch.zeros(shape) for name, shape in shapes.items()}
    content["bn.num_batches_tracked"] = torch.tensor(5)
    with pytest.raises(WeightsError, match=message):
        read_weights(Path(save(tmp_path / "model.pth", {"state_dict": content, "epoch": 60})))
