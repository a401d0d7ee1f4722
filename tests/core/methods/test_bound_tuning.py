"""The one stage of dmpt: a whole step against plain float64 loops, what moves, and the sizes at ViT-B/16."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from bound import ALL, observations
from oracles import clip as clip_oracle
from oracles import clip_reid
from oracles import dmpt as oracle
from tiny import spread_out, tiny_clip
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from scing_cli.core.encoders import compiled
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.encoder_file import encoder_digest
from scing_cli.core.encoders.spectral import SpectralEncoder
from scing_cli.core.encoders.tokenizer import tokenize
from scing_cli.core.methods import StageInputs, load_method
from scing_cli.core.methods.dmpt import BoundTuning, TwoHeads
from scing_cli.core.methods.dmpt.bound_tuning import name_features
from scing_cli.core.methods.task import Batch
from scing_cli.core.settings import PromptSettings
from scing_cli.core.training import AdamGroups
from scing_cli.core.training.optimiser import make_adam

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
ROWS = [4, 0, 1, 2, 5]
KEY = (0, "train-prompts", 0, 0)
STILL = {"flip": 0, "crop": 0, "erase": 0}
SIZES = {"specific_tokens": 2, "semantic_tokens": 3, "bind_tokens": 2}


def task_of(
    clip: ClipModel,
    spectra: tuple[str, ...] = ALL,
    *,
    labels: Tensor = LABELS,
    objects: str = "person",
    **options: object,
) -> BoundTuning:
    first, second = load_method("dmpt").stages
    assert second is None
    clip = dataclasses.replace(clip, image=SpectralEncoder(clip.image, spectra, join="mean"))
    chosen = PromptSettings(method="dmpt", model="-", **{**STILL, **SIZES, **options})
    assert first.build is not None
    built = first.build(chosen, StageInputs(clip, labels, "fp32", objects=objects))
    assert isinstance(built, BoundTuning)
    return built


def away_from_its_start(task: BoundTuning) -> BoundTuning:
    """Move what starts at zero or one, so that no term hides."""
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, value in task.trainable().named_parameters():
            if value.requires_grad:
                value.add_((0.01 if name.startswith("heads.heads") else 0.2) * torch.randn(value.shape, generator=draw))
    return task


def batch(rows: list[int] = ROWS, **options: object) -> Batch:
    return Batch(rows, {"pixels": observations(6, **options)[rows]})  # type: ignore[arg-type]


def arrays(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy() for name, value in state.items()}


@pytest.mark.parametrize("without", [[], [(0, 1), (5, 0), (5, 2)]], ids=["whole", "missing"])
def test_a_whole_step_is_that_of_plain_loops(without: list[tuple[int, int]]) -> None:
    clip = spread_out(tiny_clip())
    task = away_from_its_start(task_of(clip))
    own, config = arrays(task.encoder.bound.state_dict()), task.encoder.tower.config
    layers = range(config["layers"])
    parts = [
        {name.removeprefix(f"bind.{part}."): value for name, value in own.items() if name.startswith(f"bind.{part}.")}
        for part in ("gather", "read")
    ]
    learnt = oracle.Learnt(
        e=own["names"],
        w=np.stack([own[f"projections.{layer}.weight"] for layer in layers]),
        b=np.stack([own[f"projections.{layer}.bias"] for layer in layers]),
        r=own["specific"],
        s=own["semantic"],
        bd0=own["bind.tokens"],
        a1=parts[0],
        a2=parts[1],
    )
    given, state = batch(without=without), arrays(task.encoder.tower.state_dict())
    found = [
        oracle.encode(
            [None if bool(image.isnan().any()) else image.numpy() for image in row],
            learnt,
            state,
            patch=8,
            heads=config["heads"],
            quick=config["quick_gelu"],
        )
        for row in given.pixels.double().unflatten(1, (-1, 3))
    ]
    labels, heads = LABELS[ROWS].tolist(), arrays(task.heads.state_dict())
    identity, triplet = 0.0, 0.0
    for number, part in enumerate(("g", "s")):
        vectors = np.stack([each[number] for each in found])
        # the weight of the neck belongs to the head's
        weights = heads[f"heads.{part}.weight"] * heads[f"necks.{part}.weight"]
        identity += 0.25 * clip_reid.identity_loss(vectors, weights, labels, 0.1)
        triplet += oracle.soft_triplet(vectors, labels)
    losses = task.losses(given, KEY)
    assert set(losses.terms) == {"identity", "triplet"}
    assert float(losses.terms["identity"]) == pytest.approx(identity, rel=1e-4)
    assert float(losses.terms["triplet"]) == pytest.approx(triplet, rel=1e-4)
    assert float(losses.total()) == pytest.approx(identity + triplet, rel=1e-4)


def test_the_names_of_the_spectra_are_texts_of_the_frozen_tower() -> None:
    clip = spread_out(tiny_clip())
    names = task_of(clip, ("tir",), objects="vehicle").encoder.bound.names
    ids = tokenize("a photo of a vehicle in the thermal infrared spectrum")
    embedded = clip.text.embed(torch.tensor(ids)).detach().double().numpy()
    state = arrays(clip.text.state_dict())
    state["positional_embedding"] = state["positional_embedding"][: len(ids)]
    expected = clip_oracle.encode_text(embedded, len(ids) - 1, state, heads=clip.text.config["heads"], quick=True)
    np.testing.assert_allclose(names[0].double().numpy(), expected / np.linalg.norm(expected), atol=1e-5)
    together = name_features(clip, ["red", "a thermal image of a vehicle"])
    torch.testing.assert_close(together[:1], name_features(clip, ["red"]))


def test_only_prompts_attentions_necks_and_heads_move() -> None:
    clip = tiny_clip()
    image, text = encoder_digest(clip.image), {name: value.clone() for name, value in clip.text.state_dict().items()}
    task = task_of(clip, flip=0.5, crop=0.5, erase=0.5)
    before = {name: value.detach().clone() for name, value in task.trainable().state_dict().items()}
    adam = make_adam(task.trainable(), lr=1e-3, bias_factor=2.0, weight_decay=0.0, groups=AdamGroups())
    for step in range(3):  # A2's output starts at zero: what is before it has a gradient from the second step on
        adam.zero_grad(set_to_none=True)
        task.losses(batch(without=[(1, 0)]), (0, "train-prompts", 0, step)).total().backward()
        adam.step()
    still = {name for name, value in task.trainable().state_dict().items() if torch.equal(value, before[name])}
    assert still == {"bound.names", "heads.necks.g.bias", "heads.necks.s.bias"}
    assert encoder_digest(clip.image) == encoder_digest(task.encoder.tower) == image
    assert all(torch.equal(value, text[name]) for name, value in clip.text.state_dict().items())
    assert all(value.grad is None for tower in (clip.image, clip.text) for value in tower.parameters())
    assert task.encoder.bound.names.requires_grad is False


def test_biases_have_twice_the_rate_by_default() -> None:
    chosen = PromptSettings(method="dmpt")
    assert (chosen.lr, chosen.weight_decay, chosen.bias_lr_factor) == (3.5e-4, 1e-4, 2.0)
    assert (chosen.epochs, chosen.warmup_epochs, chosen.batch_size, chosen.instances) == (60, 10, 64, 4)
    assert (chosen.warmup_lr, chosen.final_lr) == pytest.approx((0.01 * chosen.lr, 0.001 * chosen.lr))
    assert (chosen.specific_tokens, chosen.semantic_tokens, chosen.bind_tokens) == (4, 8, 4)
    task = task_of(tiny_clip())
    adam = make_adam(task.trainable(), lr=1.0, bias_factor=chosen.bias_lr_factor, weight_decay=0, groups=AdamGroups())
    counts = {group["factor"]: sum(value.numel() for value in group["params"]) for group in adam.param_groups}
    biases = 2 * 32 + 2 * (2 * 32 + 3 * 96 + 32)  # of W_j, and of layer norms and projections of both attentions
    assert counts[2.0] == biases


def test_the_seed_decides_all_initial_values() -> None:
    states = [task_of(tiny_clip(), seed=seed).trainable().state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not torch.equal(states[0]["bound.semantic"], states[2]["bound.semantic"])
    assert not torch.equal(states[0]["heads.heads.g.weight"], states[0]["heads.heads.s.weight"])


@pytest.mark.parametrize(("identities", "count"), [(171, 525_312), (155, 476_160), (50, 153_600)])
def test_heads_at_vit_b_16(identities: int, count: int) -> None:
    """2 K 1,536 parameters, and the weights of two necks; the prompts are counted with the encoder."""
    with torch.device("meta"):
        heads = TwoHeads(1536, identities)
    assert sum(value.numel() for value in heads.heads.parameters()) == count
    assert sum(value.numel() for value in heads.parameters() if value.requires_grad) == count + 2 * 1536


def test_compiled_blocks_give_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(compiled, "ENGINE", counter)
    tasks = [away_from_its_start(task_of(tiny_clip(), compile=way)) for way in (False, True)]
    for given in (batch(), batch(without=[(0, 1), (2, 0)]), batch(ROWS[:4]), batch()):
        plain, own = (task.losses(given, KEY).terms for task in tasks)
        for name, value in own.items():
            torch.testing.assert_close(value, plain[name], rtol=1e-4, atol=1e-5)
    assert counter.frame_count == 1
    assert tasks[0].run is None


def test_an_ordinary_encoder_is_refused() -> None:
    first, _ = load_method("dmpt").stages
    assert first.build is not None
    with pytest.raises(TypeError, match="dmpt needs an encoder of spectra, not ImageEncoder"):
        first.build(PromptSettings(method="dmpt"), StageInputs(tiny_clip(), LABELS, "fp32"))
