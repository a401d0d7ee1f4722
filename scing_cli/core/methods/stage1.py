"""Stage 1 of all methods: train prompts with both encoders frozen (Eq. 7-16, R1), or with the image encoder (R22).

Shapes: B batch, N training images, K identities, D joint width, d text token, M tokens with a visual part.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from scing_cli.core.devices import to_device
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
from scing_cli.core.methods.perturbed_views import Perturbation, projected
from scing_cli.core.methods.prompts import Gated, PromptLearner, VisualPrompt
from scing_cli.core.methods.prompts_file import IdentityTexts, load_texts, save_prompts
from scing_cli.core.methods.stages import Origin, PromptStage, PromptTask, StageInputs
from scing_cli.core.methods.task import IMAGES, NOTHING, Batch, Batches, Cached, Key, Losses, not_cached
from scing_cli.core.methods.visual_condition import Condition, condition_of
from scing_cli.core.runtime import Reporter, autocast, draw_seed, seeded
from scing_cli.core.settings import PromptSettings

PROMPTS, ENCODER = "prompts", "encoder"  # the parts of what learns together (R22)


class PromptTuning:
    """Stage 1 as a task of the training loop.

    Args:
        clip: Frozen but for the image tower if that learns; on the training device.
        prompts: Trainable; on the training device.
        features: V of every training image as the tower returns it, (N, D), without augmentation.
        labels: (N,) classes.
        similarity: How images and texts are compared.
        perturbation: Computes V' and V'' for the consistency loss; None to leave the loss out.
        contrast: `supervised` or `infonce` (R4).
        condition: Scales V before it conditions the prompts (R19).
        negatives: Whose condition the other identities' texts have that an image is compared with: `own` for that of
            their own images, `query` for that of the image (R21).
        precision: Of the towers (R17).
        learns_encoder: Whether the image tower learns too (R22). V then comes from the batch's pixels at every step;
            `features` are those of the tower before the first step, until `use_features` gets others.
        run: Runs the text tower's blocks before the last, compiled for example; None for `run_block`.
        image_run: The same for an image tower that learns.
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
        learns_encoder: bool = False,
        run: RunBlock | None = None,
        image_run: RunBlock | None = None,
    ) -> None:
        for tower in (clip.image, clip.text):
            tower.requires_grad_(False).eval()
        clip.image.requires_grad_(learns_encoder)
        self.clip = clip
        self.prompts = prompts
        self.labels = labels
        self.similarity = similarity
        self.condition = condition
        self.use_features(features)
        self.perturbation = perturbation
        self.contrast = contrast
        self.negatives = negatives
        self.precision = precision
        self.learns_encoder = learns_encoder
        self.run = run
        self.image_run = image_run
        self.reads = IMAGES if learns_encoder else NOTHING if perturbation is None else perturbation.views.reads
        self._trainable = nn.ModuleDict({PROMPTS: prompts, ENCODER: clip.image}) if learns_encoder else prompts

    def use_features(self, features: Tensor) -> None:
        """Take V of every training image as the tower returns it now, (N, D): the texts w_k depend on it."""
        self.features = self.similarity.prepare(features)
        self.conditions = self.condition(features)

    def prepare(self, batches_of: Batches, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Fill the bank of perturbed views, if there is one (`ViewBank`)."""
        if self.perturbation is not None:
            self.perturbation.views.prepare(batches_of, len(self.labels), reporter, cached)

    def trainable(self) -> nn.Module:
        """Return what learns: the prompts, or with the image tower a dictionary of both."""
        return self._trainable

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
        labels = self.labels[rows]
        features, all_conditions, conditions = self._images(batch, rows)
        share, copies = batch.share, 1
        if self.perturbation is not None:
            conditions, copies = torch.cat([conditions, self.perturbation(batch, key)]), 3  # (3 b, D)
        texts, added = self.texts(share.take(labels).repeat(copies), conditions)
        text, *perturbed = torch.split(share.whole(texts, copies=copies), len(features))
        of_query = self.negatives == "query"
        i2t = (
            self._of_query(features, batch, conditions, labels) if of_query else self._contrast(features, text, labels)
        )
        t2i = self._contrast(text, features, labels)
        terms = {"contrast": i2t + t2i}  # Eq. 15
        figures = {"i2t": i2t.detach(), "t2i": t2i.detach()}
        if added is not None:
            figures["visual_spread"] = share.whole(added.detach(), copies=copies).std(0, correction=0).mean()
            figures |= self._gate_figures(all_conditions.detach())
        if self.perturbation is not None:
            unit = [self.similarity.unit(part) for part in (features, text, *perturbed)]
            terms["consistency"] = self.perturbation.weight * self._consistency(*unit)
            figures["views_cosine"] = (unit[2] * unit[3]).detach().sum(1).mean()
        return Losses(terms, figures)

    def _images(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return V of a batch, (B, D): prepared for the similarity, as the prompts' condition, and that of own rows."""
        if not self.learns_encoder:
            conditions = self.conditions[rows]
            return self.features[rows], conditions, batch.share.take(conditions)
        pixels = batch.share.take(batch.pixels)
        own = projected(self.clip.image, pixels, precision=self.precision, run=self.image_run)
        features = batch.share.whole(own)
        return self.similarity.prepare(features), self.condition(features), self.condition(own)

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

    def _of_query(self, features: Tensor, batch: Batch, conditions: Tensor, labels: Tensor) -> Tensor:
        """Return L_i2t where all texts that an image is compared with have its condition (R21).

        Args:
            features: (B, D).
            batch: Its share has b rows.
            conditions: Those of the b own images, then those of other views.
            labels: (B,).
        """
        identities, own = torch.unique(labels, return_inverse=True)  # (P,), (B,)
        count, images = len(identities), conditions[: len(batch.share.take(labels))]
        texts, _ = self.texts(identities.repeat(len(images)), images.repeat_interleave(count, dim=0))  # (b P, D)
        texts = batch.share.whole(texts.view(len(images), count, -1))  # (B, P, D)
        return own_condition_contrast(features, texts, own, self.similarity.scale)

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
            clip=clip,
            identities=identities,
            tokens=settings.tokens,
            visual=visual,
            objects=inputs.objects,
            as_words=settings.prompt_start == "words",
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
        learns_encoder=settings.learns_encoder,
        run=CompiledBlock() if settings.compile else None,
        image_run=CompiledBlock() if settings.compile and settings.learns_encoder else None,
    )


def identity_stage(build: Callable[[PromptSettings, StageInputs], PromptTask]) -> PromptStage:
    """Return a stage 1 that learns prompts of identities; its result is the texts w_k of all identities."""
    return PromptStage(
        build, _save, load_texts, use_features=PromptTuning.use_features, parts={ENCODER: "image encoder"}
    )


def _save(folder: Path, task: PromptTuning, settings: PromptSettings, origin: Origin) -> None:
    texts = IdentityTexts(
        vectors=task.identity_texts(kind=settings.identity_text),
        identities=origin.identities,
        logit_scale=origin.logit_scale,
        model_digest=origin.model_digest,
        similarity=settings.similarity,
        encoder=task.clip.image.state_dict() if task.learns_encoder else None,
    )
    save_prompts(folder, task.prompts.state_dict(), texts, origin.extra)
