"""Stage 1 of all methods: train prompts with both encoders frozen (Eq. 7-16, R1).

Shapes: B batch, N training images, K identities, D joint width, d text token, M tokens with a visual part.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.compiled import CompiledBlock
from scing_cli.core.methods.losses import (
    Similarity,
    consistency,
    image_consistency,
    own_condition_contrast,
    single_contrast,
    supervised_contrast,
)
from scing_cli.core.methods.perturbed_views import Perturbation
from scing_cli.core.methods.prompts import Gated, PromptLearner, VisualPrompt
from scing_cli.core.methods.prompts_file import IdentityTexts, load_texts, save_prompts
from scing_cli.core.methods.stages import Origin, PromptStage, PromptTask, StageInputs
from scing_cli.core.methods.task import NOTHING, Batch, Batches, Cached, Key, Losses, not_cached
from scing_cli.core.methods.visual_condition import Condition, condition_of
from scing_cli.core.runtime import Reporter, autocast, draw_seed, seeded, to_device
from scing_cli.core.settings import PromptSettings


class PromptTuning:
    """Stage 1 as a task of the training loop.

    Args:
        clip: Frozen; on the training device.
        prompts: The trainable parameters; on the training device.
        features: V of every training image as the tower returns it, (N, D), without augmentation.
        labels: (N,) classes.
        similarity: How images and texts are compared.
        perturbation: Computes V' and V'' for the consistency loss; None to leave the loss out.
        contrast: `supervised` or `infonce` (R4).
        condition: Scales V before it conditions the prompts (R19).
        negatives: Whose condition the other identities' texts have that an image is compared with: `own` for that of
            their own images, `query` for that of the image (R21).
        precision: Of the towers (R17).
        run: Runs the text tower's blocks before the last, compiled for example; None for `run_block`.
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
        condition: Condition,
        negatives: str,
        precision: str,
        run: RunBlock | None = None,
    ) -> None:
        for tower in (clip.image, clip.text):
            tower.requires_grad_(False).eval()
        self.clip = clip
        self.prompts = prompts
        self.features = similarity.prepare(features)
        self.condition = condition
        self.conditions = condition(features)
        self.labels = labels
        self.similarity = similarity
        self.perturbation = perturbation
        self.contrast = contrast
        self.negatives = negatives
        self.precision = precision
        self.run = run
        self.reads = NOTHING if perturbation is None else perturbation.views.reads

    def prepare(self, batches_of: Batches, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Fill the bank of perturbed views, if there is one (`ViewBank`)."""
        if self.perturbation is not None:
            self.perturbation.views.prepare(batches_of, len(self.labels), reporter, cached)

    def trainable(self) -> PromptLearner:
        """Return the prompts, the only module with gradients."""
        return self.prompts

    def texts(self, labels: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the texts w of identities under visual conditions (Eq. 8-11).

        Args:
            labels: (B,) identities.
            conditions: (B, D), scaled by `condition`.

        Returns:
            w, (B, D) float32 prepared for the similarity, and the visual part (B, M, d); None without one.
        """
        embeddings, added = self.prompts(labels, conditions)
        with autocast(conditions.device, self.precision):
            texts = self.clip.text(embeddings, self.prompts.end, run=self.run)
        return self.similarity.prepare(texts), added

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return L_i2t + L_t2i and, with a perturbation, lambda * L_con of a batch (Eq. 14-16)."""
        rows = to_device(list(batch.rows), self.labels.device)
        labels, features, conditions = self.labels[rows], self.features[rows], self.conditions[rows]
        if self.perturbation is not None:
            conditions = torch.cat([conditions, self.perturbation(batch, key)])  # (3 B, D)
        copies = len(conditions) // len(features)
        texts, added = self.texts(labels.repeat(copies), conditions)
        text, *perturbed = torch.split(texts, len(features))
        i2t = self._contrast(features, text, labels) if self.negatives == "own" else self._of_query(features, rows)
        t2i = self._contrast(text, features, labels)
        terms = {"contrast": i2t + t2i}  # Eq. 15
        figures = {"i2t": i2t.detach(), "t2i": t2i.detach()}
        if added is not None:
            figures["visual_spread"] = added.detach().std(0, correction=0).mean()
            figures |= self._gate_figures(conditions[: len(features)])
        if self.perturbation is not None:
            unit = [self.similarity.unit(part) for part in (features, text, *perturbed)]
            terms["consistency"] = self.perturbation.weight * self._consistency(*unit)
            figures["views_cosine"] = (unit[2] * unit[3]).detach().sum(1).mean()
        return Losses(terms, figures)

    def _consistency(self, features: Tensor, text: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return L_con (Eq. 14) or what R20 offers in its place or beside it."""
        target = self.perturbation.target if self.perturbation is not None else "text"
        parts = [consistency(text, first, second)] if target != "image" else []
        parts += [image_consistency(features, first, second)] if target != "text" else []
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum()

    @torch.no_grad()
    def _gate_figures(self, conditions: Tensor) -> dict[str, Tensor]:
        """Return the mean of alpha, and its deviation over the images and over the channels of a batch (R19)."""
        if not isinstance(self.prompts.visual, Gated):
            return {}
        alpha = self.prompts.visual.alpha(conditions)  # (B, d) or (B, M)
        return {
            "alpha_mean": alpha.mean(),
            "alpha_over_images": alpha.std(0, correction=0).mean(),
            "alpha_over_channels": alpha.std(1, correction=0).mean(),
        }

    def _of_query(self, features: Tensor, rows: Tensor) -> Tensor:
        """Return L_i2t where all texts that an image is compared with have its condition (R21)."""
        identities, own = torch.unique(self.labels[rows], return_inverse=True)  # (P,), (B,)
        count = len(identities)
        conditions = self.conditions[rows].repeat_interleave(count, dim=0)  # (B P, D)
        texts, _ = self.texts(identities.repeat(len(features)), conditions)
        return own_condition_contrast(features, texts.view(len(features), count, -1), own, self.similarity.scale)

    def _contrast(self, anchors: Tensor, others: Tensor, labels: Tensor) -> Tensor:
        if self.contrast == "infonce":
            return single_contrast(anchors, others, self.similarity.scale)
        return supervised_contrast(anchors, others, labels, self.similarity.scale)

    @torch.no_grad()
    def identity_texts(self, *, kind: str = "mean-condition", block: int = 256) -> Tensor:
        """Return the texts w_k of all identities, which stage 2 loads (R6).

        Args:
            kind: `mean-condition`: conditioned on the mean of the identity's conditions, scaled as they are (R19).
                `mean-text`: the mean of w over the identity's images.
            block: Number of texts encoded at a time.

        Returns:
            (K, D) float32 prepared for the similarity, in the order of the classes.
        """
        count = len(self.prompts.tokens)
        labels, conditions = self.labels, self.conditions
        if kind == "mean-condition":
            conditions = self.condition(self._means(conditions, count))
            labels = torch.arange(count, device=conditions.device)
        parts = zip(torch.split(labels, block), torch.split(conditions, block), strict=True)
        texts = torch.cat([self.texts(*part)[0] for part in parts])
        return texts if kind == "mean-condition" else self.similarity.prepare(self._means(texts, count))

    def _means(self, vectors: Tensor, count: int) -> Tensor:
        sums = vectors.new_zeros(count, vectors.shape[1]).index_add_(0, self.labels, vectors)  # (K, D)
        return sums / torch.bincount(self.labels, minlength=count)[:, None]


def tune_prompts(
    settings: PromptSettings,
    inputs: StageInputs,
    *,
    visual: VisualPrompt | None,
    perturbation: Perturbation | None,
) -> PromptTuning:
    """Build stage 1. Methods differ in the visual part of the prompts, and in the consistency loss.

    Args:
        settings: Checked settings; their seed initialises the prompts.
        inputs: Both encoders, V of every training image, and the classes 0..K-1; each class gets a prompt.
        visual: Builds the module of the visual part (`PromptLearner`); None for prompts without one.
        perturbation: Computes V' and V'' for the consistency loss; None to leave the loss out.

    Raises:
        ValueError: If the inputs have no V.
    """
    clip, labels, features = inputs.clip, inputs.labels, inputs.features
    if features is None:
        raise ValueError("stage 1 needs the features of all training images")
    with seeded(draw_seed(settings.seed, "train-prompts", "initialisation")):
        identities = int(labels.max()) + 1
        prompts = PromptLearner(
            clip=clip, identities=identities, tokens=settings.tokens, visual=visual, objects=inputs.objects
        )
    return PromptTuning(
        clip=clip,
        prompts=prompts.to(features.device),
        features=features,
        labels=labels,
        similarity=Similarity(settings.similarity, clip.logit_scale),
        perturbation=perturbation,
        contrast=settings.contrast,
        condition=condition_of(settings.condition),
        negatives=settings.negatives,
        precision=inputs.precision,
        run=CompiledBlock() if settings.compile else None,
    )


def identity_stage(build: Callable[[PromptSettings, StageInputs], PromptTask]) -> PromptStage:
    """Return a stage 1 that learns prompts of identities; its result is the texts w_k of all identities."""
    return PromptStage(build, _save, load_texts, reads_features=True)


def _save(folder: Path, task: PromptTuning, settings: PromptSettings, origin: Origin) -> None:
    texts = IdentityTexts(
        vectors=task.identity_texts(kind=settings.identity_text),
        identities=origin.identities,
        logit_scale=origin.logit_scale,
        model_digest=origin.model_digest,
        similarity=settings.similarity,
    )
    save_prompts(folder, task.trainable().state_dict(), texts, origin.extra)
