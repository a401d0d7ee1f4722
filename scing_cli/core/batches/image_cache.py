"""Training images decoded once: from the second epoch on they are looked up where the training runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from scing_cli.core.batches.loader import ImageLoader
from scing_cli.core.runtime import free_memory, to_device

SHARE = 4  # images are held where they take at most one in so many bytes of the memory that is free


class DeviceImageCache:
    """Batches of pixels on a device; all images are held there as uint8 once they were decoded, if they fit.

    Args:
        loader: Decodes.
        device: Where the batches are wanted.
        room: Bytes that the images may take; None for a share of what is free on the device.
    """

    def __init__(self, loader: ImageLoader, device: torch.device, *, room: int | None = None) -> None:
        self.loader = loader
        self.device = device
        shape = (len(loader.files), 3, loader.height, loader.width)
        size = len(loader.files) * 3 * loader.height * loader.width
        fits = size <= (free_memory(device) // SHARE if room is None else room)
        self.held = _room_for(shape, device) if fits else None
        self._decoded = [False] * len(loader.files)

    def batches(self, batch_rows: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor]]:
        """Give a plan's batches, in its order; those of files that are held already are not decoded.

        Args:
            batch_rows: The rows of each batch.

        Yields:
            The rows, and their pixels: (B, 3, H, W) uint8 on the device.

        Raises:
            ImageError: When a batch holds a file that cannot be decoded; names the file.
        """
        if self.held is None:
            yield from ((rows, to_device(pixels, self.device)) for rows, pixels in self.loader.batches(batch_rows))
            return
        for rows, (new, pixels) in zip(batch_rows, self.loader.batches(self._missing(batch_rows)), strict=True):
            if new:
                self.held.index_copy_(0, to_device(new, self.device), to_device(pixels, self.device))
                for row in new:
                    self._decoded[row] = True
            yield list(rows), self.held.index_select(0, to_device(list(rows), self.device))

    def _missing(self, batch_rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return the rows of each batch that no batch before it, and none of a plan before, has brought."""
        seen = {row for row, decoded in enumerate(self._decoded) if decoded}
        missing = []
        for rows in batch_rows:
            new = [row for row in dict.fromkeys(rows) if row not in seen]
            seen.update(new)
            missing.append(new)
        return missing


def _room_for(shape: tuple[int, ...], device: torch.device) -> Tensor | None:
    """Return bytes on a device; None where it has no room for them after all."""
    try:
        return torch.empty(shape, dtype=torch.uint8, device=device)
    except RuntimeError:
        return None
