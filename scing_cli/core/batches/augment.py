"""Augmentation and perturbation of whole batches, on the device where the batch lies (R14, paper §4.2).

Legend: B batch, H height, W width, p padding. Each image has its own draw. What is done where is drawn by numpy from a
key, so it is the same on every device; only the erased pixels' noise comes from the device's own generator.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scing_cli.core.runtime import draw_seed, generator, to_device

IntArray = npt.NDArray[np.int64]

ERASED_AREA = (0.02, 1 / 3)  # share of the image, uniform
ERASED_ASPECT = (0.3, 1 / 0.3)  # height over width, log-uniform
ERASE_ATTEMPTS = 10
OCCLUDED_SHARE = (0.2, 0.5)  # of the height from the bottom, or of the width from a side


@dataclasses.dataclass(frozen=True)
class Draws:
    """What happens to each image of one batch.

    Args:
        flip: Shape (B,), bool: mirrored left to right.
        corner: Shape (B, 2): where in the padded image the crop starts, row and column in 0..2p; p, p changes nothing.
        occluded: Shape (B, 4): top, left, height and width of the occlusion; zeros for none.
        occluder: Shape (B,): the image of the batch that fills the occlusion. Where B = 1, black does.
        erased: Shape (B, 4): as `occluded`.
    """

    flip: npt.NDArray[np.bool_]
    corner: IntArray
    occluded: IntArray
    occluder: IntArray
    erased: IntArray


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Flip, pad and crop, occlude, erase: in this order, each with its own probability.

    The training augmentation of stage 2 is `Augmentation()`, the perturbation of stage 1 `Augmentation(occlusion=0.5)`.

    R14 in full:

    - Crop: p pixels of black all round, then the former size at a uniform place.
    - Occlusion: rises from the bottom over the full width (20-50 % of the height), or comes in from the left or right
      over the full height (20-50 % of the width), the three equally likely. It shows the same place of another image of
      the batch, as flip and crop left that one.
    - Erase: timm's ranges, independent N(0, 1) noise in every value. Where none of ten draws fits into the image,
      nothing is erased.

    Args:
        flip: Probability.
        erase: Probability.
        crop: Probability.
        occlusion: Probability.
        padding: p, in pixels.
        black: The normalised value of black, per channel: `black_value` of the statistics in use.
    """

    flip: float = 0.5
    erase: float = 0.5
    crop: float = 0.5
    occlusion: float = 0.0
    padding: int = 10
    black: tuple[float, float, float] = (-1.0, -1.0, -1.0)

    def __call__(self, pixels: Tensor, *key: int | str) -> Tensor:
        """Augment a batch.

        Args:
            pixels: Shape (B, 3, H, W), normalised floats, on any device; never modified.
            key: What the draw is a function of, such as (seed, stage, epoch, step, view).

        Returns:
            A new tensor of the same shape, type and device.
        """
        count, _, height, width = pixels.shape
        draws = self.draw(count, height, width, *key)
        values = 3 * int(draws.erased[:, 2:].prod(axis=1).sum())
        noise = torch.randn(values, generator=generator(*key, "noise", device=pixels.device), device=pixels.device)
        return self.apply(pixels, draws, noise)

    def draw(self, count: int, height: int, width: int, *key: int | str) -> Draws:
        """Draw what happens to each image of a batch; changing one probability leaves the other draws as they are."""
        source = np.random.default_rng(draw_seed(*key, "augmentation"))
        chance = source.random((4, count))
        corner = source.integers(0, 2 * self.padding + 1, (count, 2))
        corner[chance[1] >= self.crop] = self.padding
        others = source.integers(1, count, count) if count > 1 else np.zeros(count, np.int64)
        occluded = _edge_boxes(count, height, width, source)
        occluded[chance[2] >= self.occlusion] = 0
        erased = _erase_boxes(count, height, width, source)
        erased[chance[3] >= self.erase] = 0
        return Draws(
            flip=chance[0] < self.flip,
            corner=corner,
            occluded=occluded,
            occluder=(np.arange(count) + others) % max(count, 1),
            erased=erased,
        )

    @torch.no_grad()
    def apply(self, pixels: Tensor, draws: Draws, noise: Tensor) -> Tensor:
        """Do what was drawn.

        Args:
            pixels: Shape (B, 3, H, W), floats.
            draws: For this B.
            noise: Fills the erased values in memory order: image, channel, row, column.

        Returns:
            A new tensor of the same shape.
        """
        result = _flip_and_crop(pixels, draws, self.padding, self._black(pixels))
        hidden = np.flatnonzero(draws.occluded[:, 2])
        if len(hidden):
            cover = self._black(pixels)
            if len(pixels) > 1:
                cover = result[to_device(draws.occluder[hidden], pixels.device)]
            places = to_device(hidden, pixels.device)
            result[places] = torch.where(_inside(draws.occluded[hidden], pixels), cover, result[places])
        if draws.erased.any():
            result.masked_scatter_(_inside(draws.erased, pixels).expand_as(result), noise.to(result.dtype))
        return result

    def _black(self, pixels: Tensor) -> Tensor:
        return to_device(np.array(self.black), pixels.device).to(pixels.dtype).view(1, 3, 1, 1)


