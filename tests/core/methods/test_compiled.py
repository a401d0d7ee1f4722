"""A stage with compiled blocks: the losses and gradients of one without, and a graph for each way a tower is run."""

from __future__ import annotations

import pytest
import torch
from built import prompt_task_of, visual_task_of
from tiny import tiny_clip
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional as F

from scing_cli.core.encoders import compiled
from scing_cli.core.methods import Batch, Similarity
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import PromptSettings, VisualSettings

PEOPLE, IMAGES = 3, 12
ROWS = [0, 1, 4, 5]
KEY = (0, "stage", 0, 0)
LABELS = torch.arange(IMAGES) // (IMAGES // PEOPLE)


@pytest.fixture
def graphs(monkeypatch):
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(compiled, "ENGINE", counter)
    return counter


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def deep_clip():
    """A tiny CLIP with twice the blocks, so that several run compiled."""
    clip, more = tiny_clip(), tiny_clip(seed=1)
    clip.image.transformer.resblocks.extend(more.image.transformer.resblocks)
    clip.text.transformer.resblocks.extend(more.text.transformer.resblocks)
    return clip


def prompts(method, **settings):
    clip = deep_clip()
    return prompt_task_of(
        method,
        PromptSettings(model="-", batch_size=4, instances=2, **settings),
        clip=clip,
        features=drawn(IMAGES, clip.image.embed_dim),
        labels=LABELS,
        precision="fp32",
    )


def visual(**settings):
    clip = deep_clip()
    return visual_task_of(
        "scing",
        VisualSettings(batch_size=4, instances=2, **settings),
        encoder=clip.image,
        texts=F.normalize(drawn(PEOPLE, clip.image.embed_dim), dim=1),
        similarity=Similarity("cosine", 100.0),
        labels=LABELS,
        cameras=None,
        precision="fp32",
    )


def batch(rows=ROWS):
    return Batch(rows, {"pixels": drawn(len(rows), 3, 32, 16)})


def results(task, rows=ROWS):
    losses = task.losses(batch(rows), KEY)
    losses.total().backward()
    found = {name: value.detach() for name, value in losses.terms.items()}
    found |= {name: value.grad.clone() for name, value in task.trainable().named_parameters() if value.grad is not None}
    task.trainable().zero_grad()
    return found


def batches_of(plan):
    return [batch(rows) for rows in plan]


MAKE = {
    "scing, fresh": (lambda **options: prompts("scing", **options), 2),
    "scing, bank": (lambda **options: prompts("scing", views="bank:2", **options), 2),
    "scing, no consistency": (lambda **options: prompts("scing", consistency=False, **options), 1),
    "clip-reid": (lambda **options: prompts("clip-reid", **options), 1),
    "cocoop": (lambda **options: prompts("cocoop", **options), 1),
    "stage 2": (visual, 1),
    "stage 2, clip-reid": (lambda **options: visual(stage2_loss="clip-reid", **options), 1),
}


@pytest.mark.parametrize("stage", MAKE)
def test_losses_and_gradients_are_those_of_plain_blocks(graphs, stage):
    make, expected_graphs = MAKE[stage]
    plain, own = make(compile=False), make(compile=True)
    own.trainable().load_state_dict(plain.trainable().state_dict())
    for task in (plain, own):
        if hasattr(task, "prepare"):
            task.prepare(batches_of, Silent())
    for rows in (ROWS, ROWS, [*ROWS[:2], 8], ROWS):  # an epoch's last batch may be smaller
        found, expected = results(own, rows), results(plain, rows)
        assert found.keys() == expected.keys()
        for name, value in found.items():
            torch.testing.assert_close(
                value, expected[name], rtol=1e-3, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}"
            )
    assert graphs.frame_count == expected_graphs
    if hasattr(own, "identity_texts"):
        for block in (12, 2, 256):
            torch.testing.assert_close(own.identity_texts(block=block), plain.identity_texts())
            torch.testing.assert_close(
                own.identity_texts(kind="mean-text", block=block), plain.identity_texts(kind="mean-text")
            )
    assert graphs.frame_count == expected_graphs
    assert own.trainable().state_dict().keys() == plain.trainable().state_dict().keys()


def test_nothing_is_compiled_unless_asked_for(graphs):
    for make in (visual, lambda **options: prompts("scing", **options)):
        task = make(compile=False)
        results(task)
        assert task.run is None
    assert graphs.frame_count == 0
    assert not VisualSettings().compile
    assert not PromptSettings().compile
