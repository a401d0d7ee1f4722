"""CLIP-ReID, the baseline: each identity has its own tokens, without a visual part."""

from __future__ import annotations

import functools

from scing_cli.core.methods.stage1 import identity_stage, tune_prompts
from scing_cli.core.methods.stage2 import VISUAL_STAGE

__all__ = ["stages"]

stages = (identity_stage(functools.partial(tune_prompts, visual=None, perturbation=None)), VISUAL_STAGE)