def _flip_and_crop(pixels: Tensor, draws: Draws, padding: int, black: Tensor) -> Tensor:
    """Mirror, pad and cut back: two lookups, of rows and of columns, in one padded canvas."""
    count, channels, height, width = pixels.shape
    device = pixels.device
    canvas = black.expand(count, channels, height + 2 * padding, width + 2 * padding).contiguous()
    canvas[:, :, padding : padding + height, padding : padding + width] = pixels
    top, left = to_device(draws.corner, device)[:, :, None].unbind(1)  # (B, 1) each
    mirrored = to_device(draws.flip, device)[:, None]
    columns = left + torch.arange(width, device=device)  # (B, W)
    columns = torch.where(mirrored, canvas.shape[3] - 1 - columns, columns)
    planes = torch.arange(count * channels, device=device).view(count, channels, 1) * canvas.shape[2]
    rows = planes + (top + torch.arange(height, device=device))[:, None]  # (B, 3, H) among all rows of the canvas
    cut = canvas.view(-1, canvas.shape[3])[rows]  # (B, 3, H, W + 2p); index_select waits for its threads once per row
    return cut.gather(3, columns[:, None, None].expand(count, channels, height, width))


def _inside(boxes: IntArray, pixels: Tensor) -> Tensor:
    """Return which pixels lie inside each image's box: shape (B, 1, H, W), bool."""
    top, left, high, wide = to_device(boxes, pixels.device)[:, :, None].unbind(1)  # (B, 1) each
    y = torch.arange(pixels.shape[2], device=pixels.device)
    x = torch.arange(pixels.shape[3], device=pixels.device)
    rows, columns = (y >= top) & (y < top + high), (x >= left) & (x < left + wide)
    return (rows[:, :, None] & columns[:, None])[:, None]


def _edge_boxes(count: int, height: int, width: int, source: np.random.Generator) -> IntArray:
    """Draw one rectangle per image at the bottom, left or right edge (R14): shape (B, 4)."""
    edge = source.integers(0, 3, count)
    share = source.uniform(*OCCLUDED_SHARE, count)
    high = np.where(edge == 0, np.rint(share * height), height).astype(np.int64)
    wide = np.where(edge == 0, width, np.rint(share * width)).astype(np.int64)
    top = height - high
    left = np.where(edge == 2, width - wide, 0)
    return np.stack([top, left, high, wide], axis=1)


def _erase_boxes(count: int, height: int, width: int, source: np.random.Generator) -> IntArray:
    """Draw one rectangle per image with timm's ranges, the first of ten that fits, else zeros: shape (B, 4)."""
    size = (count, ERASE_ATTEMPTS)
    area = source.uniform(*ERASED_AREA, size) * height * width
    aspect = np.exp(source.uniform(math.log(ERASED_ASPECT[0]), math.log(ERASED_ASPECT[1]), size))
    high, wide = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (high >= 1) & (high < height) & (wide >= 1) & (wide < width)
    first = np.arange(count), fits.argmax(axis=1)
    high, wide = high[first].astype(np.int64), wide[first].astype(np.int64)
    found = fits[first]
    top = source.integers(0, np.where(found, height - high, 0) + 1)
    left = source.integers(0, np.where(found, width - wide, 0) + 1)
    boxes = np.stack([top, left, high, wide], axis=1)
    boxes[~found] = 0
    return boxes
