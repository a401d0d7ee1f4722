"""CoCoOp on the tokens of CLIP-ReID: a meta-net adds one visual part to all tokens, without a gate (Eq. 3-5).

The original CoCoOp shares its tokens among all classes. Here each identity has its own, because the paper's Table 3
builds on CLIP-ReID.
"""

from __future__ import annotations

import functools

from scing_cli.core.methods.cocoop.meta_net import MetaNet
from scing_cli.core.methods.stage1 import PromptTuning, identity_stage, tune_prompts
from scing_cli.core.methods.stage2 import VISUAL_STAGE
from scing_cli.core.methods.stages import StageInputs
from scing_cli.core.settings import PromptSettings

__all__ = ["MetaNet", "stages"]


def _prompts(settings: PromptSettings, inputs: StageInputs) -> PromptTuning:
    visual = functools.partial(MetaNet, tokens=settings.tokens)
    return tune_prompts(settings, inputs, visual=visual, perturbation=None)


stages = (identity_stage(_prompts), VISUAL_STAGE)
