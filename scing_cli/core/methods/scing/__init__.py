"""SCING: tokens with a gated visual part (SVIP), and texts that are consistent under perturbation (PDCA)."""

from __future__ import annotations

import functools

from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.compiled import CompiledBlock
from scing_cli.core.methods.augmentation import augmentation_of
from scing_cli.core.methods.perturbed_views import FreshViews, Perturbation, ViewBank, ViewEncoder, Views
from scing_cli.core.methods.scing.svip import SelectiveVisualPrompt
from scing_cli.core.methods.stage1 import PromptTuning, identity_stage, tune_prompts
from scing_cli.core.methods.stage2 import VISUAL_STAGE
from scing_cli.core.methods.stages import StageInputs
from scing_cli.core.methods.visual_condition import condition_of
from scing_cli.core.settings import PromptSettings

__all__ = ["SelectiveVisualPrompt", "stages"]


def _prompts(settings: PromptSettings, inputs: StageInputs) -> PromptTuning:
    """Build stage 1; without consistency loss, or with lambda = 0, there is no PDCA."""
    perturbation = None
    if settings.consistency and settings.consistency_weight > 0:
        views = _views(settings, inputs.clip, inputs.precision)
        perturbation = Perturbation(
            views,
            settings.feature_dropout,
            settings.consistency_weight,
            condition=condition_of(settings.condition),
            target=settings.consistency_target,
        )
    return tune_prompts(
        settings,
        inputs,
        visual=functools.partial(SelectiveVisualPrompt, fused_tokens=settings.fused_tokens, gate=settings.gate),
        perturbation=perturbation,
    )


def _views(settings: PromptSettings, clip: ClipModel, precision: str) -> Views:
    image = augmentation_of(settings, clip.image.geometry, occlusion=settings.occlusion)
    run = CompiledBlock() if settings.compile else None
    encode = ViewEncoder(clip.image, image, precision, run, learns=settings.learns_encoder)
    if settings.bank_views is None:
        return FreshViews(encode)
    return ViewBank(encode, views=settings.bank_views, batch_size=settings.batch_size, seed=settings.seed)


stages = (identity_stage(_prompts), VISUAL_STAGE)
