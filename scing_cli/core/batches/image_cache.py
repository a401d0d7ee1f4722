"""Caches decoded training images on the training device, so that later epochs do not decode them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from scing_cli.core.batches.loader import ImageLoader
from scing_cli.core.batches.pixels import Pixels
from scing_cli.core.runtime import free_memory, to_device

SHARE = 4  # images are cached if they take at most 1 / SHARE of the free memory


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
        load: Callable[[Sequence[Sequence[int]]], Iterator[tuple[list[int], Pixels]]] | None = None,
    ) -> None:
        self.load = load or loader.batches
        self.device = device
        shape = (len(loader.files), 3, loader.height, loader.width)
        size = len(loader.files) * 3 * loader.height * loader.width
        fits = size <= (free_memory(device) // SHARE if available is None else available)
        self.cached = _allocate(shape, device) if fits else None
        self._decoded = [False] * len(loader.files)

    def batches(self, batch_rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor]]:
        """Yield batches in the given order; images in the cache are not decoded again.

        Args:
            batch_rows: The row numbers of each batch.

        Yields:
            The row numbers, and their pixels: (B, 3, H, W) uint8 on the device.

        Raises:
            ImageError: If a file of a batch cannot be decoded; the message gives the file.
        """
        if self.cached is None:
            yield from ((rows, to_device(pixels, self.device)) for rows, pixels in self.load(batch_rows))
            return
        for rows, (new, pixels) in zip(batch_rows, self.load(self._missing(batch_rows)), strict=True):
            if new:
                self.cached.index_copy_(0, to_device(new, self.device), to_device(pixels, self.device))
                for row in new:
                    self._decoded[row] = True
            yield list(rows), self.cached.index_select(0, to_device(list(rows), self.device))

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
