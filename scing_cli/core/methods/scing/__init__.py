"""SCING: SVIP and PDCA in stage 1, text classification and a cross-modal triplet in stage 2."""

from __future__ import annotations

from torch import Tensor

from scing_cli.core.batches import Augmentation, black_value
from scing_cli.core.config import PromptSettings, Schedule, VisualSettings
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods.scing.prompts import PromptLearner
from scing_cli.core.methods.scing.stage1 import Perturbation, PromptTuning
from scing_cli.core.methods.scing.stage2 import VisualTuning
from scing_cli.core.methods.scing.svip import SelectiveVisualPrompt
from scing_cli.core.runtime import draw_seed, seeded

PADDING, FULL_HEIGHT = 10, 256  # R14's 10 pixels belong to images 256 pixels high

__all__ = [
    "Perturbation",
    "PromptLearner",
    "PromptTuning",
    "SelectiveVisualPrompt",
    "VisualTuning",
    "prompt_task",
    "visual_task",
]


def prompt_task(
    settings: PromptSettings, *, clip: ClipModel, features: Tensor, labels: Tensor, precision: str
) -> PromptTuning:
    """Build stage 1: as many prompts as `labels` has classes, drawn from the settings' seed."""
    with seeded(draw_seed(settings.seed, "train-prompts", "initialisation")):
        prompts = PromptLearner(
            clip=clip,
            identities=int(labels.max()) + 1,
            tokens=settings.tokens,
            fused_tokens=settings.fused_tokens,
            gate=settings.gate,
        )
    return PromptTuning(
        clip=clip,
        prompts=prompts.to(features.device),
        features=features,
        labels=labels,
        perturbation=Perturbation(
            _augmentation(settings, clip.image.geometry, occlusion=settings.occlusion), settings.feature_dropout
        ),
        consistency_weight=settings.consistency_weight,
        contrast=settings.contrast,
        precision=precision,
    )


def visual_task(
    settings: VisualSettings,
    *,
    encoder: ImageEncoder,
    texts: Tensor,
    labels: Tensor,
    logit_scale: float,
    precision: str,
) -> VisualTuning:
    """Build stage 2 on the texts that stage 1 left."""
    return VisualTuning(
        encoder=encoder,
        texts=texts,
        labels=labels,
        logit_scale=logit_scale,
        augmentation=_augmentation(settings, encoder.geometry, occlusion=settings.occlusion),
        triplet_weight=settings.triplet_weight,
        margin=settings.margin,
        label_smoothing=settings.label_smoothing,
        precision=precision,
    )


def _augmentation(settings: Schedule, geometry: Geometry, *, occlusion: float) -> Augmentation:
    return Augmentation(
        flip=settings.flip,
        erase=settings.erase,
        crop=settings.crop,
        occlusion=occlusion,
        padding=round(PADDING * geometry.height / FULL_HEIGHT),
        black=black_value(geometry.mean, geometry.std),
    )
