"""The small CLIP of the package: complete, small enough, and able to match synthetic pedestrians with captions."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from scing_cli.core.batches import normalise
from scing_cli.core.encoders import hub
from scing_cli.core.encoders.architecture import OWN_MODELS
from scing_cli.core.encoders.clip import load_clip, tokenize
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent
from scing_cli.core.synthetic import draw_cameras, draw_people, render

NAME = "scing-tiny"
FILE = OWN_MODELS / f"{NAME}.safetensors"


@pytest.fixture(scope="module")
def clip():
    return load_clip(NAME)


def test_the_name_alone_means_the_shipped_weights(clip):
    assert clip.pretrained == "rendered" == hub.default_tag(NAME)
    assert hub.locate(NAME, None, reporter=Silent()) == FILE
    assert load_clip(NAME, "rendered").pretrained == "rendered"
    assert hub.default_tag("ViT-B-16-quickgelu") == "openai"
    assert hub.shipped_weights("ViT-B-16-quickgelu") is None


def test_another_tag_is_refused_and_the_shipped_one_named():
    with pytest.raises(WeightsError, match=r"no weights with the tag 'openai'[\s\S]*Its tags: rendered\."):
        load_clip(NAME, "openai")


def test_missing_weights_name_the_small_model_as_a_way_offline():
    with pytest.raises(WeightsError) as told:
        load_clip("ViT-B-16-quickgelu")
    assert "--model scing-tiny" in str(told.value)


def test_every_tensor_is_of_half_precision_and_arrives_unchanged(clip):
    stored = load_file(FILE)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    towers = {f"visual.{name}": tensor for name, tensor in clip.image.state_dict().items()} | clip.text.state_dict()
    assert towers.keys() | {"logit_scale"} == stored.keys()
    assert all(torch.equal(tensor, stored[name].float()) for name, tensor in towers.items())
    assert clip.logit_scale == pytest.approx(float(stored["logit_scale"].float().exp()))
    assert 10 < clip.logit_scale < 101


def test_everything_that_ships_is_small_and_has_a_card():
    files = [path for path in OWN_MODELS.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25_000_000
    card = (OWN_MODELS / f"{NAME}.md").read_text(encoding="utf-8")
    for part in ("Trained on", "Not for", "Figures", "Preprocessing"):
        assert f"## {part}" in card


def test_the_preprocessing_told_is_the_one_done(clip):
    told = json.loads((OWN_MODELS / f"{NAME}.json").read_text(encoding="utf-8"))["preprocess_cfg"]
    done = clip.image.geometry
    assert told == {
        "size": [done.height, done.width],
        "mean": list(done.mean),
        "std": list(done.std),
        "interpolation": done.interpolation,
        "resize_mode": "squash",
    }


@torch.no_grad()
def test_captions_find_their_images_among_people_never_seen(clip):
    """Chance is 1 %; the people are of 100 groups, so that their captions can tell them apart."""
    people, cameras = draw_people(400, "test", "shipped")[::4], draw_cameras(5, "test", "shipped")
    drawn = [render(person, cameras[place % 5], "test", place) for place, person in enumerate(people)]
    pixels = torch.stack([as_tensor(image) for image, _ in drawn])
    geometry = clip.image.geometry
    images = torch.nn.functional.normalize(clip.image(normalise(pixels, geometry.mean, geometry.std)).projected)
    texts = []
    for _, caption in drawn:
        ids = torch.tensor([tokenize(caption)])
        texts.append(clip.text(clip.text.embed(ids), ids.shape[1] - 1))
    found = (torch.cat(texts) @ images.T).argmax(1)
    assert (found == torch.arange(100)).float().mean() >= 0.5


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(128, 64, 3).permute(2, 0, 1)
