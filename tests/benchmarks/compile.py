"""Steps of both stages with `--compile` against the same steps without it.

python tests/benchmarks/compile.py [--quick] [--repeats 5] [--threads 2] [--batch-size 16] [--device auto]

ViT-B/16 at 256x128 with random weights: a step of stage 2, and one of stage 1 with its views from a bank, in the precision
that `--precision auto` gives here and in float32. Both sides have the same weights, draws and images, and before any step
their losses must agree: to 1e-4 in float32, to 1e-2 in bf16. A JSON line for each: `reference` is the plain step,
`compiling` the seconds of the first compiled step beyond a later one, with an empty cache, and `pays_after` how many steps
make up for them (null: none do). A run is one step, on a GPU 20. With --quick a tiny model's graphs run without machine code.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable

import torch
from measuring import in_turns, line, options, seconds, settle
from stage2 import IDENTITIES, INSTANCES, TINY, inputs_of, trainer_of
from torch.nn import functional

from scing_cli.core.devices import DEVICES, choose_device, choose_precision, device_name
from scing_cli.core.encoders import compiled
from scing_cli.core.encoders.clip import ClipModel, load_clip
from scing_cli.core.methods import Batch, StageInputs, Task, load_method
from scing_cli.core.methods.stage2 import tune_visual
from scing_cli.core.settings import PromptSettings, VisualSettings

BANK = 8
NEAR = {"fp32": 1e-4, "bf16": 1e-2}
KEY = (0, "stage", 0, 0)
Make = Callable[..., Task]


def prompts(clip: ClipModel, features: torch.Tensor, labels: torch.Tensor, precision: str, *, given: bool) -> Task:
    settings = PromptSettings(model="-", views=f"bank:{BANK}", compile=given)
    first, _ = load_method("scing").stages
    task = first.build(settings, StageInputs(clip, labels, precision, features=features))
    task.perturbation.views.features = features[:, None].repeat(1, BANK, 1)
    return task


def visual(clip: ClipModel, features: torch.Tensor, labels: torch.Tensor, precision: str, *, given: bool) -> Task:
    texts = functional.normalize(features[::INSTANCES], dim=1)
    return tune_visual(VisualSettings(compile=given), inputs_of(clip, texts, labels, precision))


class Side:
    """A stage, compiled or not, and the batch that it is timed on."""

    def __init__(
        self, make: Make, model: str, batch: int, device: torch.device, precision: str, *, given: bool
    ) -> None:
        clip, draw = load_clip(model, "random"), torch.Generator().manual_seed(0)
        for tower in (clip.image, clip.text):
            tower.to(device)
        pixels = torch.randn(batch, 3, clip.image.geometry.height, clip.image.geometry.width, generator=draw)
        features = torch.randn(IDENTITIES * INSTANCES, clip.image.embed_dim, generator=draw)
        labels = torch.arange(len(features), device=device) // INSTANCES
        self.task = make(clip, features.to(device), labels, precision, given=given)
        self.batch = Batch(range(batch), {"pixels": pixels.to(device)})
        self.steps = 1 if device.type == "cpu" else 20
        settings = VisualSettings(lr=5e-5, weight_decay=5e-4)
        self.trainer = trainer_of(self.task, settings, plan=[self.batch.rows], batches_of=lambda plan: [self.batch])
        self.optimiser = self.trainer._optimiser()

    def gradients(self) -> float:
        """Compute a first step's gradients, and the norms of each term's as a training does; return the loss."""
        return float(self.trainer._gradients(self.batch, KEY, self.optimiser)[0].values[0])

    def run(self) -> None:
        """Take some steps, and wait for the last."""
        for _ in range(self.steps):
            reading, _ = self.trainer._gradients(self.batch, KEY, self.optimiser, norms={})
            self.optimiser.step()
        reading.values.tolist()


def main() -> None:
    parser = options(__doc__, repeats=5)
    parser.add_argument("--batch-size", type=int, help="16; 8 with --quick")
    parser.add_argument("--device", choices=DEVICES, default="auto")
    given = settle(parser.parse_args())
    batch, device = given.batch_size or (8 if given.quick else 16), choose_device(given.device)
    model, name = (TINY, "a tiny model") if given.quick else ("ViT-B-16-quickgelu", "ViT-B/16 256x128")
    if given.quick:
        compiled.ENGINE = "aot_eager"
    about = {"device": device_name(device), "threads": given.threads}
    for stage, make in (("stage 2", visual), (f"stage 1 with --views bank:{BANK}", prompts)):
        for precision in dict.fromkeys((choose_precision("auto", device, auto="bf16"), "fp32")):
            choose_precision(precision, device, auto=precision)
            plain, own = (Side(make, model, batch, device, precision, given=flag) for flag in (False, True))
            first = seconds(own.gradients) - seconds(own.gradients)
            far = abs(own.gradients() / plain.gradients() - 1)
            if not far < NEAR[precision]:
                raise SystemExit(f"{stage}, {precision}: the losses are {far:.1g} apart: not equal")
            times = in_turns(plain.run, own.run, given.repeats)
            saved = (statistics.median(times[0]) - statistics.median(times[1])) / own.steps
            more = {"compiling": round(first, 1), "pays_after": round(first / saved) if saved > 0 else None}
            line(
                f"a step of {stage}, {name}, batches of {batch}, {precision}, compiled blocks",
                *times,
                work=batch * own.steps,
                losses_apart=far,
                precision=precision,
                **more,
                **about,
            )
            del plain, own


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        main()
