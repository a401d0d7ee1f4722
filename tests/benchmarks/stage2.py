"""A step of stage 2 on a CPU against the usual way.

python tests/benchmarks/stage2.py [--quick] [--repeats 3] [--threads 2] [--batch-size 64]

The usual way: open_clip's image tower (ViT-B/16, QuickGELU, 256x128), float32, the losses of Eq. 17-19 written out,
`torch.optim.Adam`; images lie in memory and are not augmented. Ours: the training loop's own step with its augmentation,
in the precision that `--precision auto` gives here, and in float32. All start from the same random weights and pixels;
before any step, our losses in float32 without augmentation must be the usual way's to 1e-4. A JSON line for each precision.

The last line is about pairs of image and caption, where both towers are tuned: the reference is our step without deep
prompts, ours is the same step with four prompts in each block. The ratio is what they cost.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from measuring import in_turns, line, options, settle
from open_clip.transformer import LayerNorm, QuickGELU, VisionTransformer
from torch import Tensor
from torch.nn import functional as F

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.devices import choose_precision
from scing_cli.core.encoders.clip import ClipModel, load_clip
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods import Batch, Batches, StageInputs, Task
from scing_cli.core.methods.prompt_decoupling.pair_tuning import PairEncoder, PairTuning
from scing_cli.core.methods.prompts_file import IdentityTexts
from scing_cli.core.methods.stage2 import VisualTuning, tune_visual
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import Schedule, VisualSettings
from scing_cli.core.training import MetricsLog
from scing_cli.core.training.loop import Trainer
from scing_cli.core.training.schedule import LearningRate

TINY = str(Path(__file__).resolve().parents[1] / "models" / "test-clip.json")
IDENTITIES, INSTANCES = 751, 4  # Market-1501's; images of one identity in a batch
PROMPTS = 4  # in each block of both towers
SCALE = 100.0
CPU = torch.device("cpu")
NEAR = 1e-4


class Ground:
    """What both ways start from: a tower with random weights, texts (K, D), pixels (B, 3, H, W) and labels (B,)."""

    def __init__(self, model: str, batch: int, device: torch.device = CPU) -> None:
        draw = torch.Generator().manual_seed(0)
        self.clip = load_clip(model, "random")
        self.encoder = self.clip.image.to(device)
        shape = (batch, 3, self.encoder.geometry.height, self.encoder.geometry.width)
        self.pixels = torch.randn(shape, generator=draw).to(device)
        self.labels = torch.arange(batch, device=device) // INSTANCES
        self.texts = F.normalize(torch.randn(IDENTITIES, self.encoder.embed_dim, generator=draw), dim=1).to(device)

    def task(self, precision: str, *, augmented: bool) -> VisualTuning:
        """Build our stage 2 on a copy of the tower."""
        chances = {} if augmented else {"flip": 0.0, "erase": 0.0, "crop": 0.0}
        clip = dataclasses.replace(self.clip, image=copy.deepcopy(self.encoder))
        return tune_visual(VisualSettings(**chances), inputs_of(clip, self.texts, self.labels, precision))


def inputs_of(clip: ClipModel, texts: Tensor, labels: Tensor, precision: str) -> StageInputs:
    """Return the inputs of stage 2 with texts (K, D) of unit length."""
    earlier = IdentityTexts(texts, tuple(map(str, range(len(texts)))), SCALE, "")
    return StageInputs(clip, labels, precision, earlier=earlier)


def open_clips(encoder: ImageEncoder) -> VisionTransformer:
    """Return open_clip's tower with the same weights."""
    geometry, shape = encoder.geometry, encoder.config
    tower = VisionTransformer(
        image_size=(geometry.height, geometry.width),
        patch_size=geometry.patch,
        width=shape["width"],
        layers=shape["layers"],
        heads=shape["heads"],
        mlp_ratio=shape["mlp_ratio"],
        output_dim=shape["embed_dim"],
        act_layer=QuickGELU if shape["quick_gelu"] else torch.nn.GELU,
        norm_layer=LayerNorm,
    )
    tower.load_state_dict({name: value.clone() for name, value in encoder.state_dict().items()})
    return tower.to(encoder.proj.device)


