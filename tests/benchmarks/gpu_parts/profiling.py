"""Which kernels take most of a step's time on the device (operations, on a CPU)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu_parts.ground import Figure, Ground
from gpu_parts.limits import guarded
from gpu_parts.steps import VIEWS, Ours, tuning, visual


def measure(ground: Ground) -> Iterator[Figure]:
    """Measure a step of both stages."""
    batch = ground.sizes.steps[0][0]
    yield from guarded(ground, "profile of stage 2", busiest("stage 2", lambda: visual(ground, batch)))
    for views in VIEWS:
        name = f"stage 1, {views}"
        yield from guarded(
            ground, f"profile of {name}", busiest(name, lambda views=views: tuning(ground, batch, views))
        )


def busiest(name: str, make: Callable[[], Ours]) -> Iterator[Figure]:
    """Yield how long the device is busy in a step.

    Raises:
        RuntimeError: If the profiler saw nothing run, as where its counters are forbidden.
    """
    ours = make()
    gpu = ours.ground.device.type == "cuda"
    batches = list(ours.batches_of(ours.plan[:3]))
    ours.step(batches[0], 0)
    ours.ground.sync()
    with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as found:
        for number, each in enumerate(batches[1:], 1):
            ours.step(each, number)
        ours.ground.sync()
    spent = {key: each / len(batches[1:]) for key, each in own_times(found.key_averages(), gpu=gpu).items()}
    busy = sum(spent.values())
    if not busy:
        raise RuntimeError("the profiler saw nothing run on the device")
    largest = sorted(spent, key=spent.__getitem__, reverse=True)[:12]
    more = {"ms a step": [[round(spent[key], 3), key[:150]] for key in largest]}  # kernels begin alike
    bound = largest[0].removeprefix("void ").removeprefix("at::native::")[:24]
    yield Figure(f"{name}: device busy in a step", busy, "ms", bound=bound, more=more)


def own_times(rows: Iterable[Any], *, gpu: bool) -> dict[str, float]:
    """Return the milliseconds of each kernel, or of each operation on a CPU.

    Calls that launch kernels have the kernels' time too, and so have spans that are named around them: neither counts.
    """
    place = DeviceType.CUDA if gpu else DeviceType.CPU
    return {
        row.key: (row.self_device_time_total if gpu else row.self_cpu_time_total) / 1e3
        for row in rows
        if row.device_type == place
        and not getattr(row, "is_user_annotation", False)
        and not row.key.startswith("Optimizer.")
    }
