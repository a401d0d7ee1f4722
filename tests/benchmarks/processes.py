"""What several processes of a training exchange in a step, and how much of a step each of them repeats.

python tests/benchmarks/processes.py [--quick] [--batch-size 64] [--processes 2]

Starts real processes on this machine with gloo; each takes two steps of stage 2 (ViT-B/16 at 256x128, random weights,
SCING's losses) with the usual training loop. Prints two JSON lines:

- `bytes`: what a process hands over in a step: pixels, features, gradients, flags. A ring sends 2 (W - 1) / W times the
  gradients from each process.
- `repeated`: seconds of what every process does for the whole batch or for all weights (pixels to floats, losses and
  their gradient, Adam), over the seconds of a step of one process alone. Encoding and its gradient are shared.

These are no speeds: two processes on one machine share its cores.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from measuring import options, settle
from stage2 import IDENTITIES, INSTANCES, SCALE, TINY, Ground, inputs_of
from torch import Tensor
from torch.nn import functional as F

from scing_cli.core.batches import normalise
from scing_cli.core.encoders.image import ImageFeatures
from scing_cli.core.methods import Batch
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.objectives import build_objective
from scing_cli.core.methods.stage2 import tune_visual
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.processes.several_processes import SeveralProcesses
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import VisualSettings
from scing_cli.core.training import MetricsLog, Trainer
from scing_cli.core.training.schedule import LearningRate

SETTINGS = VisualSettings(precision="fp32", occlusion=0.5)
EXCHANGES = ("all_gather", "all_reduce", "broadcast")


def trainer_of(ground: Ground, batch: int, group: ProcessGroup) -> tuple[Trainer, Any]:
    """Return the loop of stage 2 whose batches are exchanged as in a training, and a function that makes a batch."""
    task = tune_visual(SETTINGS, inputs_of(ground.clip, ground.texts, ground.labels, "fp32"))
    draw = torch.Generator().manual_seed(1)
    shape = (batch, *ground.pixels.shape[1:])
    decoded = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)

    def make() -> Batch:
        share = group.share(batch)
        pixels = normalise(share.whole(share.take(decoded)), (0.5,) * 3, (0.5,) * 3)
        return Batch(range(batch), {"pixels": pixels}, share)

    trainer = Trainer(
        task,
        batch_sampler=lambda _: [list(range(batch))],
        batches_of=lambda plan: (make() for _ in group.agreed(plan)),
        rate=LearningRate(SETTINGS.lr),
        weight_decay=SETTINGS.weight_decay,
        seed=0,
        log=MetricsLog(Path("unused")),
        reporter=Silent(),
        describe=str,
        group=group,
    )
    return trainer, make


def rank_of(rank: int, size: int, folder: str, model: str, batch: int) -> None:
    """Take two steps; process 0 writes the bytes that it handed over in the second."""
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", size)
    group = SeveralProcesses(store, rank=rank, size=size, local_rank=rank, local_size=size, backend="gloo")
    trainer, _ = trainer_of(Ground(model, batch), batch, group)
    told: Counter[str] = Counter()
    for name in EXCHANGES:
        setattr(dist, name, counted(getattr(dist, name), name, told))
    optimiser = trainer._optimiser()
    for _ in range(2):
        told.clear()
        for step in trainer.batches_of(trainer.batch_sampler(0)):
            trainer._advance(step, (0, "train-visual", 0, 1), optimiser)
            trainer.interruption.meet(group)
    if not rank:
        Path(folder, "told.json").write_text(json.dumps(told))
    group.leave()


def counted(exchange: Any, name: str, told: Counter[str]) -> Any:
    """Return an exchange that adds the bytes of its tensors."""

    def call(*arguments: Any, **options: Any) -> Any:
        tensors = [each for each in arguments if isinstance(each, Tensor)]
        told[name] += sum(each.numel() * each.element_size() for each in tensors)
        return exchange(*arguments, **options)

    return call


def repeated(model: str, batch: int) -> dict[str, float]:
    """Return the seconds of a step of one process, and of its parts that several processes would each repeat."""
    ground = Ground(model, batch)
    trainer, make = trainer_of(ground, batch, ALONE)
    optimiser = trainer._optimiser()
    texts = F.normalize(torch.randn(IDENTITIES, ground.encoder.embed_dim), dim=1)
    objective = build_objective(SETTINGS, encoder=ground.encoder, texts=texts, similarity=Similarity("cosine", SCALE))
    times: dict[str, float] = {}
    for _ in range(2):  # the second counts: the first allocates
        begun = time.perf_counter()
        given = make()
        times["pixels"] = time.perf_counter() - begun
        trainer._advance(given, (0, "train-visual", 0, 1), optimiser)
        times["step"] = time.perf_counter() - begun
        begun = time.perf_counter()
        optimiser.step()
        times["adam"] = time.perf_counter() - begun
        projected = torch.randn(batch, ground.encoder.embed_dim, requires_grad=True)
        features = ImageFeatures(projected, projected, projected)
        begun = time.perf_counter()
        objective(features, torch.arange(batch) // INSTANCES).total().backward()
        times["losses"] = time.perf_counter() - begun
    return times


def main() -> None:
    parser = options(__doc__, repeats=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    given = settle(parser.parse_args())
    model, batch = (TINY, 8) if given.quick else ("ViT-B-16-quickgelu", given.batch_size)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(rank_of, (given.processes, folder, model, batch), nprocs=given.processes)
        told = json.loads(Path(folder, "told.json").read_text())
    print(json.dumps({"name": "bytes", "model": model, "batch": batch, "processes": given.processes, **told}))
    times = repeated(model, batch)
    share = sum(times[part] for part in ("pixels", "adam", "losses")) / times["step"]
    figures = {part: round(value, 4) for part, value in times.items()}
    print(json.dumps({"name": "repeated", "model": model, "batch": batch, **figures, "share": round(share, 5)}))


if __name__ == "__main__":
    main()
