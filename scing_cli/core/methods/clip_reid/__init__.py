"""CLIP-ReID, the baseline: each identity has its own tokens, without a visual part."""

from __future__ import annotations

import functools

from scing_cli.core.methods.stage1 import tune_prompts
from scing_cli.core.methods.stage2 import tune_visual as visual_task

__all__ = ["prompt_task", "visual_task"]

prompt_task = functools.partial(tune_prompts, visual=None, perturbation=None)
