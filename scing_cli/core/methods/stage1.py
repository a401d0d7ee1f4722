"""Stage 1 of every method: learn prompts with both encoders frozen (Eq. 7-16, R1).

Shapes: B batch, N training images, K identities, D joint width, d text token, M tokens with a visual part, T places.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.config import PromptSettings
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.methods.losses import Similarity, consistency, single_contrast, supervised_contrast
from scing_cli.core.methods.prompts import PromptLearner, VisualPrompt
from scing_cli.core.methods.task import Batch, Key, Losses
from scing_cli.core.runtime import autocast, draw_seed, generator, seeded


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """PDCA: what is done to the image, and to the feature the backbone makes of it (Eq. 12, R5, R14).

    Args:
        image: Flip, crop, occlusion and erase, each with its probability.
        dropout: Probability of a feature's entries being dropped, before it is made unit length.
        weight: lambda of Eq. 16.
    """

    image: Augmentation
    dropout: float
    weight: float

    def drop(self, features: Tensor, key: Key) -> Tensor:
        """Return (B, D) features with entries dropped, the rest scaled up; the mask is drawn from `key` alone."""
        keep = torch.rand(features.shape, generator=generator(*key, "dropout")) >= self.dropout
        return features * keep.to(features.device) / (1 - self.dropout)


class PromptTuning:
    """A stage 1 as a task of the training loop.

    Args:
        clip: Frozen; on the training device.
        prompts: What is learnt; on the training device.
        features: V of every training image as the tower gives it, (N, D), un-augmented, encoded once.
        labels: (N,) classes.
        similarity: How images and texts are compared.
        perturbation: Makes I' and I'' for the consistency; without it no image is read.
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
        similarity: Similarity,
        perturbation: Perturbation | None,
        contrast: str,
        precision: str,
    ) -> None:
        for tower in (clip.image, clip.text):
            tower.requires_grad_(False).eval()
        self.clip = clip
        self.prompts = prompts
        self.features = similarity.prepare(features)
        self.conditions = similarity.unit(self.features)  # unit, whatever the similarity (method, step 1)
        self.labels = labels
        self.similarity = similarity
        self.perturbation = perturbation
        self.contrast = contrast
        self.precision = precision
        self.reads_images = perturbation is not None

    def learnt(self) -> PromptLearner:
        """Return the prompts: nothing else has a gradient."""
        return self.prompts

    def texts(self, labels: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return w for identities under visual conditions (Eq. 8-11).

        Args:
            labels: (B,) whose tokens.
            conditions: (B, D) unit length.

        Returns:
            w, (B, D) float32 prepared for the similarity, and what the images added, (B, M, d), if anything.
        """
        embeddings, added = self.prompts(labels, conditions)
        with autocast(conditions.device, self.precision):
            texts = self.clip.text(embeddings, self.prompts.end)
        return self.similarity.prepare(texts), added

    @torch.no_grad()
    def views(self, pixels: Tensor, perturbation: Perturbation, key: Key) -> Tensor:
        """Return V' and V'' of a batch: two perturbed views, encoded without a graph (Eq. 12, R5).

        Args:
            pixels: (B, 3, H, W) normalised, un-augmented.
            perturbation: What is done to them.
            key: What the draws are a function of.

        Returns:
            (2 B, D) float32 unit length: all V', then all V''.
        """
        both = torch.cat([perturbation.image(pixels, *key, view) for view in (1, 2)])
        with autocast(pixels.device, self.precision):
            features = self.clip.image(both).projected
        return F.normalize(perturbation.drop(features.float(), key), dim=1)

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return L_i2t + L_t2i and, under perturbation, lambda * L_con of a batch (Eq. 14-16)."""
        rows = torch.as_tensor(list(batch.rows), device=self.labels.device)
        labels, features, conditions = self.labels[rows], self.features[rows], self.conditions[rows]
        if batch.pixels is not None and self.perturbation is not None:
            conditions = torch.cat([conditions, self.views(batch.pixels, self.perturbation, key)])
        copies = len(conditions) // len(features)
        texts, added = self.texts(labels.repeat(copies), conditions)
        text, *perturbed = torch.split(texts, len(features))
        i2t, t2i = (self._contrast(*pair, labels) for pair in ((features, text), (text, features)))
        terms = {"contrast": i2t + t2i}  # Eq. 15
        figures = {"i2t": i2t.detach(), "t2i": t2i.detach()}
        if added is not None:
            figures["visual_spread"] = added.detach().std(0, correction=0).mean()
        if perturbed and self.perturbation is not None:
            original, first, second = (self.similarity.unit(part) for part in (text, *perturbed))
            terms["consistency"] = self.perturbation.weight * consistency(original, first, second)
            figures["views_cosine"] = (first * second).detach().sum(1).mean()
        return Losses(terms, figures)

    def _contrast(self, anchors: Tensor, others: Tensor, labels: Tensor) -> Tensor:
        if self.contrast == "infonce":
            return single_contrast(anchors, others, self.similarity.scale)
        return supervised_contrast(anchors, others, labels, self.similarity.scale)

    @torch.no_grad()
    def identity_texts(self, *, kind: str = "mean-condition", block: int = 256) -> Tensor:
        """Return w_k of every identity, for stage 2 to load and never compute again (R6).

        Args:
            kind: `mean-condition`: conditioned on the unit-length mean of the identity's V. `mean-text`: the mean of w
                over the identity's images.
            block: How many texts are encoded at a time.

        Returns:
            (K, D) float32 prepared for the similarity, in the order of the identity map.
        """
        count = len(self.prompts.tokens)
        labels, conditions = self.labels, self.conditions
        if kind == "mean-condition":
            conditions = F.normalize(self._means(conditions, count), dim=1)
            labels = torch.arange(count, device=conditions.device)
        parts = zip(torch.split(labels, block), torch.split(conditions, block), strict=True)
        texts = torch.cat([self.texts(*part)[0] for part in parts])
        return texts if kind == "mean-condition" else self.similarity.prepare(self._means(texts, count))

    def _means(self, vectors: Tensor, count: int) -> Tensor:
        sums = vectors.new_zeros(count, vectors.shape[1]).index_add_(0, self.labels, vectors)  # (K, D)
        return sums / torch.bincount(self.labels, minlength=count)[:, None]


def tune_prompts(
    settings: PromptSettings,
    *,
    clip: ClipModel,
    features: Tensor,
    labels: Tensor,
    precision: str,
    visual: VisualPrompt | None,
    perturbation: Perturbation | None,
) -> PromptTuning:
    """Build a stage 1 whose methods differ in what images add to the prompts, and in the consistency.

    Args:
        settings: Checked settings; there are as many prompts as `labels` has classes, drawn from their seed.
        clip: As for `PromptTuning`, with `features`, `labels`, `precision` and `perturbation`.
        features: See there.
        labels: See there.
        precision: See there.
        visual: What makes an image's part of the prompts, as for `PromptLearner`.
        perturbation: See there.
    """
    with seeded(draw_seed(settings.seed, "train-prompts", "initialisation")):
        identities = int(labels.max()) + 1
        prompts = PromptLearner(clip=clip, identities=identities, tokens=settings.tokens, visual=visual)
    return PromptTuning(
        clip=clip,
        prompts=prompts.to(features.device),
        features=features,
        labels=labels,
        similarity=Similarity(settings.similarity, clip.logit_scale),
        perturbation=perturbation,
        contrast=settings.contrast,
        precision=precision,
    )
