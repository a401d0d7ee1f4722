"""CoCoOp on the tokens of CLIP-ReID: a meta-net adds one visual part to all tokens, without a gate (Eq. 3-5).

The original CoCoOp shares its tokens among all classes. Here each identity has its own, because the paper's Table 3
builds on CLIP-ReID.
"""

from __future__ import annotations

import functools

from torch import Tensor

from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.methods.cocoop.meta_net import MetaNet
from scing_cli.core.methods.stage1 import PromptTuning, tune_prompts
from scing_cli.core.methods.stage2 import tune_visual as visual_task
from scing_cli.core.settings import PromptSettings

__all__ = ["MetaNet", "prompt_task", "visual_task"]


def prompt_task(
    settings: PromptSettings, *, clip: ClipModel, features: Tensor, labels: Tensor, precision: str
) -> PromptTuning:
    """Build stage 1."""
    return tune_prompts(
        settings,
        clip=clip,
        features=features,
        labels=labels,
        precision=precision,
        visual=functools.partial(MetaNet, tokens=settings.tokens),
        perturbation=None,
    )
