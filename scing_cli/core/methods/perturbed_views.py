"""PDCA's two perturbed views of each image: where V' and V'' come from (Eq. 12, R5, R14).

Shapes: B batch, N training images, n views of each in a bank, D joint width.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from scing_cli.core.batches import random_batches
from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.image import ImageEncoder, ImageFeatures
from scing_cli.core.methods.task import Batch, Batches, Keep, Key, no_memo
from scing_cli.core.runtime import Advance, Reporter, autocast, generator, to_device

LARGE = 100e6  # bytes of a bank that are worth a word


@dataclasses.dataclass(frozen=True)
class ViewEncoder:
    """The frozen image tower over perturbed images.

    Args:
        tower: On the training device.
        image: Flip, crop, occlusion and erase, each with its probability.
        precision: Of the tower (R17).
        run: How the tower's blocks before the last are run; None for `run_block`.
    """

    tower: ImageEncoder
    image: Augmentation
    precision: str
    run: RunBlock | None = None

    @torch.no_grad()
    def __call__(self, pixels: Tensor, *keys: Key) -> Tensor:
        """Encode one perturbed view of every image for each key.

        Args:
            pixels: (B, 3, H, W) normalised, un-augmented.
            keys: What each view's draws are a function of.

        Returns:
            (views * B, D) float32 as the tower gives them, not unit length: all first views, then all second ones.
        """
        perturbed = torch.cat([self.image(pixels, *key) for key in keys])
        with autocast(pixels.device, self.precision):
            features: ImageFeatures = self.tower(perturbed, run=self.run)
        return features.projected.float()


class Views(Protocol):
    """Where two perturbed views of each image of a batch come from."""

    reads_images: bool

    def prepare(self, batches_of: Batches, images: int, reporter: Reporter, keep: Keep = no_memo) -> None:
        """Do what is done once, before the first step.

        Args:
            batches_of: Lists of training rows -> batches with pixels.
            images: N.
            reporter: Shows progress.
            keep: Keeps what takes long to make.
        """
        ...

    def pair(self, batch: Batch, key: Key) -> Tensor:
        """Return the features of two views of each image, before dropout.

        Args:
            batch: Of B rows, with pixels where `reads_images`.
            key: What the draws are a function of.

        Returns:
            (2 B, D) float32 without a graph, not unit length: all first views, then all second ones.
        """
        ...


class FreshViews:
    """Two views that are perturbed and encoded anew at every step.

    Args:
        encode: Perturbs and encodes.
    """

    reads_images = True

    def __init__(self, encode: ViewEncoder) -> None:
        self.encode = encode

    def prepare(self, batches_of: Batches, images: int, reporter: Reporter, keep: Keep = no_memo) -> None:
        """Do nothing: all is done at each step."""

    def pair(self, batch: Batch, key: Key) -> Tensor:
        """Perturb and encode the batch twice: see `Views`.

        Raises:
            ValueError: If the batch has no pixels.
        """
        if batch.pixels is None:
            raise ValueError("fresh views are made of pixels, and this batch has none")
        return self.encode(batch.pixels, (*key, 1), (*key, 2))


class ViewBank:
    """Perturbed views that are encoded once; each step draws two different ones of every image.

    An occlusion is filled from another image of the batch, so each view is encoded in batches of its own shuffle.

    Args:
        encode: Perturbs and encodes.
        views: n, at least 2.
        batch_size: Images encoded at a time.
        seed: First part of every draw's key.
    """

    reads_images = False

    def __init__(self, encode: ViewEncoder, *, views: int, batch_size: int, seed: int) -> None:
        self.encode = encode
        self.views = views
        self.batch_size = batch_size
        self.seed = seed
        self.features: Tensor | None = None  # (N, n, D) float32 on the tower's device

    def prepare(self, batches_of: Batches, images: int, reporter: Reporter, keep: Keep = no_memo) -> None:
        """Encode n views of every image: see `Views`."""
        size = images * self.views * self.encode.tower.embed_dim * 4
        held = f", {size / 1e6:,.0f} MB on the training device" if size >= LARGE else ""
        reporter.note(f"{self.views} perturbed views of each of {images:,} images are encoded once{held}.")
        with reporter.progress("encode views", self.views * images) as advance:

            def encode(view: int) -> Tensor:
                return self._encode(batches_of, images, view, advance)

            place, width = self.encode.tower.proj.device, self.encode.tower.embed_dim
            features = torch.empty(images, self.views, width, device=place)
            for view in range(self.views):
                features[:, view] = keep(f"view-{view}", functools.partial(encode, view)).to(place)
        self.features = features

    def _encode(self, batches_of: Batches, images: int, view: int, advance: Advance) -> Tensor:
        """Encode one view of every image: (N, D) on the tower's device."""
        place = self.encode.tower.proj.device
        features = torch.empty(images, self.encode.tower.embed_dim, device=place)
        key = (self.seed, "train-prompts", "bank", view)
        batch_rows = random_batches(images, size=self.batch_size, key=(*key, "shuffle"))
        for number, batch in enumerate(batches_of(batch_rows)):
            if batch.pixels is None:
                raise ValueError("a bank of views is made of pixels, and this batch has none")
            features[to_device(list(batch.rows), place)] = self.encode(batch.pixels, (*key, number))
            advance(len(batch.rows))
        return features

    def pair(self, batch: Batch, key: Key) -> Tensor:
        """Draw two different views of each image: see `Views`.

        Raises:
            ValueError: If the bank has not been filled.
        """
        if self.features is None:
            raise ValueError("a bank of views gives none before prepare has filled it")
        draw, count = generator(*key, "views"), len(batch.rows)
        first = torch.randint(self.views, (count,), generator=draw)
        second = (first + torch.randint(1, self.views, (count,), generator=draw)) % self.views
        rows = to_device(list(batch.rows) * 2, self.features.device)
        return self.features[rows, to_device(torch.cat([first, second]), rows.device)]


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """PDCA: what is done to the image, and to the feature the backbone makes of it.

    Args:
        views: Where the features of perturbed images come from.
        dropout: Probability of a feature's entries being dropped, before it is made unit length; fresh at every step.
        weight: lambda of Eq. 16.
    """

    views: Views
    dropout: float
    weight: float

    def __call__(self, batch: Batch, key: Key) -> Tensor:
        """Return V' and V'' of a batch (Eq. 12, R5).

        Args:
            batch: Of B rows, with pixels where the views are made of them.
            key: What the draws are a function of.

        Returns:
            (2 B, D) float32 unit length, without a graph: all V', then all V''.
        """
        return F.normalize(self.drop(self.views.pair(batch, key), key), dim=1)

    def drop(self, features: Tensor, key: Key) -> Tensor:
        """Return (B, D) features with entries dropped, the rest scaled up; the mask is drawn from `key` alone."""
        keep = torch.rand(features.shape, generator=generator(*key, "dropout")) >= self.dropout
        return features * to_device(keep, features.device) / (1 - self.dropout)
