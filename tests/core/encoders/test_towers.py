"""Both towers against open_clip's own CLIP with the same weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from oracles.openclip import twin
from tiny import TINY_MODEL, spread_out, tiny_clip

from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.image import ImageEncoder, ImageFeatures, descriptor
from scing_cli.core.errors import SettingError


def variant(folder: Path, **changes: object) -> str:
    content = json.loads(Path(TINY_MODEL).read_text(encoding="utf-8"))
    content.update(changes)
    file = folder / "variant.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("quick_gelu", [True, False])
@pytest.mark.parametrize("size", [(32, 32), (32, 16)])
def test_image_tower_equals_open_clip(tmp_path, quick_gelu, size):
    clip = spread_out(load_clip(variant(tmp_path, quick_gelu=quick_gelu), "random", size=size))
    pixels = torch.randn(5, 3, *size)
    with torch.no_grad():
        features = clip.image(pixels)
        expected = twin(clip).encode_image(pixels)
    torch.testing.assert_close(features.projected, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.cls @ clip.image.proj, expected, atol=1e-5, rtol=1e-5)


def test_activation_is_honoured(tmp_path):
    pixels = torch.randn(2, 3, 32, 16)
    quick = spread_out(load_clip(variant(tmp_path, quick_gelu=True), "random"))
    plain = spread_out(load_clip(variant(tmp_path, quick_gelu=False), "random"))
    assert all(torch.equal(a, b) for a, b in zip(quick.image.parameters(), plain.image.parameters(), strict=True))
    assert not torch.allclose(quick.image(pixels).projected, plain.image(pixels).projected, atol=1e-3)


def test_overlapping_patches_start_where_they_should():
    clip = tiny_clip(stride=4)
    assert clip.image.geometry.grid == (7, 3)
    pixels = torch.randn(1, 3, 32, 16)
    tokens = clip.image.tokens(pixels)
    patch = pixels[0, :, 4:12, 8:16]  # row 1, column 2 of the grid
    embedded = (clip.image.conv1.weight * patch).sum(dim=(1, 2, 3)) + clip.image.positional_embedding[1 + 1 * 3 + 2]
    torch.testing.assert_close(tokens[0, 1 + 1 * 3 + 2], embedded, atol=1e-5, rtol=1e-5)


def test_image_tower_refuses_another_size():
    with pytest.raises(ValueError, match=r"\(2, 3, 16, 32\).*takes \(B, \(3, 32, 16\)\)"):
        tiny_clip().image(torch.zeros(2, 3, 16, 32))


@pytest.mark.parametrize("text", ["a photo of a X X X X person.", "a", "a woman in a long red coat with two bags"])
def test_text_tower_stops_at_the_end_token(text):
    clip = spread_out(tiny_clip())
    ids = torch.tensor([clip.tokenizer(text)])
    end = ids.shape[1] - 1
    padded = torch.zeros(1, 77, dtype=torch.long)
    padded[:, : end + 1] = ids
    reference = twin(clip)
    assert padded.argmax() == end
    ours = clip.text.embed(ids).detach().requires_grad_()
    feature = clip.text(ours, end)
    theirs = reference.token_embedding(padded).detach().requires_grad_()
    reference.token_embedding = _Given(theirs)
    expected = reference.encode_text(padded)
    torch.testing.assert_close(feature, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn(expected.shape)
    (feature * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad[:, : end + 1], atol=1e-5, rtol=1e-5)
    assert theirs.grad[:, end + 1 :].abs().max() == 0


class _Given(torch.nn.Module):
    """A word table that has one answer."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.answer


def test_places_after_the_end_do_not_matter():
    clip = tiny_clip()
    short = torch.randn(2, 12, 24)
    long = torch.cat((short, torch.randn(2, 30, 24)), dim=1)
    torch.testing.assert_close(clip.text(long, 11), clip.text(short, 11))


def test_texts_of_different_lengths_in_one_batch_are_encoded_as_each_alone():
    clip = spread_out(tiny_clip())
    texts = [clip.tokenizer(text) for text in ("a coat", "someone in a long red coat", "a", "bag")]
    ids = torch.full((4, 20), 320)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    together = clip.text(clip.text.embed(ids), [len(text) - 1 for text in texts])
    alone = [clip.text(clip.text.embed(torch.tensor([text])), len(text) - 1) for text in texts]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"2 ends for embeddings of shape \(4, 20, 24\)"):
        clip.text(clip.text.embed(ids), [3, 3])


def test_text_tower_refuses_what_does_not_fit():
    clip = tiny_clip()
    with pytest.raises(SettingError, match="text of 78 tokens is too long: the text tower takes at most 77"):
        clip.text(torch.zeros(1, 90, 24), 77)
    for end in (-1, 5):
        with pytest.raises(ValueError, match="outside"):
            clip.text(torch.zeros(1, 5, 24), end)


def test_tokenizer_neither_pads_nor_cuts():
    tokenizer = tiny_clip().tokenizer
    ids = tokenizer("A photo of a X X X X person.")
    assert (ids[0], ids[-1], len(ids)) == (49406, 49407, 12)
    assert ids[5:9] == [343] * 4
    assert len(tokenizer("coat " * 200)) == 202


def test_descriptors_have_unit_length():
    features = tiny_clip().image(torch.randn(3, 3, 32, 16))
    projected, concat = descriptor(features, "projected"), descriptor(features, "concat")
    assert projected.shape == (3, 16)
    assert concat.shape == (3, 32 + 16)
    for vectors in (projected, concat):
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    joined = torch.cat((features.cls, features.projected), dim=1)  # the length is taken after joining
    torch.testing.assert_close(concat, joined / joined.norm(dim=1, keepdim=True))
    half = ImageFeatures(*(part.to(torch.bfloat16) for part in features))
    assert descriptor(half, "concat").dtype == torch.float32
    with pytest.raises(SettingError, match="--descriptor 'cls' is unknown"):
        descriptor(features, "cls")


def test_towers_run_under_bf16_autocast():
    clip = tiny_clip()
    pixels, texts = torch.randn(4, 3, 32, 16), torch.randn(4, 12, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image, text = clip.image(pixels), clip.text(texts, 11)
    torch.testing.assert_close(image.projected.float(), clip.image(pixels).projected, atol=0.1, rtol=0.1)
    torch.testing.assert_close(text.float(), clip.text(texts, 11), atol=0.1, rtol=0.1)


def test_encoder_is_rebuilt_from_its_config():
    image = tiny_clip(stride=4).image
    again = ImageEncoder(geometry=dataclasses.replace(image.geometry), **image.config)
    again.load_state_dict(image.state_dict())
    pixels = torch.randn(2, 3, 32, 16)
    torch.testing.assert_close(again.eval()(pixels).cls, image(pixels).cls)
