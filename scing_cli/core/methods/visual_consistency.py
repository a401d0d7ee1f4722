"""View consistency in stage 2 (ours, after PDCA): a perturbed view of each image is encoded like the image itself.

The paper's consistency loss is part of stage 1, where both encoders are frozen. Here its views reach the encoder::

    L_view = mean over i of  1 - cos( F_v(I_i), F_v(I'_i) )  +  KL( p(I_i) || p(I'_i) )
    p(I) = softmax over k of s <F_v(I), w_k>

I is the image as the stage augments it, I' a perturbed view of it (R14), s the similarity's scale. p(I_i) is the target
of the second term and has no gradient.

Shapes: B batch, K identities, D joint width.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders.image import ImageFeatures
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.task import Batch, Key


@dataclasses.dataclass(frozen=True)
class VisualConsistency:
    """The loss over perturbed views in stage 2.

    Args:
        perturb: Flip, crop, occlusion and erasing, each with its probability.
        weight: Of the loss.
    """

    perturb: Augmentation
    weight: float

    def with_views(self, images: Tensor, batch: Batch, key: Key) -> Tensor:
        """Return augmented images (b, 3, H, W), then a perturbed view of each: of the own b rows of a batch."""
        return torch.cat([images, self.perturb(batch.pixels, *key, "view", own=batch.share.rows)])

    def loss(self, features: ImageFeatures, texts: Tensor, similarity: Similarity) -> Tensor:
        """Return the weighted loss from the features of images and views, (2 B, ...), and the texts w_k, (K, D)."""
        images, views = features.projected.chunk(2)
        return self.weight * view_loss(images, views, texts, similarity)


def view_loss(images: Tensor, views: Tensor, texts: Tensor, similarity: Similarity) -> Tensor:
    """Return L_view, the scalar mean over a batch.

    Args:
        images: Projected features of the images, (B, D), of any length.
        views: Those of the perturbed views.
        texts: w_k, (K, D), prepared for the similarity.
        similarity: How images and texts are compared.
    """
    first, second = (similarity.prepare(each) for each in (images, views))
    cosine = (similarity.unit(first) * similarity.unit(second)).sum(1)
    scores, perturbed = (similarity.scale * each @ texts.T for each in (first, second))
    target = scores.detach().softmax(dim=1)
    divergence = F.kl_div(perturbed.log_softmax(dim=1), target, reduction="none").sum(1)
    return (1 - cosine + divergence).mean()
