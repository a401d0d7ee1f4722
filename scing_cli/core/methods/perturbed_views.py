"""Perturbed views of images for PDCA: compute V' and V'' at every step, or draw them from a bank (Eq. 12, R5, R14).

Shapes: B batch, N training images, n views of each in a bank, D joint width.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Protocol

import torch
from torch import Tensor

from scing_cli.core.batches import random_batches
from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.devices import to_device
from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.image import ImageFeatures
from scing_cli.core.encoders.spectral import AnyImageEncoder
from scing_cli.core.methods.task import IMAGES, NOTHING, PIXELS, Batch, Batches, Cached, Key, not_cached
from scing_cli.core.methods.visual_condition import Condition
from scing_cli.core.processes import WHOLE, Share
from scing_cli.core.runtime import Advance, Reporter, autocast, generator

LARGE = 100e6  # bytes: the note names the memory of a bank from this size on


@dataclasses.dataclass(frozen=True)
class ViewEncoder:
    """Perturb images and encode them with the image tower.

    Args:
        tower: On the training device.
        image: Flip, crop, occlusion and erasing, each with its probability.
        precision: Of the tower (R17).
        run: Runs the tower's blocks before the last, compiled for example; None for `run_block`.
        learns: Whether the tower learns from the views (R22); else they have no graph.
    """

    tower: AnyImageEncoder
    image: Augmentation
    precision: str
    run: RunBlock | None = None
    learns: bool = False

    def __call__(self, pixels: Tensor, *keys: Key, share: Share = WHOLE) -> Tensor:
        """Encode one perturbed view of every own image for each key.

        Args:
            pixels: (B, 3, H, W) normalised, un-augmented.
            keys: One key per view: all its random draws are a function of the key.
            share: Which b of the images are encoded.

        Returns:
            (views * b, D) float32, not of unit length: the first views of all own images, then the second ones.
        """
        perturbed = torch.cat([self.image(pixels, *key, own=share.rows) for key in keys])
        with torch.set_grad_enabled(self.learns and torch.is_grad_enabled()):
            return projected(self.tower, perturbed, precision=self.precision, run=self.run)


def projected(tower: AnyImageEncoder, pixels: Tensor, *, precision: str, run: RunBlock | None) -> Tensor:
    """Return V of normalised pixels (B, 3, H, W): (B, D) float32, not of unit length."""
    with autocast(pixels.device, precision):
        features: ImageFeatures = tower(pixels, run=run)
    return features.projected.float()


class Views(Protocol):
    """Source of two perturbed views of each image of a batch."""

    reads: frozenset[str]

    def prepare(self, batches_of: Batches, images: int, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Do the work that is needed once, before the first step.

        Args:
            batches_of: Lists of training rows -> batches with pixels.
            images: N.
            reporter: Shows progress.
            cached: Stores slow results on disk.
        """
        ...

    def pair(self, batch: Batch, key: Key) -> Tensor:
        """Return the features of two views of each own image, before dropout.

        Args:
            batch: Of B rows, b of them in the share of this process; with the inputs that `reads` names.
            key: All random draws are a function of it.

        Returns:
            (2 b, D) float32, not of unit length: the first views of all images, then the second ones. With a graph if
            the tower learns from them.
        """
        ...


