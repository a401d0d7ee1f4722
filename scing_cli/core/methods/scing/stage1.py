"""Stage 1: learn tokens and SVIP with both encoders frozen (Eq. 7-16, R1).

Shapes: B batch, N training images, K identities, D joint width, d text token, M fused tokens, T places of the prompt.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from scing_cli.core.batches import Augmentation
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.methods.losses import consistency, single_contrast, supervised_contrast
from scing_cli.core.methods.scing.prompts import PromptLearner
from scing_cli.core.methods.task import Batch, Key, Losses
from scing_cli.core.runtime import autocast, generator


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """PDCA's T (Eq. 12, R5, R14): what is done to the image, and to the feature the backbone makes of it.

    Args:
        image: Flip, crop, occlusion and erase, each with its probability.
        dropout: Probability of a feature's entries being dropped, before it is made unit length.
    """

    image: Augmentation
    dropout: float

    def drop(self, features: Tensor, key: Key) -> Tensor:
        """Return (B, D) features with entries dropped, the rest scaled up; the mask is drawn from `key` alone."""
        keep = torch.rand(features.shape, generator=generator(*key, "dropout")) >= self.dropout
        return features * keep.to(features.device) / (1 - self.dropout)


class PromptTuning:
    """SCING's stage 1 as a task of the training loop.

    Args:
        clip: Frozen; on the training device.
        prompts: What is learnt; on the training device.
        features: V of every training image, (N, D) unit length, un-augmented, encoded once.
        labels: (N,) classes.
        perturbation: Makes I' and I''.
        consistency_weight: lambda of Eq. 16; at 0 no image is read.
        contrast: `supervised` or `infonce` (R4).
        precision: Of the towers (R17).
    """

    name = "train-prompts"

    def __init__(
        self,
        *,
        clip: ClipModel,
        prompts: PromptLearner,
        features: Tensor,
        labels: Tensor,
        perturbation: Perturbation,
        consistency_weight: float,
        contrast: str,
        precision: str,
    ) -> None:
        for tower in (clip.image, clip.text):
            tower.requires_grad_(False).eval()
        self.clip = clip
        self.prompts = prompts
        self.features = features
        self.labels = labels
        self.perturbation = perturbation
        self.consistency_weight = consistency_weight
        self.contrast = contrast
        self.precision = precision
        self.reads_images = consistency_weight > 0

    def learnt(self) -> PromptLearner:
        """Return tokens and SVIP: nothing else has a gradient."""
        return self.prompts

    def texts(self, labels: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return w for identities under visual conditions (Eq. 8-11).

        Args:
            labels: (B,) whose tokens.
            features: (B, D) unit length.

        Returns:
            w, (B, D) float32 unit length, and what SVIP added, (B, M, d).
        """
        embeddings, visual = self.prompts(labels, features)
        with autocast(features.device, self.precision):
            texts = self.clip.text(embeddings, self.prompts.end)
        return F.normalize(texts.float(), dim=1), visual

    @torch.no_grad()
    def views(self, pixels: Tensor, key: Key) -> Tensor:
        """Return V' and V'' of a batch: two perturbed views, encoded without a graph (Eq. 12, R5).

        Args:
            pixels: (B, 3, H, W) normalised, un-augmented.
            key: What the draws are a function of.

        Returns:
            (2 B, D) float32 unit length: all V', then all V''.
        """
        both = torch.cat([self.perturbation.image(pixels, *key, view) for view in (1, 2)])
        with autocast(pixels.device, self.precision):
            features = self.clip.image(both).projected
        return F.normalize(self.perturbation.drop(features.float(), key), dim=1)

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return L_i2t, L_t2i and lambda * L_con of a batch (Eq. 14-16)."""
        rows = torch.as_tensor(list(batch.rows), device=self.labels.device)
        labels, features = self.labels[rows], self.features[rows]
        conditions = features
        if batch.pixels is not None:
            conditions = torch.cat([features, self.views(batch.pixels, key)])
        copies = len(conditions) // len(features)
        texts, visual = self.texts(labels.repeat(copies), conditions)
        text, *perturbed = torch.split(texts, len(features))
        scale = self.clip.logit_scale
        i2t, t2i = (self._contrast(*pair, labels, scale) for pair in ((features, text), (text, features)))
        terms = {"contrast": i2t + t2i}  # Eq. 15
        figures = {
            "i2t": i2t.detach(),
            "t2i": t2i.detach(),
            "visual_spread": visual.detach().std(0, correction=0).mean(),
        }
        if perturbed:
            first, second = perturbed
            terms["consistency"] = self.consistency_weight * consistency(text, first, second)
            figures["views_cosine"] = (first * second).detach().sum(1).mean()
        return Losses(terms, figures)

    def _contrast(self, anchors: Tensor, others: Tensor, labels: Tensor, scale: float) -> Tensor:
        if self.contrast == "infonce":
            return single_contrast(anchors, others, scale)
        return supervised_contrast(anchors, others, labels, scale)

    @torch.no_grad()
    def identity_texts(self, *, kind: str = "mean-condition", block: int = 256) -> Tensor:
        """Return w_k of every identity, for stage 2 to load and never compute again (R6).

        Args:
            kind: `mean-condition`: SVIP conditioned on the unit-length mean of the identity's V. `mean-text`: the
                normalised mean of w over the identity's images.
            block: How many texts are encoded at a time.

        Returns:
            (K, D) float32 unit length, in the order of the identity map.
        """
        count = len(self.prompts.tokens)
        if kind == "mean-text":
            parts = zip(torch.split(self.labels, block), torch.split(self.features, block), strict=True)
            return F.normalize(self._means(torch.cat([self.texts(*part)[0] for part in parts]), count), dim=1)
        conditions = F.normalize(self._means(self.features, count), dim=1)
        labels = torch.arange(count, device=conditions.device)
        parts = zip(torch.split(labels, block), torch.split(conditions, block), strict=True)
        return torch.cat([self.texts(*part)[0] for part in parts])

    def _means(self, vectors: Tensor, count: int) -> Tensor:
        sums = vectors.new_zeros(count, vectors.shape[1]).index_add_(0, self.labels, vectors)  # (K, D)
        return sums / torch.bincount(self.labels, minlength=count)[:, None]
