"""Both stages of Prompt Decoupling: a whole step against plain float64 loops, what moves, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from oracles import pairs as plain
from oracles.openclip import twin
from oracles.prompted import encode_image, encode_text
from tiny import spread_out, tiny_clip
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders import compiled
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.compiled import CompiledBlock
from scing_cli.core.errors import SettingError
from scing_cli.core.methods.prompt_decoupling.pair_tuning import DomainTuning, PairEncoder, PairTuning, identity_head
from scing_cli.core.methods.task import Batch, Task

CAPTIONS = ["a man in red", "", "coat " * 90, "a woman with a bag", "a man in red", "blue"]
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
ROWS = [4, 0, 1, 2, 5]
KEY = (0, "test", 0, 0)
SEED = 5
UNCHANGED = Augmentation(flip=0, erase=0, crop=0, padding=2)


def pixels(rows: Sequence[int] = ROWS) -> Tensor:
    return torch.randn(6, 3, 32, 16, generator=torch.Generator().manual_seed(1))[list(rows)]


def batch(rows: Sequence[int] = ROWS) -> Batch:
    return Batch(rows, {"pixels": pixels(rows)})


def prompted(*, depth: int = 2) -> ClipModel:
    clip = tiny_clip()
    if depth:
        for tower in (clip.image, clip.text):
            tower.learn_prompts(3, depth, 0)
    return spread_out(clip)


def pairs(clip: ClipModel, *, augmentation: Augmentation = UNCHANGED, precision: str = "fp32") -> PairEncoder:
    return PairEncoder(
        clip=clip, captions=CAPTIONS, labels=LABELS, augmentation=augmentation, precision=precision, run=None
    )


def task_of(clip: ClipModel, loss: str, **options: object) -> Task:
    encoder = pairs(clip, **options)  # type: ignore[arg-type]
    return DomainTuning(encoder) if loss == "stage 1" else PairTuning(encoder, loss=loss, seed=SEED)


def reference_step(clip: ClipModel, loss: str) -> tuple[dict[str, Tensor], nn.ModuleDict]:
    """The loss terms of `batch()` and all gradients, pair by pair in float64."""
    towers = twin(clip).double().requires_grad_(loss != "stage 1")
    prompts = nn.ParameterDict()
    for tower in (clip.image, clip.text):
        if tower.prompts is not None:
            prompts[tower.kind] = nn.Parameter(tower.prompts.detach().double())
    empty: list[Tensor] = []
    images = torch.stack(
        [encode_image(towers, image, list(prompts.get("image", empty))) for image in pixels().double()]
    )
    texts = torch.stack([encode_text(towers, CAPTIONS[row], list(prompts.get("text", empty))) for row in ROWS])
    labels = LABELS[ROWS].tolist()
    parts = nn.ModuleDict({"towers": towers, "prompts": prompts})
    if loss == "itc":
        terms = {"itc": plain.itc(images, texts, labels, 50.0)}
    else:
        terms = {"sdm": plain.sdm(images, texts, labels, 50.0)}
    if loss == "sdm+id":
        head = parts["head"] = identity_head(clip.image.embed_dim, 3, SEED).double()
        terms["identity"] = plain.identity(images, texts, labels, head.weight, head.bias)
    torch.stack([*terms.values()]).sum().backward()
    return terms, parts


def as_ours(name: str, loss: str) -> str:
    """Return the name of a parameter of the reference in a task of ours."""
    for theirs, own in (
        ("prompts.", "" if loss == "stage 1" else "prompts."),
        ("towers.visual.", "image."),
        ("towers.", "text."),
    ):
        if name.startswith(theirs):
            return own + name.removeprefix(theirs)
    return name


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("loss", ["stage 1", "sdm", "sdm+id", "itc"])
def test_a_whole_step_is_that_of_plain_loops(loss: str, depth: int) -> None:
    clip = prompted(depth=depth)
    expected, reference = reference_step(clip, loss)
    task = task_of(clip, loss)
    found = task.losses(batch(), KEY)
    found.total().backward()
    assert set(found.terms) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found.terms[name].double(), value, atol=1e-4, rtol=1e-4)
    gradients = {as_ours(name, loss): value.grad for name, value in reference.named_parameters()}
    ours = {name: value.grad for name, value in task.trainable().named_parameters() if value.requires_grad}
    compared = 0
    for name, own in ours.items():
        theirs = gradients[name]
        assert own is not None, name
        assert theirs is not None, name
        largest = float(theirs.abs().max())
        assert float((own.double() - theirs).abs().max()) < 2e-4 * largest + 1e-6, name
        compared += 1
    assert compared == (2 if loss == "stage 1" else len(ours))
    if loss != "stage 1":
        trained = {name for name, value in gradients.items() if value is not None and not name.startswith("prompts.")}
        assert trained == set(ours)


@pytest.mark.parametrize("loss", ["sdm", "sdm+id", "itc"])
def test_direct_fine_tuning_is_stage_2_of_a_clip_without_prompts(loss: str) -> None:
    clip = prompted(depth=0)
    expected, _ = reference_step(clip, loss)
    found = task_of(clip, loss).losses(batch(), KEY)
    for name, value in expected.items():
        torch.testing.assert_close(found.terms[name].double(), value, atol=1e-4, rtol=1e-4)


def train(task: Task, steps: int, *, rate: float) -> list[float]:
    optimiser = torch.optim.Adam([value for value in task.trainable().parameters() if value.requires_grad], lr=rate)
    totals = []
    for step in range(steps):
        optimiser.zero_grad(set_to_none=True)
        total = task.losses(batch(range(6)), (0, "test", 0, step)).total()
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    return totals


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("loss", ["stage 1", "sdm", "sdm+id", "itc"])
def test_exactly_the_prompts_move_in_stage_1_and_all_else_in_stage_2(loss: str, precision: str) -> None:
    clip = prompted()
    task = task_of(clip, loss, precision=precision)
    before = {kind: copy.deepcopy(tower.state_dict()) for kind, tower in (("image", clip.image), ("text", clip.text))}
    train(task, 2, rate=1e-3)
    for kind, tower in (("image", clip.image), ("text", clip.text)):
        moved = {name for name, value in tower.state_dict().items() if not torch.equal(value, before[kind][name])}
        assert moved == ({"prompts"} if loss == "stage 1" else set(before[kind]) - {"prompts"})


@pytest.mark.parametrize("loss", ["stage 1", "sdm", "sdm+id", "itc"])
def test_a_short_training_lowers_the_loss(loss: str) -> None:
    totals = train(task_of(prompted(), loss), 20, rate=1e-2 if loss == "stage 1" else 3e-3)
    assert totals[-1] < 0.8 * totals[0]


@pytest.mark.parametrize(("identities", "count"), [(11_003, 5_644_539), (3_102, 1_591_326), (3_701, 1_898_613)])
def test_the_classifier_of_each_data_set_has_512_weights_and_a_bias_per_identity(identities: int, count: int) -> None:
    assert sum(value.numel() for value in identity_head(512, identities, SEED).parameters()) == count


def test_every_draw_is_a_function_of_the_key() -> None:
    clip = prompted()
    encoder = pairs(clip, augmentation=Augmentation(padding=2))
    task = PairTuning(encoder, masked=0.5, seed=SEED)
    first, again = (task.losses(batch(), KEY).total() for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, task.losses(batch(), (0, "test", 0, 1)).total())
    other = PairTuning(encoder, seed=SEED).losses(batch(), KEY).total()
    assert not torch.equal(first, other)
    heads = [identity_head(16, 3, seed) for seed in (0, 0, 1)]
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert not torch.equal(heads[0].weight, heads[2].weight)
    assert 0.0005 < float(heads[0].weight.detach().std()) < 0.0015
    assert not heads[0].bias.any()


def test_masked_words_are_those_that_the_tower_reads() -> None:
    clip = prompted()
    rows = [0, 3]
    masked = pairs(clip)(batch(rows), KEY, masked=0.9999999).texts
    reference = twin(clip).double()
    prompts = list(clip.text.prompts.detach().double())
    expected = torch.stack([encode_text(reference, CAPTIONS[row], prompts, range(n)) for row, n in ((0, 4), (3, 5))])
    torch.testing.assert_close(masked.double(), expected, atol=1e-5, rtol=1e-5)


def test_cut_captions_are_counted_and_logged_figures_are_shares() -> None:
    clip = prompted()
    encoder = pairs(clip)
    assert encoder.captions_cut == 1
    figures = DomainTuning(encoder).losses(batch(), KEY).figures
    assert set(figures) == {"pair_cosine", "pair_rank1"}
    assert not any(value.requires_grad for value in figures.values())
    assert 0 <= float(figures["pair_rank1"]) <= 1


def test_a_last_batch_of_one_pair_trains() -> None:
    task = task_of(prompted(), "sdm+id")
    losses = task.losses(batch([3]), KEY)
    losses.total().backward()
    assert abs(float(losses.terms["sdm"].detach())) < 1e-5
    assert all(value.grad is None or bool(value.grad.isfinite().all()) for value in task.trainable().parameters())


def test_compiled_blocks_give_the_losses_and_gradients_of_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(compiled, "ENGINE", counter)
    results = []
    for run in (None, CompiledBlock()):
        clip = prompted()
        clip.image.transformer.resblocks.extend(tiny_clip(seed=1).image.transformer.resblocks)
        encoder = PairEncoder(
            clip=clip, captions=CAPTIONS, labels=LABELS, augmentation=UNCHANGED, precision="fp32", run=run
        )
        task = DomainTuning(encoder)
        for rows in (ROWS, range(6), ROWS):  # one of another size
            loss = task.losses(batch(rows), KEY).total()
            loss.backward()
        results.append([loss.detach(), *(value.grad for value in task.trainable().parameters())])
    assert counter.frame_count == 1
    for plain_value, own in zip(*results, strict=True):
        torch.testing.assert_close(own, plain_value, atol=1e-3, rtol=1e-4)


def test_what_cannot_be_trained_is_refused() -> None:
    clip = prompted(depth=0)
    with pytest.raises(ValueError, match="image tower has no prompts to learn"):
        DomainTuning(pairs(clip))
    with pytest.raises(SettingError, match="--stage2-loss 'paper' is unknown here"):
        PairTuning(pairs(clip), loss="paper")
    with pytest.raises(ValueError, match="2 captions for 6 rows"):
        PairEncoder(clip=clip, captions=CAPTIONS[:2], labels=LABELS, augmentation=UNCHANGED, precision="fp32")
