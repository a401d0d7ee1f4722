"""The towers on a GPU give what they give on the CPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from devices import needs_gpu
from tiny import TINY_MODEL
from torch.nn import functional as F

from scing_cli.core.devices import choose_precision
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.clip import load_clip

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MODELS = (TINY_MODEL, "ViT-B-16-quickgelu")
IMAGES = 8


@pytest.fixture(scope="module", params=MODELS, ids=["tiny", "ViT-B/16"])
def clip(request):
    """A CLIP with random weights, its biases and norms moved away from 0 and 1."""
    clip = load_clip(request.param, "random")
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in (*clip.image.parameters(), *clip.text.parameters()):
            value.add_(0.05 * value.std(correction=0).clamp_min(0.1) * torch.randn(value.shape, generator=draw))
    return clip


def pictures(clip):
    """Bytes of very different brightness and colour, so that their features differ."""
    size, draw = clip.image.geometry, np.random.default_rng(0)
    tones = draw.uniform(0, 256, (IMAGES, 3, 4, 2))
    large = np.kron(tones, np.ones((1, 1, size.height // 4, size.width // 2)))
    return np.clip(large + draw.normal(0, 20, large.shape), 0, 255).astype(np.uint8)


def cosines(left, right):
    left, right = (F.normalize(torch.as_tensor(side).double(), dim=1) for side in (left, right))
    return left @ right.T


def assert_same(found, expected, exact):
    """Each row's cosine with its own is 0.999 at least, and higher than with any other; in float32 rows are equal."""
    near = cosines(found, expected)
    assert near.diagonal().min() >= 0.999
    if exact:
        assert (near.argmax(1) == torch.arange(len(near))).all()
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["projected", "concat"])
def test_images_have_the_same_descriptors(clip, precision, kind):
    choose_precision("fp32", GPU, auto="fp32")
    options = {"kind": kind, "batch_size": 4, "workers": 1}
    expected = TorchEmbedder(clip.image, device=CPU, precision="fp32", **options).pixels(pictures(clip))
    on_gpu = TorchEmbedder(copy.deepcopy(clip.image).to(GPU), device=GPU, precision=precision, **options)
    assert_same(on_gpu.pixels(pictures(clip)), expected, precision == "fp32")


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_texts_have_the_same_features(clip, precision):
    choose_precision("fp32", GPU, auto="fp32")
    words = clip.text.embed(torch.tensor([clip.tokenizer(f"a photo of a {colour} coat") for colour in COLOURS]))
    end, on_gpu = words.shape[1] - 1, copy.deepcopy(clip.text).to(GPU)
    with torch.no_grad():
        expected = clip.text(words, end)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            found = on_gpu(words.to(GPU), end)
    assert_same(found.float().cpu().numpy(), expected.numpy(), precision == "fp32")


COLOURS = ("red", "blue", "green", "black", "white", "grey")
