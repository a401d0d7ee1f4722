"""The small CLIP of the package: complete, small enough, and able to match synthetic pedestrians with captions."""

from __future__ import annotations

import io
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from scing_cli.core.batches import normalise
from scing_cli.core.encoders import hub
from scing_cli.core.encoders.architecture import OWN_MODELS
from scing_cli.core.encoders.clip import load_clip, tokenize
from scing_cli.core.encoders.compact_words import ROWS, VECTORS
from scing_cli.core.encoders.initial import word_vectors
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent
from scing_cli.core.synthetic import draw_cameras, draw_lifelike_cameras, draw_people, render, render_lifelike

NAME, SMALL = "scing-tiny", "scing-small"
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
    assert "--model scing-small" in str(told.value)


@pytest.mark.parametrize("name", [NAME, SMALL])
def test_every_tensor_is_of_half_precision_and_arrives_unchanged(name):
    clip, stored = load_clip(name), load_file(OWN_MODELS / f"{name}.safetensors")
    rows = stored.pop(ROWS).long()
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    towers = {f"visual.{name}": tensor for name, tensor in clip.image.state_dict().items()} | clip.text.state_dict()
    assert towers.keys() | {"logit_scale"} == stored.keys()
    words = towers[VECTORS]  # of captions those that were trained, of all others those that every training starts from
    others = torch.ones(len(words), dtype=torch.bool).index_fill(0, rows, value=False)
    assert torch.equal(words[others], word_vectors(*words.shape)[others])
    towers[VECTORS] = words[rows]
    assert all(torch.equal(tensor, stored[name].float()) for name, tensor in towers.items())
    assert clip.logit_scale == pytest.approx(float(stored["logit_scale"].float().exp()))
    assert 10 < clip.logit_scale < 101


def test_everything_that_ships_is_small_and_has_a_card():
    files = [path for path in OWN_MODELS.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 25_000_000
    for name in (NAME, SMALL):
        card = (OWN_MODELS / f"{name}.md").read_text(encoding="utf-8")
        for part in ("Trained on", "Not for", "Figures", "Preprocessing"):
            assert f"## {part}" in card


@pytest.mark.parametrize("name", [NAME, SMALL])
def test_the_preprocessing_told_is_the_one_done(name):
    told = json.loads((OWN_MODELS / f"{name}.json").read_text(encoding="utf-8"))["preprocess_cfg"]
    done = load_clip(name).image.geometry
    assert told == {
        "size": [done.height, done.width],
        "mean": list(done.mean),
        "std": list(done.std),
        "interpolation": done.interpolation,
        "resize_mode": "squash",
    }


@pytest.mark.parametrize("name", [NAME, SMALL])
@torch.no_grad()
def test_captions_find_their_images_among_people_never_seen(name):
    """Chance is 1 %; the people are of 100 groups, so that their captions can tell them apart."""
    people, cameras = draw_people(400, "test", "shipped")[::4], draw_cameras(5, "test", "shipped")
    drawn = [render(person, cameras[place % 5], "test", place) for place, person in enumerate(people)]
    pixels = torch.stack([as_tensor(image) for image, _ in drawn])
    clip = load_clip(name)
    geometry = clip.image.geometry
    images = torch.nn.functional.normalize(clip.image(normalise(pixels, geometry.mean, geometry.std)).projected)
    texts = []
    for _, caption in drawn:
        ids = torch.tensor([tokenize(caption)])
        texts.append(clip.text(clip.text.embed(ids), ids.shape[1] - 1))
    found = (torch.cat(texts) @ images.T).argmax(1)
    assert (found == torch.arange(100)).float().mean() >= 0.5


@torch.no_grad()
def test_the_larger_one_sees_more_where_cameras_and_light_are_others():
    """24 people in groups of look-alikes, each by three cameras whose settings neither training had."""
    people, cameras = draw_people(24, "test", "unmet"), draw_lifelike_cameras(3, "test", "unmet", look="unmet")
    drawn = [
        Image.open(io.BytesIO(render_lifelike(person, camera, "test", place, number).jpeg)).convert("RGB")
        for place, person in enumerate(people)
        for number, camera in enumerate(cameras)
    ]
    pixels = torch.stack([as_tensor(image.resize((64, 128), Image.Resampling.BICUBIC)) for image in drawn])
    names = torch.arange(24).repeat_interleave(3)
    found = {name: mean_precision(load_clip(name), pixels, names) for name in (NAME, SMALL)}
    assert found[SMALL] > found[NAME] + 0.1
    assert found[SMALL] > 0.4


def mean_precision(clip, pixels, names):
    """The mean average precision of each image among all others."""
    images = torch.nn.functional.normalize(
        clip.image(normalise(pixels, clip.image.geometry.mean, clip.image.geometry.std)).projected
    )
    order = (images @ images.T).fill_diagonal_(-2).argsort(dim=1, descending=True)[:, :-1]
    right = (names[order] == names[:, None]).double()
    places = torch.arange(1, right.shape[1] + 1)
    return float(((right.cumsum(1) / places * right).sum(1) / right.sum(1)).mean())


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(128, 64, 3).permute(2, 0, 1)