def usual_losses(tower: VisionTransformer, pixels: Tensor, texts: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the identity loss (Eq. 17) and the triplet (Eq. 18-19), written out."""
    images = F.normalize(tower(pixels), dim=1)
    identity = F.cross_entropy(SCALE * images @ texts.T, labels)
    own = 1 - (images * texts[labels]).sum(1)
    others = labels[:, None] == labels[None, :]
    hardest = (1 - images @ images.T).masked_fill(others, torch.inf).amin(1)
    return identity, (own - hardest + VisualSettings().margin).clamp_min(0).mean()


def usual_step(tower: VisionTransformer, optimiser: torch.optim.Adam, ground: Ground) -> None:
    identity, triplet = usual_losses(tower, ground.pixels, ground.texts, ground.labels)
    optimiser.zero_grad()
    (identity + triplet).backward()
    optimiser.step()


def trainer_of(task: Task, settings: Schedule, *, plan: Sequence[Sequence[int]], batches_of: Batches) -> Trainer:
    """Return the training loop of a task, whose steps are timed: no epoch is run, nothing is written."""
    return Trainer(
        task,
        batch_sampler=lambda epoch: plan,
        batches_of=batches_of,
        rate=LearningRate(settings.lr),
        weight_decay=settings.weight_decay,
        seed=0,
        log=MetricsLog(Path("unused")),
        reporter=Silent(),
        describe=str,
    )


def pair_task(ground: Ground, precision: str, *, prompts: int) -> PairTuning:
    """Build stage 2 on pairs, on copies of both towers with a number of prompts in each block."""
    clip = dataclasses.replace(
        ground.clip, image=copy.deepcopy(ground.clip.image), text=copy.deepcopy(ground.clip.text)
    )
    for tower in (clip.image, clip.text):
        if prompts:
            tower.learn_prompts(prompts, tower.config["layers"], 0)
    captions = [f"person {row} in a long coat, light trousers and dark shoes" for row in range(len(ground.labels))]
    return PairTuning(
        PairEncoder(
            clip=clip, captions=captions, labels=ground.labels, augmentation=Augmentation(), precision=precision
        )
    )


def our_step(task: Task, batch: Batch) -> Callable[[], object]:
    """Return the training loop's step, without the gradient norms that it measures once an epoch."""
    trainer = trainer_of(task, VisualSettings(), plan=[batch.rows], batches_of=lambda rows: [batch])
    optimiser = trainer._optimiser()

    def step() -> None:
        trainer._gradients(batch, (0, task.name, 0, 0), optimiser, norms={})
        optimiser.step()

    return step


def apart(ground: Ground, tower: VisionTransformer) -> float:
    """Return how far our losses are from the usual way's before any step, relative to them."""
    with torch.no_grad():
        expected = usual_losses(tower, ground.pixels, ground.texts, ground.labels)
    terms = ground.task("fp32", augmented=False).losses(
        Batch(range(len(ground.labels)), {"pixels": ground.pixels}), (0, "x", 0, 0)
    )
    pairs = zip(terms.terms.values(), expected, strict=True)
    return max(abs(float(found.detach()) - float(known)) / abs(float(known)) for found, known in pairs)


def main() -> None:
    parser = options(__doc__, repeats=3)
    parser.add_argument("--batch-size", type=int, help="64; 8 with --quick")
    given = settle(parser.parse_args())
    size = given.batch_size or (8 if given.quick else 64)
    ground = Ground(TINY if given.quick else "ViT-B-16-quickgelu", size)
    tower = open_clips(ground.encoder)
    far = apart(ground, tower)
    if not far < NEAR:
        raise SystemExit(f"the losses of both ways are {far:.1g} apart: not equal")
    settings = VisualSettings()
    usual = torch.optim.Adam(tower.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    batch = Batch(range(size), {"pixels": ground.pixels})
    name = f"a step of stage 2, {'a tiny model' if given.quick else 'ViT-B/16 256x128'}, batches of {size}"
    for precision in dict.fromkeys((choose_precision("auto", torch.device("cpu"), auto="bf16"), "fp32")):
        step = our_step(ground.task(precision, augmented=True), batch)
        times = in_turns(partial(usual_step, tower, usual, ground), step, given.repeats)
        line(f"{name}, {precision}", *times, work=size, losses_apart=far, precision=precision)
        del step
    del tower, usual
    precision = choose_precision("auto", CPU, auto="bf16")
    without, with_prompts = (our_step(pair_task(ground, precision, prompts=n), batch) for n in (0, PROMPTS))
    times = in_turns(without, with_prompts, given.repeats)
    line(f"{name}, on pairs, {precision}, deep prompts", *times, work=size, precision=precision, prompts=PROMPTS)


if __name__ == "__main__":
    main()
