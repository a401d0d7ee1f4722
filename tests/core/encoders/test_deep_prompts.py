"""Deep prompts of both towers: their places, the end token after the shift, and what is saved."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from artifacts import edit_json
from oracles.openclip import twin
from oracles.prompted import encode_image, encode_text
from safetensors.torch import save_file
from tiny import TINY_MODEL, spread_out, tiny_clip

from scing_cli.core.artifacts import STAMP
from scing_cli.core.encoders.attention import run_block
from scing_cli.core.encoders.clip import ClipModel, empty_clip, load_clip, load_image_tower
from scing_cli.core.encoders.encoder_file import encoder_digest, load_image_encoder, save_encoders
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.encoders.text import TextEncoder
from scing_cli.core.encoders.tokenizer import tokens_of
from scing_cli.core.errors import RunError, SettingError, WeightsError

BLOCKS = 3
CAPTIONS = ["", "coat", " ".join(["red coat"] * 15), "coat " * 74, "coat " * 200, "a man in black"]
KINDS = [(0, 0), (1, 1), (4, 1), (1, 2), (4, 2), (1, 3), (4, 3)]  # n, J
every_kind = pytest.mark.parametrize(("tokens", "depth"), KINDS, ids=[f"n={n}, J={j}" for n, j in KINDS])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model of three blocks in each tower."""
    content = json.loads(Path(TINY_MODEL).read_text(encoding="utf-8"))
    for part in ("vision_cfg", "text_cfg"):
        content[part]["layers"] = BLOCKS
    made = tmp_path_factory.mktemp("model") / "three.json"
    made.write_text(json.dumps(content), encoding="utf-8")
    return str(made)


def prompted(file: str, tokens: int, depth: int) -> ClipModel:
    clip = load_clip(file, "random")
    if depth:
        for tower in (clip.image, clip.text):
            tower.learn_prompts(tokens, depth, seed=3)
    return spread_out(clip)


def own_prompts(tower: ImageEncoder | TextEncoder) -> list[torch.Tensor]:
    return [] if tower.prompts is None else list(tower.prompts.detach().double())


def texts_of(tower: TextEncoder, captions: list[str]) -> torch.Tensor:
    tokens = tokens_of(captions, tower.longest)
    return tower(tower.embed(torch.from_numpy(tokens.ids)), tokens.ends.tolist())


def pixels(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 16, generator=torch.Generator().manual_seed(1))


@every_kind
@torch.no_grad()
def test_prompts_stand_after_the_class_token_in_each_of_the_first_blocks(file: str, tokens: int, depth: int) -> None:
    clip = prompted(file, tokens, depth)
    reference, given = twin(clip).double(), pixels()
    expected = torch.stack([encode_image(reference, image.double(), own_prompts(clip.image)) for image in given])
    for way in (clip.image, clip.image.dense):
        torch.testing.assert_close(way(given).projected.double(), expected, atol=1e-5, rtol=1e-5)
    if not depth:
        torch.testing.assert_close(reference.encode_image(given.double()), expected)


@every_kind
@torch.no_grad()
def test_prompts_stand_before_the_words_and_the_end_token_moves_on(file: str, tokens: int, depth: int) -> None:
    clip = prompted(file, tokens, depth)
    reference = twin(clip).double()
    expected = torch.stack([encode_text(reference, caption, own_prompts(clip.text)) for caption in CAPTIONS])
    torch.testing.assert_close(texts_of(clip.text, CAPTIONS).double(), expected, atol=1e-5, rtol=1e-5)
    for caption, own in zip(CAPTIONS, expected, strict=True):  # alone, all ends are equal
        torch.testing.assert_close(texts_of(clip.text, [caption])[0].double(), own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("words", "cut"), [(0, False), (1, False), (30, False), (71, False), (72, True), (300, True)])
