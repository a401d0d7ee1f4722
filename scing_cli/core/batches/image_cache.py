"""Caches decoded training images on the training device, so that later epochs do not decode them again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scing_cli.core.batches.loader import ImageLoader, PixelBatch
from scing_cli.core.devices import free_memory, to_device

SHARE = 4  # images are cached if they take at most 1 / SHARE of the free memory


class DeviceBatch(NamedTuple):
    """A `PixelBatch` whose pixels are on the device."""

    rows: list[int]
    pixels: Tensor
    missing: npt.NDArray[np.bool_] | None = None


class DeviceImageCache:
    """Loads batches of pixels to a device and caches all decoded images there as uint8, if they fit.

    Args:
        loader: Decodes the images.
        device: Device of the batches.
        available: Bytes available for the cache; None for a share of the device's free memory.
        load: Loads batches of rows; None for the loader's `batches`.
    """

    def __init__(
        self,
        loader: ImageLoader,
        device: torch.device,
        *,
        available: int | None = None,
        load: Callable[[Sequence[Sequence[int]]], Iterator[PixelBatch]] | None = None,
    ) -> None:
        self.load = load or loader.batches
        self.device = device
        shape = (len(loader.files), loader.channels, loader.height, loader.width)
        size = math.prod(shape)
        fits = size <= (free_memory(device) // SHARE if available is None else available)
        self.cached = _allocate(shape, device) if fits else None
        self._decoded = [False] * len(loader.files)
        self._lacking = np.zeros((len(loader.files), loader.channels // 3), bool)

    def batches(self, batch_rows: Sequence[Sequence[int]]) -> Iterator[DeviceBatch]:
        """Yield batches in the given order; images in the cache are not decoded again.

        Args:
            batch_rows: The row numbers of each batch.

        Yields:
            The row numbers, their pixels on the device, and the spectra that are missing.

        Raises:
            ImageError: If a file of a batch cannot be decoded; the message gives the file.
        """
        if self.cached is None:
            for rows, pixels, _, missing in self.load(batch_rows):
                yield DeviceBatch(rows, to_device(pixels, self.device), missing)
            return
        for chosen, (new, pixels, _, missing) in zip(batch_rows, self.load(self._missing(batch_rows)), strict=True):
            if new:
                self.cached.index_copy_(0, to_device(new, self.device), to_device(pixels, self.device))
                self._lacking[new] = False if missing is None else missing
                for row in new:
                    self._decoded[row] = True
            own = list(chosen)
            yield DeviceBatch(own, self.cached.index_select(0, to_device(own, self.device)), self._lacking[own])

    def _missing(self, batch_rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the rows of each batch that are neither in the cache nor in an earlier batch."""
        seen = {row for row, decoded in enumerate(self._decoded) if decoded}
        missing = []
        for rows in batch_rows:
            new = [row for row in dict.fromkeys(rows) if row not in seen]
            seen.update(new)
            missing.append(new)
        return missing


def _allocate(shape: tuple[int, ...], device: torch.device) -> Tensor | None:
    """Allocate a uint8 tensor; None if the device does not have enough memory."""
    try:
        return torch.empty(shape, dtype=torch.uint8, device=device)
    except RuntimeError:
        return None