class FreshViews:
    """Views that are perturbed and encoded again at every step.

    Args:
        encode: Perturbs and encodes.
    """

    reads = IMAGES

    def __init__(self, encode: ViewEncoder) -> None:
        self.encode = encode

    def prepare(self, batches_of: Batches, images: int, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Do nothing: fresh views need no preparation."""

    def pair(self, batch: Batch, key: Key) -> Tensor:
        """Perturb and encode the batch twice; shapes as in `Views.pair`.

        Raises:
            ValueError: If the batch has no pixels.
        """
        return self.encode(batch.pixels, (*key, 1), (*key, 2), share=batch.share)


class ViewBank:
    """Views that are encoded once; each step draws two different views of every image.

    Args:
        encode: Perturbs and encodes.
        views: n, at least 2.
        batch_size: Images encoded at a time.
        seed: First part of every draw's key.
    """

    reads = NOTHING

    def __init__(self, encode: ViewEncoder, *, views: int, batch_size: int, seed: int) -> None:
        self.encode = encode
        self.views = views
        self.batch_size = batch_size
        self.seed = seed
        self.features: Tensor | None = None  # (N, n, D) float32 on the tower's device

    def prepare(self, batches_of: Batches, images: int, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Encode n views of every image."""
        size = images * self.views * self.encode.tower.embed_dim * 4
        memory = f", {size / 1e6:,.0f} MB on the training device" if size >= LARGE else ""
        reporter.note(f"{self.views} perturbed views of each of {images:,} images are encoded once{memory}.")
        with reporter.progress("encode views", self.views * images) as advance:

            def encode(view: int) -> Tensor:
                return self._encode(batches_of, images, view, advance)

            device, width = self.encode.tower.proj.device, self.encode.tower.embed_dim
            features = torch.empty(images, self.views, width, device=device)
            for view in range(self.views):
                features[:, view] = cached(f"view-{view}", functools.partial(encode, view)).to(device)
        self.features = features

    def _encode(self, batches_of: Batches, images: int, view: int, advance: Advance) -> Tensor:
        """Encode one view of every image: (N, D) on the tower's device."""
        device = self.encode.tower.proj.device
        features = torch.empty(images, self.encode.tower.embed_dim, device=device)
        key = (self.seed, "train-prompts", "bank", view)
        # an occlusion is filled from another image of the batch, so every view gets a shuffle of its own
        batch_rows = random_batches(images, size=self.batch_size, key=(*key, "shuffle"))
        for number, batch in enumerate(batches_of(batch_rows)):
            if PIXELS not in batch.inputs:
                raise ValueError("a bank of views needs pixels, and this batch has none")
            own = self.encode(batch.pixels, (*key, number), share=batch.share)
            features[to_device(list(batch.rows), device)] = batch.share.whole(own)
            advance(len(batch.rows))
        return features

    def pair(self, batch: Batch, key: Key) -> Tensor:
        """Draw two different views of each image; shapes as in `Views.pair`.

        Raises:
            ValueError: If the bank has not been filled.
        """
        if self.features is None:
            raise ValueError("the bank of views is empty: call prepare first")
        draw, count = generator(*key, "views"), len(batch.rows)
        first = torch.randint(self.views, (count,), generator=draw)
        second = (first + torch.randint(1, self.views, (count,), generator=draw)) % self.views
        rows = to_device(list(batch.rows), self.features.device)
        views = [to_device(each, rows.device) for each in (first, second)]
        return torch.cat([self.features[batch.share.take(rows), batch.share.take(each)] for each in views])


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """PDCA: perturb the images, and drop entries of their features.

    Args:
        views: Source of the features of perturbed images.
        dropout: Probability that an entry of a feature is set to 0, before it is scaled; drawn at every step.
        weight: lambda of Eq. 16.
        condition: Scales the features after dropout (R19).
        target: What the texts of both views are compared with (R20): `text` for the image's own text and each other,
            `image` for its own feature, `both`.
    """

    views: Views
    dropout: float
    weight: float
    condition: Condition
    target: str = "text"

    def __call__(self, batch: Batch, key: Key) -> Tensor:
        """Return V' and V'' of a batch (Eq. 12, R5).

        Args:
            batch: Of B rows; with pixels if the views read images.
            key: All random draws are a function of it.

        Returns:
            (2 b, D) float32, scaled as `condition` says: V' of all own rows, then V''; a graph if the tower learns.
        """
        return self.condition(self.drop(self.views.pair(batch, key), key, batch))

    def drop(self, features: Tensor, key: Key, batch: Batch | None = None) -> Tensor:
        """Apply dropout to features (R, D); the mask is a function of `key` alone.

        Args:
            features: Of R rows: of all that are drawn for, or of two views of the own rows of `batch`.
            key: Of the mask.
            batch: The mask is drawn for two views of all its rows; None to draw for R rows.
        """
        count = len(features) if batch is None else 2 * len(batch.rows)
        keep = torch.rand(count, features.shape[1], generator=generator(*key, "dropout")) >= self.dropout
        if batch is not None:
            keep = batch.share.take(keep, copies=2)
        return features * to_device(keep, features.device) / (1 - self.dropout)
