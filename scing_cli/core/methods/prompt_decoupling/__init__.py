"""Prompt Decoupling: text-to-image re-identification with deep prompts in both towers (PD1-PD15)."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.compiled import CompiledBlock
from scing_cli.core.errors import counted
from scing_cli.core.methods.augmentation import augmentation_of
from scing_cli.core.methods.prompt_decoupling.pair_tuning import DomainTuning, PairEncoder, PairTuning
from scing_cli.core.methods.prompt_decoupling.prompts_of_towers import (
    TowerPrompts,
    load_tower_prompts,
    save_tower_prompts,
)
from scing_cli.core.methods.stages import Origin, PromptStage, StageInputs, VisualStage
from scing_cli.core.settings import PromptSettings, VisualSettings

__all__ = ["TUNING_STAGE", "DomainTuning", "PairTuning", "stages"]


def _domain_tuning(settings: PromptSettings, inputs: StageInputs) -> DomainTuning:
    """Give both towers new prompts (PD1-PD5), and build stage 1."""
    for tower in (inputs.clip.image, inputs.clip.text):
        blocks = int(tower.config["layers"])
        depth = min(settings.prompt_depth, blocks)
        if depth < settings.prompt_depth and "prompt_depth" in settings.model_fields_set:
            inputs.note(f"--prompt-depth {settings.prompt_depth}: the {tower.kind} encoder has {blocks} blocks.")
        tower.learn_prompts(settings.prompt_tokens, depth, settings.seed)
    return DomainTuning(_pairs(settings, inputs, occlusion=0.0))


def _pair_tuning(settings: VisualSettings, inputs: StageInputs) -> PairTuning:
    """Give both towers the prompts of stage 1, if it learnt any, and build stage 2.

    Raises:
        TypeError: If the inputs have another result of stage 1.
        RunError: If the prompts do not fit the towers.
    """
    if not isinstance(inputs.earlier, TowerPrompts):
        raise TypeError(f"stage 2 needs the prompts of both towers, not {inputs.earlier!r}")
    inputs.earlier.put_into(inputs.clip)
    pairs = _pairs(settings, inputs, occlusion=settings.occlusion)
    return PairTuning(pairs, loss=settings.stage2_loss, masked=settings.mask_words, seed=settings.seed)


def _pairs(settings: PromptSettings | VisualSettings, inputs: StageInputs, *, occlusion: float) -> PairEncoder:
    clip: ClipModel = inputs.clip
    pairs = PairEncoder(
        clip=clip,
        captions=inputs.captions,
        labels=inputs.labels,
        augmentation=augmentation_of(settings, clip.image.geometry, occlusion=occlusion),
        precision=inputs.precision,
        run=CompiledBlock() if settings.compile else None,
    )
    if pairs.captions_cut:
        longer = counted(pairs.captions_cut, "caption is", "captions are")
        inputs.note(f"{longer} longer than the {clip.text.longest} tokens that the text encoder reads: cut.")
    return pairs


def _save(folder: Path, task: DomainTuning, settings: PromptSettings, origin: Origin) -> None:
    del settings
    save_tower_prompts(folder, dict(task.trainable().items()), origin)


TUNING_STAGE = VisualStage(
    _pair_tuning,
    towers=("image", "text"),
    parts={"image": "image encoder", "text": "text encoder", "head": "heads"},
)
stages = (
    PromptStage(_domain_tuning, _save, load_tower_prompts, parts={"image": "image prompts", "text": "text prompts"}),
    TUNING_STAGE,
)