def test_a_caption_is_cut_to_what_the_prompts_leave_and_keeps_its_end(file: str, words: int, cut: bool) -> None:
    clip = prompted(file, 4, 2)
    assert clip.text.longest == 73
    tokens = tokens_of(["coat " * words], clip.text.longest)
    assert bool(tokens.cut) == cut
    assert tokens.ends.tolist() == [min(words, 71) + 1]
    with pytest.raises(SettingError, match="text of 74 tokens is too long: the text tower takes at most 73"):
        clip.text(torch.zeros(1, 77, 24), 73)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_the_blocks_of_a_batch_are_run_by_the_given_function_with_all_tokens(file: str, kind: str) -> None:
    clip = prompted(file, 4, 2)
    lengths: list[int] = []

    def watched(block: object, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        lengths.append(tokens.shape[1])
        return run_block(block, tokens, mask)

    if kind == "image":
        found, usual = (clip.image(pixels(), run=run).projected for run in (watched, None))
    else:
        embedded = torch.randn(2, 9, 24)
        found, usual = (clip.text(embedded, [4, 8], run=run) for run in (watched, None))
    assert torch.equal(found, usual)
    assert lengths == [13 if kind == "text" else 4 + len(clip.image.positional_embedding)] * (BLOCKS - 1)


@pytest.mark.parametrize("kind", ["image", "text"])
def test_gradients_of_prompts_are_those_of_the_dense_way_and_bf16_is_near(file: str, kind: str) -> None:
    clip = prompted(file, 4, 3)
    tower = getattr(clip, kind)
    given = (pixels(),) if kind == "image" else (torch.randn(3, 9, 24), [4, 8, 0])
    gradients, features = [], []
    for way in (tower, tower.dense):
        tower.zero_grad(set_to_none=True)
        found = way(*given)
        features.append(found.projected if kind == "image" else found)
        features[-1].square().sum().backward()
        gradients.append(tower.prompts.grad)
        assert bool(tower.prompts.grad.flatten(1).any(dim=1).all())
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        half = tower(*given)
    half = half.projected if kind == "image" else half
    torch.testing.assert_close(half.float(), features[0].detach(), atol=0.2, rtol=0.1)


def test_a_tower_without_prompts_is_what_it_was() -> None:
    clip = tiny_clip()
    assert set(clip.image.config) == {"width", "layers", "heads", "embed_dim", "mlp_ratio", "quick_gelu"}
    assert set(clip.text.config) == {"layers", "heads", "quick_gelu"}
    assert clip.text.longest == clip.text.context_length == 77
    for tower in (clip.image, clip.text):
        assert tower.prompts is None
        assert "prompts" not in tower.state_dict()
    digest = encoder_digest(clip.image)
    assert digest == "8edc21e89f8887d215be837fc97106089348d37cbb7d6973e0de6f8b9c105972"
    clip.image.learn_prompts(1, 1, 0)
    assert encoder_digest(clip.image) != digest


def test_initial_values_are_drawn_from_the_key(file: str) -> None:
    one, two, other = load_clip(file, "random"), load_clip(file, "random"), load_clip(file, "random")
    before = torch.random.get_rng_state()
    for clip, seed in ((one, 0), (two, 0), (other, 1)):
        for tower in (clip.image, clip.text):
            tower.learn_prompts(60 if tower.kind == "text" else 8, 3, seed)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.image.prompts is not None
    assert one.text.prompts is not None
    assert one.text.prompts.shape == (3, 60, 24)
    assert torch.equal(one.image.prompts, two.image.prompts)
    assert torch.equal(one.text.prompts, two.text.prompts)
    assert not torch.equal(one.image.prompts, other.image.prompts)
    assert not torch.equal(one.image.prompts[0, 0, :24], one.text.prompts[0, 0])
    spread = one.text.prompts.detach()
    assert abs(float(spread.std()) - 0.02) < 0.002
    assert abs(float(spread.mean())) < 0.002


def test_towers_are_rebuilt_saved_and_copied_with_their_prompts(file: str, tmp_path: Path) -> None:
    clip = prompted(file, 4, 2)
    again = TextEncoder(**clip.text.sizes)
    again.load_state_dict(clip.text.state_dict())
    assert torch.equal(texts_of(again.eval(), CAPTIONS), texts_of(clip.text, CAPTIONS))
    digest = save_encoders(tmp_path, clip.image, {})
    loaded, stamp = load_image_encoder(tmp_path)
    assert (stamp["model"]["prompt_tokens"], stamp["model"]["prompt_depth"]) == (4, 2)
    assert encoder_digest(loaded) == digest
    for same in (loaded, copy.deepcopy(clip.image)):
        assert torch.equal(same(pixels()).cls, clip.image(pixels()).cls)
    other = dataclasses.replace(clip, image=copy.deepcopy(clip.image))
    assert clip.image.prompts is not None
    other.image.set_prompts(2 * clip.image.prompts)
    assert not torch.allclose(other.image(pixels()).cls, clip.image(pixels()).cls)
    other.image.set_prompts(clip.image.prompts)
    assert torch.equal(other.image(pixels()).cls, clip.image(pixels()).cls)


def test_a_towers_weights_file_brings_its_prompts(file: str, tmp_path: Path) -> None:
    clip = prompted(file, 4, 2)
    save_encoders(tmp_path, clip.image, {})
    weights = str(tmp_path / "image_encoder.safetensors")
    image = load_image_tower(file, weights).image
    assert image.config == clip.image.config
    assert torch.equal(image(pixels()).cls, clip.image(pixels()).cls)
    whole = {**clip.text.state_dict(), "logit_scale": torch.tensor(4.6)}
    whole |= {f"visual.{name}": value for name, value in clip.image.state_dict().items()}
    save_file(whole, tmp_path / "clip.safetensors")
    both = load_clip(file, str(tmp_path / "clip.safetensors"))
    assert encoder_digest(both.image) == encoder_digest(clip.image)
    assert torch.equal(texts_of(both.text, CAPTIONS), texts_of(clip.text, CAPTIONS))
    for wrong in (torch.zeros(2, 4, 5), torch.zeros(BLOCKS + 1, 4, 32), torch.zeros(3)):
        save_file({**whole, "visual.prompts": wrong}, tmp_path / "wrong.safetensors")
        with pytest.raises(WeightsError, match=r"visual\.prompts is unexpected"):
            load_clip(file, str(tmp_path / "wrong.safetensors"))


@pytest.mark.parametrize(
    "change", [{"prompt_depth": 3}, {"prompt_depth": 99}, {"prompt_tokens": 0}, {"prompt_depth": None}]
)
def test_a_stamp_that_tells_other_prompts_is_refused(file: str, tmp_path: Path, change: dict[str, object]) -> None:
    save_encoders(tmp_path, prompted(file, 4, 2).image, {})
    edit_json(tmp_path / STAMP, lambda stamp: stamp["model"].update(change))
    with pytest.raises(RunError, match="stamp"):
        load_image_encoder(tmp_path)


@pytest.mark.parametrize(
    ("kind", "tokens", "depth", "named"),
    [
        ("image", 0, 2, "--prompt-tokens 0"),
        ("image", 9, 2, "--prompt-tokens 9"),  # an image has 8 patches
        ("text", 75, 2, "--prompt-tokens 75"),  # no word would be left
        ("image", 2, 0, "--prompt-depth 0"),
        ("text", 2, 4, "--prompt-depth 4"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(file: str, kind: str, tokens: int, depth: int, named: str) -> None:
    tower = getattr(load_clip(file, "random"), kind)
    with pytest.raises(SettingError, match=f"{named} is out of range"):
        tower.learn_prompts(tokens, depth, 0)
    assert tower.prompts is None
    with pytest.raises(ValueError, match="takes"):
        tower.set_prompts(torch.zeros(1, 2, 7))


@pytest.mark.parametrize(
    ("tokens", "depth", "text", "vision"),
    [(4, 12, 24_576, 36_864), (8, 12, 49_152, 73_728), (4, 1, 2_048, 3_072)],
)
def test_parameters_at_vit_b_16(tokens: int, depth: int, text: int, vision: int) -> None:
    clip = empty_clip("ViT-B-16-quickgelu", size=(384, 128))
    image, words = (sum(value.numel() for value in tower.parameters()) for tower in (clip.image, clip.text))
    assert (image, words, clip.text.token_embedding.weight.numel()) == (86_189_568, 63_428_096, 25_296_896)
    assert image + words == 149_617_664
    for tower, expected, whole in ((clip.image, vision, image), (clip.text, text, words)):
        tower.learn_prompts(tokens, depth, 0)
        assert tower.prompts is not None
        assert tower.prompts.numel() == expected
        assert sum(value.numel() for value in tower.parameters()) == whole + expected
    assert text + vision in {61_440, 122_880, 5_120}
    smaller = empty_clip("ViT-B-16-quickgelu", size=(256, 128)).image
    assert sum(value.numel() for value in smaller.parameters()) == 86_140_416
