"""Augmentation and perturbation of whole batches, on the batch's device (R14, paper §4.2).

Each image has its own random parameters. numpy draws them from a key, so they are equal on all devices; only the noise
of erased pixels comes from the device's generator.

An observation of several spectra is one image of 3 S channels: flip, crop and occlusion are the same in all spectra,
because they are registered, and each spectrum is erased on its own (DM8). A missing spectrum, which is NaN, stays so.

Legend: B batch, S spectra, 1 for ordinary images, H height, W width, p padding.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scing_cli.core.devices import to_device
from scing_cli.core.runtime import draw_seed, generator

IntArray = npt.NDArray[np.int64]

ERASED_AREA = (0.02, 1 / 3)  # share of the image, uniform
ERASED_ASPECT = (0.3, 1 / 0.3)  # height over width, log-uniform
ERASE_ATTEMPTS = 10
OCCLUDED_SHARE = (0.2, 0.5)  # of the height from the bottom, or of the width from a side


@dataclasses.dataclass(frozen=True)
class Draws:
    """Random parameters of the augmentation of one batch.

    Args:
        flip: Shape (B,), bool: whether the image is mirrored left to right.
        corner: Shape (B, 2): row and column of the crop in the padded image, in 0..2p; (p, p) changes nothing.
        occluded: Shape (B, 4): top, left, height and width of the occlusion; zeros for none.
        occluder: Shape (B,): index of the image that fills the occlusion. If B = 1, it is filled with black.
        erased: Shape (B S, 4): top, left, height and width of the erased box of each spectrum; zeros for none.
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

    The details of R14:

    - Crop: p pixels of black are added on all sides, then the original size is cut at a uniformly random position.
    - Occlusion: a box at the bottom with the full width (20-50 % of the height), or at the left or right edge with the
      full height (20-50 % of the width); the three are equally likely. It shows the same region of another image of the
      batch, after that image's flip and crop.
    - Erase: boxes in timm's ranges, filled with independent N(0, 1) noise. If none of ten random boxes fits into the
      image, nothing is erased.

    Args:
        flip: Probability of a flip.
        erase: Probability of erasing a box.
        crop: Probability of a crop.
        occlusion: Probability of an occlusion.
        padding: p, in pixels.
        black: The normalised value of black per channel, from `black_value`.
        independent: Whether each spectrum has its own flip, crop and occlusion too, as if it were an image.
    """

    flip: float = 0.5
    erase: float = 0.5
    crop: float = 0.5
    occlusion: float = 0.0
    padding: int = 10
    black: tuple[float, float, float] = (-1.0, -1.0, -1.0)
    independent: bool = False

    def __call__(self, pixels: Tensor, *key: int | str, own: Sequence[int] | None = None) -> Tensor:
        """Augment a batch, or some of its images just as they would be with all the others.

        Args:
            pixels: Shape (B, 3 S, H, W), normalised floats, on any device; it is not modified.
            key: Key of the random parameters, such as (seed, stage, epoch, step, view).
            own: Numbers of the images to return, in any order; None for all.

        Returns:
            A new tensor, of the same dtype and device: (B, 3 S, H, W), or one image for each of `own`.
        """
        count, channels, height, width = pixels.shape
        if self.independent and channels > 3:
            each = channels // 3
            chosen = None if own is None else [row * each + spectrum for row in own for spectrum in range(each)]
            return self(pixels.reshape(-1, 3, height, width), *key, own=chosen).view(-1, channels, height, width)
        draws = self.draw(count, height, width, *key)
        if channels > 3:
            of_spectra = self.draw(count * channels // 3, height, width, *key, "spectra")
            draws = dataclasses.replace(draws, erased=of_spectra.erased)
        values = 3 * int(draws.erased[:, 2:].prod(axis=1).sum())
        noise = torch.randn(values, generator=generator(*key, "noise", device=pixels.device), device=pixels.device)
        return self.apply(pixels, draws, noise) if own is None else self._apply_some(pixels, draws, noise, own)

    def _apply_some(self, pixels: Tensor, draws: Draws, noise: Tensor, own: Sequence[int]) -> Tensor:
        """Apply the parameters to some images, (b,), and to those that they borrow an occlusion from."""
        chosen = np.asarray(own, np.int64)
        borrowed = draws.occluder[chosen[draws.occluded[chosen, 2] > 0]]
        used, places = np.unique(np.concatenate([chosen, borrowed]), return_inverse=True)
        spectra = pixels.shape[1] // 3
        boxes = draws.erased.reshape(len(pixels), spectra, 4)
        ends = 3 * boxes[:, :, 2:].prod(axis=2).sum(axis=1).cumsum()  # of each image's values in the noise
        starts = np.concatenate([[0], ends[:-1]])
        parts = [noise[starts[row] : ends[row]] for row in used]
        place_of = np.zeros(len(pixels), np.int64)
        place_of[used] = np.arange(len(used))
        # an image that is only borrowed from is not needed whole: what it borrows itself, it borrows from itself
        lenders = np.setdiff1d(used, chosen)
        occluded = draws.occluded.copy()
        occluded[lenders] = 0
        some = Draws(
            flip=draws.flip[used],
            corner=draws.corner[used],
            occluded=occluded[used],
            occluder=place_of[draws.occluder[used]],
            erased=boxes[used].reshape(-1, 4),
        )
        result = self.apply(pixels[to_device(used, pixels.device)], some, torch.cat(parts), alone=len(pixels) == 1)
        return result[to_device(places[: len(chosen)], pixels.device)]

    def draw(self, count: int, height: int, width: int, *key: int | str) -> Draws:
        """Draw the random parameters of a batch."""
        # Everything is drawn before the probabilities apply, so changing one of them does not change the other draws.
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
    def apply(self, pixels: Tensor, draws: Draws, noise: Tensor, *, alone: bool | None = None) -> Tensor:
        """Apply the drawn parameters.

        Args:
            pixels: Shape (B, 3 S, H, W), floats.
            draws: Parameters for B images.
            noise: Values for the erased pixels in memory order: image, channel, row, column.
            alone: Whether occlusions are black, as no other image could fill them; None if B is 1.

        Returns:
            A new tensor of the same shape.
        """
        alone = len(pixels) == 1 if alone is None else alone
        result = _flip_and_crop(pixels, draws, self.padding, self._black(pixels))
        hidden = np.flatnonzero(draws.occluded[:, 2])
        if len(hidden):
            cover = self._black(pixels)
            if not alone:
                cover = result[to_device(draws.occluder[hidden], pixels.device)]
            indices = to_device(hidden, pixels.device)
            # what hides a spectrum must not make it look like a missing one
            cover = torch.where(cover.isnan(), self._black(pixels), cover)
            result[indices] = torch.where(_inside(draws.occluded[hidden], pixels), cover, result[indices])
        if draws.erased.any():
            each = result.view(-1, 3, *result.shape[2:])  # (B S, 3, H, W)
            each.masked_scatter_(_inside(draws.erased, pixels).expand_as(each), noise.to(result.dtype))
        return result

    def _black(self, pixels: Tensor) -> Tensor:
        values = np.tile(np.array(self.black), pixels.shape[1] // 3)
        return to_device(values, pixels.device).to(pixels.dtype).view(1, -1, 1, 1)


def _flip_and_crop(pixels: Tensor, draws: Draws, padding: int, black: Tensor) -> Tensor:
    """Flip, pad and crop, with two index lookups in one padded canvas: of rows, then of columns."""
    count, channels, height, width = pixels.shape
    device = pixels.device
    canvas = black.expand(count, channels, height + 2 * padding, width + 2 * padding).contiguous()
    canvas[:, :, padding : padding + height, padding : padding + width] = pixels
    top, left = to_device(draws.corner, device)[:, :, None].unbind(1)  # (B, 1) each
    mirrored = to_device(draws.flip, device)[:, None]
    columns = left + torch.arange(width, device=device)  # (B, W)
    columns = torch.where(mirrored, canvas.shape[3] - 1 - columns, columns)
    planes = torch.arange(count * channels, device=device).view(count, channels, 1) * canvas.shape[2]
    rows = planes + (top + torch.arange(height, device=device))[:, None]  # (B, 3 S, H) among all rows of the canvas
    cut = canvas.view(-1, canvas.shape[3])[rows]  # (B, 3 S, H, W + 2p); index_select synchronizes threads once per row
    return cut.gather(3, columns[:, None, None].expand(count, channels, height, width))


def _inside(boxes: IntArray, pixels: Tensor) -> Tensor:
    """Return which pixels lie inside each image's box: shape (B, 1, H, W), bool."""
    top, left, high, wide = to_device(boxes, pixels.device)[:, :, None].unbind(1)  # (B, 1) each
    y = torch.arange(pixels.shape[2], device=pixels.device)
    x = torch.arange(pixels.shape[3], device=pixels.device)
    rows, columns = (y >= top) & (y < top + high), (x >= left) & (x < left + wide)
    return (rows[:, :, None] & columns[:, None])[:, None]


def _edge_boxes(count: int, height: int, width: int, source: np.random.Generator) -> IntArray:
    """Draw one box per image at the bottom, left or right edge (R14): shape (B, 4)."""
    edge = source.integers(0, 3, count)
    share = source.uniform(*OCCLUDED_SHARE, count)
    high = np.where(edge == 0, np.rint(share * height), height).astype(np.int64)
    wide = np.where(edge == 0, width, np.rint(share * width)).astype(np.int64)
    top = height - high
    left = np.where(edge == 2, width - wide, 0)
    return np.stack([top, left, high, wide], axis=1)


def _erase_boxes(count: int, height: int, width: int, source: np.random.Generator) -> IntArray:
    """Draw one box per image in timm's ranges: the first of ten that fits, else zeros; shape (B, 4)."""
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
