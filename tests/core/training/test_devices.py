"""No step mixes devices: losses of both stages on fake tensors of a GPU, on machines without one.

torch's fake tensors know shapes and devices, and refuse an operation on two devices as a GPU would. The backward is
torch's own, and needs a GPU even so.
"""

from __future__ import annotations

import contextlib

import pytest
import torch
from built import prompt_task_of, visual_task_of
from tiny import tiny_clip
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from scing_cli.core.batches import normalise
from scing_cli.core.methods import Batch, Similarity
from scing_cli.core.settings import PromptSettings, VisualSettings

GPU = torch.device("cuda")
COUNT, PEOPLE, WIDTH, SIZE = 8, 4, 16, (32, 16)  # size and width are the tiny model's


class Generators(TorchFunctionMode):
    """Notes where each generator is, and refuses one on another device than what it draws."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[torch.Generator, str] = {}
        self.real = torch.Generator

    def make(self, device: torch.device | str = "cpu") -> torch.Generator:
        made = self.real()
        self.places[made] = torch.device(device).type
        return made

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        generator = kwargs.get("generator")
        if generator is not None:
            assert self.places[generator] == torch.device(kwargs.get("device") or "cpu").type
        return function(*args, **kwargs)


@pytest.fixture
def gpu(monkeypatch):
    """Return a context that pretends that there is a GPU with bf16; it gives what makes a tensor's twin there."""
    from torch.cuda.amp import common

    generators = Generators()
    monkeypatch.setattr(common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch, "Generator", generators.make)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode:
            torch.empty(2, device=GPU)[torch.empty(2, dtype=torch.int64, device=GPU)]
    except (RuntimeError, AssertionError) as error:  # 2.6, or a build for CPUs
        pytest.skip(f"torch {torch.__version__} asks the driver even of a tensor without values: {error}")

    def twin(tensor):
        there = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=GPU)
        learnt = isinstance(tensor, torch.nn.Parameter)
        return torch.nn.Parameter(there, requires_grad=tensor.requires_grad) if learnt else there

    @contextlib.contextmanager
    def pretended():
        with mode, generators:
            yield twin

    return pretended


def moved(task, twin):
    """Put all that a task holds on the GPU."""
    clip = getattr(task, "clip", None)
    for module in (task.trainable(), *((clip.image, clip.text) if clip else ())):
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                tensors.update({name: twin(value) for name, value in tensors.items() if value is not None})
    views = getattr(getattr(task, "perturbation", None), "views", None)
    for holder in filter(None, (task, views)):
        for name, value in vars(holder).items():
            if isinstance(value, torch.Tensor):
                setattr(holder, name, twin(value))
    return task


def stage1(views):
    settings = PromptSettings(model="test", pretrained="random", batch_size=COUNT, instances=2, views=views)
    features, labels = torch.randn(COUNT, WIDTH), torch.arange(COUNT) // 2
    task = prompt_task_of("scing", settings, clip=tiny_clip(), features=features, labels=labels, precision="bf16")
    if settings.bank_views:
        task.perturbation.views.features = torch.randn(COUNT, settings.bank_views, WIDTH)
    return task


def stage2(loss):
    encoder = tiny_clip().image
    encoder.learn_cameras(["1", "2"], 0)
    return visual_task_of(
        "scing",
        VisualSettings(batch_size=COUNT, instances=2, stage2_loss=loss, occlusion=0.5),
        encoder=encoder,
        texts=F.normalize(torch.randn(PEOPLE, WIDTH), dim=1),
        similarity=Similarity("cosine", 100.0),
        labels=torch.arange(COUNT) // 2,
        cameras=torch.arange(COUNT) % 2,
        precision="bf16",
    )


STAGES = {
    "stage 1, fresh views": (stage1, "fresh"),
    "stage 1, a bank of views": (stage1, "bank:3"),
    "stage 2, the paper's losses": (stage2, "paper"),
    "stage 2, CLIP-ReID's losses": (stage2, "clip-reid"),
}


def losses_of(task):
    """Compute the losses of a batch whose bytes lie on the GPU."""
    pixels = torch.zeros(COUNT, 3, *SIZE, dtype=torch.uint8, device=GPU)
    batch = Batch(list(range(COUNT)), {"pixels": normalise(pixels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))})
    return task.losses(batch, (0, task.name, 0, 0))


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_mixes_no_devices(gpu, stage):
    build, kind = STAGES[stage]
    task = build(kind)
    with gpu() as twin:
        losses = losses_of(moved(task, twin))
    figures = [*losses.terms.values(), *losses.figures.values()]
    assert {value.device.type for value in figures} == {"cuda"}
    assert all(term.requires_grad for term in losses.terms.values())


def test_mixing_is_noticed(gpu):
    task = stage2("paper")
    texts = task.objective.texts
    with gpu() as twin:
        moved(task, twin)
        task.objective.texts = texts
        with pytest.raises(RuntimeError, match="devices"):
            losses_of(task)
        with pytest.raises(AssertionError):
            torch.rand(3, generator=torch.Generator(), device=GPU)
