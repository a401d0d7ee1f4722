"""Fields of noise with the spectra of surfaces and scenes: made once, and read at random places."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.synthetic.dice import dice

Floats = npt.NDArray[np.floating[Any]]
SIDE = 256  # pixels of a field; it continues at its opposite edges
TEXELS = 200  # of a field per stature, on a body
FIELDS = 12  # different fields of each kind


def spectral(rng: np.random.Generator, exponent: float, stretch: float = 1.0, *, lowest: float = 1.0) -> Floats:
    """Return a field whose amplitudes fall as 1 / f^exponent, of mean 0 and deviation 1: (SIDE, SIDE).

    Args:
        rng: Decides the phases.
        exponent: 1 is that of photographs of scenes; larger is smoother.
        stretch: How much longer structures are along x than along y.
        lowest: Waves longer than `SIDE / lowest` are left out.
    """
    frequencies = np.fft.fftfreq(SIDE, 1 / SIDE)
    y, x = frequencies[:, None] / max(1.0, 1 / stretch), np.fft.rfftfreq(SIDE, 1 / SIDE)[None, :] * stretch
    length = np.hypot(x, y)
    amplitude = np.where(length < lowest, 0.0, np.maximum(length, 1e-9) ** -exponent)
    phases = rng.standard_normal((2, *amplitude.shape))
    field = np.fft.irfft2(amplitude * (phases[0] + 1j * phases[1]), s=(SIDE, SIDE))
    found: Floats = ((field - field.mean()) / field.std()).astype(np.float32)
    return found


@functools.cache
def natural(number: int) -> Floats:
    """Return one of `FIELDS` fields with a spectrum near that of photographs, (SIDE, SIDE)."""
    rng = dice("natural field", number)
    return spectral(
        rng, float(rng.uniform(0.9, 1.7)), float(np.exp(rng.normal(0, 0.5))), lowest=float(rng.uniform(1, 5))
    )


@functools.cache
def creases(number: int) -> Floats:
    """Return one of `FIELDS` fields of folds, (SIDE, SIDE), about -1 to 1: rounded ridges and sharp valleys."""
    rng = dice("creases", number)
    wave = spectral(rng, float(rng.uniform(1.6, 2.4)), float(rng.uniform(1.2, 3.0)), lowest=float(rng.uniform(2, 6)))
    ridged = np.sqrt(np.abs(wave)) - 0.75
    soft = spectral(rng, 2.0, float(rng.uniform(1.0, 2.0)), lowest=2.0)
    found: Floats = (0.7 * ridged + 0.3 * soft).astype(np.float32)
    return found


def tiled(field: Floats, size: tuple[int, ...], zoom: float, rng: np.random.Generator) -> Floats:
    """Return a field (SIDE, SIDE) from a random place on, `zoom` times as large, in any size (rows, columns)."""
    start = rng.integers(0, SIDE, 2)
    rows, columns = (
        ((np.arange(count) / zoom).astype(np.int64) + int(first)) % SIDE
        for count, first in zip(size, start, strict=True)
    )
    return field[rows[:, None], columns]


def around_tube(field: Floats, shape: tuple[int, int], spacing: float, rng: np.random.Generator) -> Floats:
    """Return a random part of a field for a tube, without a seam between last and first column.

    Args:
        field: (SIDE, SIDE).
        shape: Rows and columns of the tube.
        spacing: Distance of its points in statures: structures have the same size on tubes with few and many points.
        rng: Decides which part.

    Returns:
        The part, of this shape.
    """
    top, left = (int(value) for value in rng.integers(0, SIDE, 2))
    rows, columns = shape
    step = spacing * TEXELS
    down = (top + np.arange(rows) * step).astype(np.int64) % SIDE
    across = left + np.arange(columns) * step
    part = field[down[:, None], across.astype(np.int64)[None, :] % SIDE]
    width = max(1, columns // 5)
    share = np.linspace(0, 1, width, dtype=np.float32)
    before = field[down[:, None], (across[None, -width:] - columns * step).astype(np.int64) % SIDE]
    part[:, -width:] = part[:, -width:] * (1 - share) + before * share
    return part
