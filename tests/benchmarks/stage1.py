"""A step of stage 1 against the usual way, and its text part alone.

python tests/benchmarks/stage1.py             ViT-B/16 at 256x128, batches of 64
python tests/benchmarks/stage1.py --quick     a CLIP of a few thousand weights

The usual way, as CLIP-ReID's code runs its text tower: prompts embedded and padded to 77 places, all of them through all
layers, the feature taken at the end token, float32; with PDCA, two perturbed views of every image encoded at every step.
Both towers are open_clip's own. Weights are random, and so are the features that a bank holds: looking them up costs the
same.

Each line is JSON. Text lines are forward and backward of 3 x 64 prompts; before they are timed, the gradients of all
prompt tokens in float32 must agree; before steps are timed, the losses. Steps include Adam's. A bank has a price before
the first step: `once` is its seconds for as many images as a step has, and `ratio_over_120_epochs` counts them in.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import measuring
import torch
from torch import Tensor
from torch.nn import functional

from scing_cli.core.devices import DEVICES, choose_device, choose_precision, device_name
from scing_cli.core.encoders.clip import ClipModel, load_clip
from scing_cli.core.encoders.image import ImageFeatures
from scing_cli.core.methods import StageInputs, load_method
from scing_cli.core.methods.perturbed_views import FreshViews
from scing_cli.core.methods.prompts import BEFORE
from scing_cli.core.methods.stage1 import PromptTuning
from scing_cli.core.methods.task import Batch
from scing_cli.core.settings import PromptSettings

TESTS = Path(__file__).parents[1]
PLACES, EPOCHS, BANK = 77, 120, 8
CLOSE = 1e-4  # relative error of gradients and losses, float32


@dataclasses.dataclass(frozen=True)
class Size:
    """What is timed: a model, how many identities have prompts, and P x K of a batch."""

    model: str
    people: int
    identities: int
    instances: int

    @property
    def batch(self) -> int:
        return self.identities * self.instances


FULL = Size("ViT-B-16-quickgelu", 751, 16, 4)
QUICK = Size(str(TESTS / "models" / "test-clip.json"), 9, 4, 2)


class UsualTuning(PromptTuning):
    """Stage 1 with open_clip's own towers: whole images, and all of a text's 77 places."""

    def __init__(self, task: PromptTuning) -> None:
        sys.path.append(str(TESTS))
        from oracles.openclip import twin

        self.towers = twin(task.clip).to(task.labels.device).requires_grad_(False)
        views = FreshViews(dataclasses.replace(task.perturbation.views.encode, tower=ImageTower(self.towers.visual)))
        super().__init__(
            clip=task.clip,
            prompts=task.prompts,
            features=task.features,
            labels=task.labels,
            similarity=task.similarity,
            perturbation=dataclasses.replace(task.perturbation, views=views),
            contrast=task.contrast,
            condition=task.condition,
            negatives=task.negatives,
            precision=task.precision,
        )
        start, own = task.prompts.prefix.shape[1], task.prompts.tokens.shape[1]
        ids = task.clip.tokenizer(f"{BEFORE} {'X ' * own}person.")
        padded = torch.tensor([ids + [0] * (PLACES - len(ids))], device=task.labels.device)
        words = self.towers.token_embedding(padded)
        self.before, self.own, self.after = words[:, :start], slice(start, start + own), words[:, start + own :]

    def texts(self, labels: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor | None]:
        embeddings, added = self.prompts(labels, conditions)
        before, after = (part.expand(len(labels), -1, -1) for part in (self.before, self.after))
        places = torch.cat([before, embeddings[:, self.own], after], dim=1)  # (B, 77, d)
        hidden = self.towers.transformer(places + self.towers.positional_embedding, attn_mask=self.towers.attn_mask)
        features = self.towers.ln_final(hidden)[:, self.prompts.end] @ self.towers.text_projection
        return self.similarity.prepare(features), added


class ImageTower(torch.nn.Module):
    """open_clip's image tower, its output named as ours names it."""

    def __init__(self, tower: torch.nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor, run: object = None) -> ImageFeatures:
        features = self.tower(pixels)
        return ImageFeatures(cls=features, projected=features, previous=features)


