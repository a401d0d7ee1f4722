"""Measure the throughput of the image encoder on this machine. All methods use only this encoder for inference."""

from __future__ import annotations

import dataclasses
import statistics
from time import perf_counter

import torch

from scing_cli.core.devices import device_name, memory_advice
from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.errors import SettingError
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, generator
from scing_cli.core.workflows.shared.machine import Machine


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """Throughput of the image encoder, from uint8 pixels in memory to unit-length vectors in memory.

    Args:
        images_per_second: Images per second of the median pass.
        slowest: Images per second of the slowest pass.
        fastest: Images per second of the fastest pass.
        repeats: Number of timed passes.
        batch_size: Images per pass.
        precision: `fp32` or `bf16`.
        threads: CPU threads of torch.
        device: Name of the device.
    """

    images_per_second: float
    slowest: float
    fastest: float
    repeats: int
    batch_size: int
    precision: str
    threads: int
    device: str


def measure_rate(
    model: str,
    *,
    stride: int | None = None,
    repeats: int = 5,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Rate:
    """Time the image encoder with random weights on random pixels, after one pass to warm up.

    Args:
        model: A name of `known_models()`, or the path of a JSON file.
        stride: Step between patches, in pixels; None for the patch's side.
        repeats: Number of timed passes, at least 1.
        machine: Device, precision and batch size.
        reporter: Shows progress, and a note that the weights are random.

    Raises:
        SettingError: If `repeats` is less than 1.
        WeightsError: If the model is unknown.
    """
    if repeats < 1:
        raise SettingError(f"--repeats {repeats}: must be at least 1.")
    machine = machine or Machine()
    embedder = machine.embedder(load_clip(model, "random", stride=stride, reporter=reporter).image)
    geometry = embedder.encoder.geometry
    shape = (machine.batch_size, 3, geometry.height, geometry.width)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(0, "pixels"))
    seconds = []
    advice = memory_advice("a smaller --batch-size, --precision bf16, --device cpu")
    with advice, reporter.progress("Forward passes", repeats + 1) as advance:
        for _ in range(repeats + 1):
            started = perf_counter()
            embedder.tensors(pixels).cpu()  # waits for the device
            seconds.append(perf_counter() - started)
            advance(1)
    rates = [machine.batch_size / each for each in seconds[1:]]
    return Rate(
        images_per_second=machine.batch_size / statistics.median(seconds[1:]),
        slowest=min(rates),
        fastest=max(rates),
        repeats=repeats,
        batch_size=machine.batch_size,
        precision=embedder.precision,
        threads=torch.get_num_threads(),
        device=device_name(embedder.device),
    )
