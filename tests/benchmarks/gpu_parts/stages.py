"""Both stages as the commands run them, for a few epochs on data of Market-1501's size, to estimate the time of 120."""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gpu_parts.ground import Figure, Ground
from gpu_parts.steps import VIEWS
from scing_cli.core.settings import PromptSettings, VisualSettings
from scing_cli.core.training.state import SHARE
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.train.prompts_stage import train_prompts
from scing_cli.core.workflows.train.visual_stage import train_visual

EPOCHS = 120
MINUTES = 12.0  # of both stages


@dataclasses.dataclass(frozen=True)
class Course:
    """A measured training.

    Args:
        whole: Seconds of the command.
        epochs: Seconds of each epoch; the first decodes the images, where the stage reads them.
        peak: Of memory, GB.
    """

    whole: float
    epochs: list[float]
    peak: float

    @property
    def once(self) -> float:
        """Seconds outside the epochs: model, features, bank, dry_run, saving."""
        return self.whole - sum(self.epochs)

    @property
    def later(self) -> float:
        """Seconds of an epoch after the first: the mean."""
        return statistics.mean(self.epochs[1:])

    @property
    def projected(self) -> float:
        """Minutes of all epochs, of what is done once, and of the most that saving on the way may take."""
        return (self.once + (1 + 1 / SHARE) * (self.epochs[0] + (EPOCHS - 1) * self.later)) / 60


def measure(ground: Ground) -> Iterator[Figure]:
    """Yield each stage's epochs and projected time, and both stages' for each kind of views.

    Stage 2 runs once, after the first kind of stage 1: what comes later costs no figure of both stages.
    """
    sizes = ground.sizes
    machine = Machine(device=ground.device.type, workers=ground.cores)
    second: Course | None = None
    for views in VIEWS:
        run = ground.folder / f"run-{views.replace(':', '-')}"
        prompts = PromptSettings(
            model=sizes.model,
            pretrained="random",
            precision="bf16",
            views=views,
            epochs=sizes.epochs,
            batch_size=sizes.steps[0][0],
        )
        work = functools.partial(train_prompts, ground.table, prompts, run=run, machine=machine)
        first = trained(ground, run, "train-prompts", work)
        yield from told(f"stage 1, --views {views}", first)
        if second is None:
            visual = VisualSettings(epochs=sizes.epochs, batch_size=sizes.steps[0][0], precision="bf16")
            work = functools.partial(train_visual, visual, run=run, machine=machine)
            second = trained(ground, run, "train-visual", work)
            yield from told("stage 2", second)
        both = first.projected + second.projected
        more = {"images": sizes.images, "identities": sizes.people, "epochs": EPOCHS, "measured epochs": sizes.epochs}
        yield Figure(f"both stages, --views {views}, projected", both, "min", aim=MINUTES, least=False, more=more)


def trained(ground: Ground, run: Path, stage: str, work: Callable[[], object]) -> Course:
    """Run a stage and read its epochs.

    Raises:
        RuntimeError: If they are not as many as were asked for.
    """
    ground.forget_peak()
    start = time.perf_counter()
    work()
    whole = time.perf_counter() - start
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    epochs = [row["seconds"] for row in rows if row["stage"] == stage]
    if len(epochs) != ground.sizes.epochs:
        raise RuntimeError(f"{stage} has the seconds of {len(epochs)} epochs")
    return Course(whole, epochs, ground.peak())


def told(name: str, course: Course) -> Iterator[Figure]:
    """Yield a stage's figures."""
    more = {
        "epochs, s": course.epochs,
        "once, s": round(course.once, 2),
        "whole, s": round(course.whole, 2),
        "peak memory, GB": round(course.peak, 2),
    }
    yield Figure(f"{name}: {EPOCHS} epochs, projected", course.projected, "min", more=more)
    yield Figure("  an epoch after the first", course.later, "s")
    yield Figure("  the first", course.epochs[0], "s")
    yield Figure("  once: model, features, bank, saves", course.once, "s")
    yield Figure("  peak memory", course.peak, "GB")
