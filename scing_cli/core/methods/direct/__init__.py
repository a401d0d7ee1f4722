"""Direct fine-tuning: stage 2 of Prompt Decoupling on a CLIP without prompts, its control row (PD15)."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.methods.prompt_decoupling import TUNING_STAGE
from scing_cli.core.methods.prompt_decoupling.prompts_of_towers import load_tower_prompts, save_tower_prompts
from scing_cli.core.methods.stages import Origin, PromptStage
from scing_cli.core.settings import PromptSettings

__all__ = ["stages"]


def _save(folder: Path, task: None, settings: PromptSettings, origin: Origin) -> None:
    del task, settings
    save_tower_prompts(folder, {}, origin)


stages = (PromptStage(None, _save, load_tower_prompts), TUNING_STAGE)