class Stage1:
    """One side: a task, its optimiser, and the batch that it is timed on."""

    def __init__(
        self,
        size: Size,
        clip: ClipModel,
        device: torch.device,
        *,
        views: str = "fresh",
        precision: str = "fp32",
        usual: bool = False,
    ) -> None:
        draw = torch.Generator().manual_seed(0)
        count = size.people * size.instances
        settings = PromptSettings(
            model="-",
            pretrained="random",
            views=views,
            batch_size=size.batch,
            instances=size.instances,
        )
        first, _ = load_method("scing").stages
        features = torch.randn(count, clip.image.embed_dim, generator=draw).to(device)
        labels = torch.arange(size.people, device=device).repeat_interleave(size.instances)
        self.task = first.build(settings, StageInputs(clip, labels, precision, features=features))
        if usual:
            self.task = UsualTuning(self.task)
        self.rows = list(range(size.batch))
        geometry = clip.image.geometry
        self.pixels = torch.randn(size.batch, 3, geometry.height, geometry.width, generator=draw).to(device)
        self.weights = torch.randn(3 * size.batch, clip.image.embed_dim, generator=draw).to(device)
        self.optimiser = torch.optim.Adam(self.task.trainable().parameters(), lr=5e-5)
        if settings.bank_views:
            source = self.task.perturbation.views
            source.features = torch.randn(count, BANK, clip.image.embed_dim, generator=draw).to(device)

    def text(self) -> float:
        """Run 3 x B prompts forward and backward."""
        conditions = functional.normalize(self.weights, dim=1)
        texts, _ = self.task.texts(self.task.labels[self.rows].repeat(3), conditions)
        self.optimiser.zero_grad(set_to_none=True)
        (texts * self.weights).sum().backward()
        return float(self.task.prompts.tokens.grad[0, 0, 0])  # waits for the device

    def step(self) -> float:
        """Take one step of training."""
        loss = self.loss()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return float(self.task.prompts.tokens.detach()[0, 0, 0])

    def loss(self) -> Tensor:
        batch = Batch(self.rows, {"pixels": self.pixels} if self.task.reads else {})
        return self.task.losses(batch, (0, "train-prompts", 0, 0)).total()

    def encode(self) -> float:
        """Encode one view of every image of a batch."""
        return float(self.task.perturbation.views.encode(self.pixels, (0, "train-prompts", "bank", 0, 0))[0, 0])

    def gradient(self) -> Tensor:
        self.text()
        return self.task.prompts.tokens.grad.clone()


def in_rounds(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each side's runs, all sides in turns, each once before for warmth."""
    for work in sides.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            times[name].append(measuring.seconds(work))
    return times


def apart(ours: Stage1, usual: Stage1) -> float:
    """Return the relative error of our tokens' gradient."""
    found, expected = ours.gradient(), usual.gradient()
    return float((found - expected).norm() / expected.norm())


def main() -> None:
    parser = measuring.options(__doc__, repeats=5)
    parser.add_argument("--device", choices=DEVICES, default="auto")
    given = measuring.settle(parser.parse_args())
    device, size = choose_device(given.device), QUICK if given.quick else FULL
    chosen = choose_precision("auto", device, auto="bf16")
    clip = load_clip(size.model, "random", seed=0)
    for tower in (clip.image, clip.text):
        tower.to(device)
    sides = {
        "usual": Stage1(size, clip, device, usual=True),
        "fp32": Stage1(size, clip, device),
        "fresh": Stage1(size, clip, device, precision=chosen),
        "bank": Stage1(size, clip, device, views=f"bank:{BANK}", precision=chosen),
    }
    about = f"{Path(size.model).stem}, batch {size.batch}"
    told = {"device": device_name(device), "threads": given.threads}
    text_lines(sides, given.repeats, about, chosen, told)
    step_lines(sides, given.repeats, about, chosen, size.batch, told)


def text_lines(sides: Mapping[str, Stage1], repeats: int, about: str, chosen: str, told: Mapping[str, object]) -> None:
    errors = {name: apart(sides[name], sides["usual"]) for name in ("fp32", "fresh")}
    if errors["fp32"] > CLOSE:
        raise SystemExit(f"The tokens' gradients differ by {errors['fp32']:.1e} of their length in float32: not equal.")
    places = sides["usual"].task.prompts.end + 1
    times = in_rounds({name: sides[name].text for name in ("usual", "fresh", "fp32")}, repeats)
    for precision, name in {chosen: "fresh", "fp32": "fp32"}.items():  # one line where the CPU has no bf16
        measuring.line(
            f"stage 1, texts forward and backward, {about}, ours in {precision}",
            times["usual"],
            times[name],
            precision=precision,
            places=places,
            gradient_error=float(f"{errors[name]:.2g}"),
            **told,
        )


def step_lines(
    sides: Mapping[str, Stage1], repeats: int, about: str, chosen: str, images: int, told: Mapping[str, object]
) -> None:
    losses = [float(sides[name].loss().detach()) for name in ("fp32", "usual")]
    if abs(losses[0] - losses[1]) > CLOSE * losses[1]:
        raise SystemExit(f"The losses are {losses[0]} and {losses[1]} in float32: not equal.")
    works = {name: sides[name].step for name in ("usual", "bank", "fresh")} | {"view": sides["bank"].encode}
    times = in_rounds(works, repeats)
    usual, bank, view = (statistics.median(times[name]) for name in ("usual", "bank", "view"))
    once = {
        "once": round(BANK * view, 4),
        "ratio_over_120_epochs": round(EPOCHS * usual / (EPOCHS * bank + BANK * view), 2),
    }
    for name, views, more in (("bank", f"bank:{BANK}", once), ("fresh", "fresh", {})):
        measuring.line(
            f"stage 1, a step with PDCA, {about}, ours with --views {views} in {chosen}",
            times["usual"],
            times[name],
            work=images,
            precision=chosen,
            **more,
            **told,
        )


if __name__ == "__main__":
    main()
