"""Which models there are, how they are named, and what random weights promise."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.encoders.architecture import find_architecture
from scing_cli.core.encoders.clip import known_models, load_clip
from scing_cli.core.encoders.geometry import CLIP_MEAN
from scing_cli.core.errors import SettingError, WeightsError
from scing_cli.core.runtime import Silent


class Listener(Silent):
    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def test_known_models_are_plain():
    known = known_models()
    assert {"ViT-B-16", "ViT-B-16-quickgelu", "ViT-L-14-336-quickgelu", "scing-tiny"} <= set(known)
    assert not [name for name in known if "SigLIP" in name or name.startswith(("RN", "coca", "convnext", "EVA"))]
    assert list(known) == sorted(known)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B/16", r"no model 'ViT-B/16'[\s\S]*Close matches: .*ViT-B-16"),
        ("ViT-B-17", r"Close matches: .*ViT-B-16"),
        ("zzz", "Known: .*scing-tiny"),
        ("RN50", "ResNet, not a vision transformer"),
        ("ViT-B-16-SigLIP", "a timm model, not a plain vision transformer"),
        ("roberta-ViT-B-32", "another language model"),
        ("ViT-H-14-CLIPA", "a different tokenizer"),
        ("coca_ViT-B-32", "not part of a plain CLIP"),
    ],
)
def test_models_that_cannot_be_used(name, message):
    with pytest.raises(WeightsError, match=message):
        load_clip(name, "random")


def test_a_model_of_ones_own():
    clip = tiny_clip()
    assert (clip.image.width, clip.image.embed_dim, clip.text.width, clip.text.context_length) == (32, 16, 24, 77)
    assert (clip.image.geometry.height, clip.image.geometry.width) == (32, 16)
    assert clip.name == Path(TINY_MODEL).absolute().as_posix()
    assert clip.pretrained == "random"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dim": "16"}, "embed_dim must be a whole number from 1 to 65,536, not '16'"),
        ({"vision_cfg": None}, "no vision_cfg"),
        ({"vision_cfg": {"width": 30, "head_width": 7}}, "width 30 cannot be divided among 4 heads"),
        ({"vision_cfg": {"image_size": [8, 8], "patch_size": 16}}, "patch_size 16 is larger"),
        ({"vision_cfg": {"pool_type": "avg"}}, r"vision_cfg\.pool_type = 'avg' is not part"),
        ({"text_cfg": {"vocab_size": 100}}, "tokenizer has 49408 tokens"),
        ({"text_cfg": {"mlp_ratio": "big"}}, "mlp_ratio must be a number above 0, at most 64, not 'big'"),
        ({"custom": 3}, "custom = 3 is not part"),
    ],
)
def test_a_model_file_with_a_fault(tmp_path, changes, message):
    content = json.loads(Path(TINY_MODEL).read_text(encoding="utf-8"))
    file = tmp_path / "model.json"
    file.write_text(json.dumps({**content, **changes}), encoding="utf-8")
    with pytest.raises(WeightsError, match=message):
        load_clip(str(file), "random")


def test_a_model_file_with_its_preprocessing(tmp_path):
    content = json.loads(Path(TINY_MODEL).read_text(encoding="utf-8"))
    file = tmp_path / "open_clip_config.json"
    file.write_text(json.dumps({"model_cfg": content, "preprocess_cfg": {"mean": [0, 0, 0]}}), encoding="utf-8")
    geometry = load_clip(str(file), "random").image.geometry
    assert geometry == dataclasses.replace(tiny_clip().image.geometry, mean=(0.0, 0.0, 0.0))


@pytest.mark.parametrize("content", ["{", "[1]", None])
def test_a_model_file_that_cannot_be_read(tmp_path, content):
    file = tmp_path / "model.json"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(WeightsError, match=r"model\.json"):
        load_clip(str(file), "random")


def test_random_weights_are_a_function_of_the_seed():
    before = torch.random.get_rng_state()
    first, again, other = tiny_clip(seed=7), tiny_clip(seed=7), tiny_clip(seed=8)
    assert torch.equal(torch.random.get_rng_state(), before)
    for tower in ("image", "text"):
        states = [getattr(clip, tower).state_dict() for clip in (first, again, other)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
        assert all(tensor.isfinite().all() and tensor.dtype == torch.float32 for tensor in states[0].values())


def test_random_weights_warn():
    listener = Listener()
    tiny_clip(seed=3, reporter=listener)
    assert len(listener.warnings) == 1
    assert "random weights (seed 3)" in listener.warnings[0]


def test_random_features_tell_images_apart():
    features = tiny_clip().image(torch.randn(8, 3, 32, 16)).projected
    cosines = torch.nn.functional.normalize(features, dim=1)
    cosines = cosines @ cosines.T
    assert cosines.fill_diagonal_(0).max() < 0.999


def test_statistics_travel_with_the_model():
    assert tiny_clip().image.geometry.mean == (0.5, 0.5, 0.5)
    assert tiny_clip(statistics="clip").image.geometry.mean == CLIP_MEAN
    with pytest.raises(SettingError, match="'imagenet' are unknown"):
        tiny_clip(statistics="imagenet")


def test_stride_is_held_against_the_patch():
    with pytest.raises(SettingError, match="--stride 12 does not fit patches of 8"):
        tiny_clip(stride=12)


@pytest.mark.parametrize(("stride", "grid"), [(16, (16, 8)), (12, (21, 10))])
def test_the_papers_model(stride, grid):
    clip = load_clip("ViT-B-16-quickgelu", "random", stride=stride)
    assert (clip.image.geometry.height, clip.image.geometry.width) == (256, 128)
    assert clip.image.geometry.grid == grid
    assert (clip.image.width, clip.image.embed_dim, clip.text.width) == (768, 512, 512)
    count = sum(parameter.numel() for parameter in clip.image.parameters())
    assert count == 86_203_392 - 768 * (210 - grid[0] * grid[1])  # Table 4's image encoder is the stride-12 one
    words = clip.text.token_embedding.weight.numel()
    assert sum(parameter.numel() for parameter in clip.text.parameters()) - words == 38_131_200
    with torch.no_grad():
        features = clip.image(torch.randn(1, 3, 256, 128))
    assert features.projected.shape == (1, 512)
    assert features.projected.isfinite().all()


def test_the_small_model():
    clip = load_clip("scing-tiny", "random")
    assert (clip.image.geometry.height, clip.image.geometry.width) == (128, 64)
    assert clip.image(torch.randn(2, 3, 128, 64)).projected.shape == (2, clip.image.embed_dim)


def test_architectures_need_no_torch():
    code = (
        "import sys; from scing_cli.core.encoders import architecture, hub; architecture.known_models();"
        "assert not {'torch', 'open_clip'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_known_architecture_can_be_described():
    for name in known_models():
        architecture = find_architecture(name)
        assert architecture.image.width % architecture.image.heads == 0
