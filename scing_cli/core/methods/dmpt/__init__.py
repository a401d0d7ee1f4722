"""DMPT: three spectra with one frozen image tower, whose prompts are learnt (DM1-DM14). Stage 1 trains all."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.artifacts import FORMAT, STAMP, run_id, write_json
from scing_cli.core.encoders.bound_prompts import BoundPromptEncoder, spectrum_sentences
from scing_cli.core.encoders.compiled import CompiledBlock
from scing_cli.core.encoders.spectral import SpectralEncoder
from scing_cli.core.methods.augmentation import augmentation_of
from scing_cli.core.methods.dmpt.bound_tuning import BoundTuning, TwoHeads, name_features
from scing_cli.core.methods.stages import Origin, PromptStage, StageInputs
from scing_cli.core.runtime import draw_seed, seeded
from scing_cli.core.settings import PromptSettings

__all__ = ["BoundTuning", "TwoHeads", "stages"]


def _bound_tuning(settings: PromptSettings, inputs: StageInputs) -> BoundTuning:
    """Give the frozen tower of an encoder of spectra its prompts, and build the stage.

    Raises:
        TypeError: If the image encoder is not one of spectra.
    """
    image, device = inputs.clip.image, inputs.labels.device
    if not isinstance(image, SpectralEncoder):
        raise TypeError(f"dmpt needs an encoder of spectra, not {type(image).__name__}")
    sizes = {
        "specific": settings.specific_tokens,
        "semantic": settings.semantic_tokens,
        "bind": settings.bind_tokens,
    }
    with seeded(draw_seed(settings.seed, "train-prompts", "initialisation")):
        encoder = BoundPromptEncoder(image.tower, image.spectra, missing=image.missing, dmpt=sizes)
        heads = TwoHeads(encoder.class_dim, int(inputs.labels.max()) + 1)
    encoder.bound.names.copy_(name_features(inputs.clip, spectrum_sentences(image.spectra, inputs.objects)))
    return BoundTuning(
        encoder=encoder.to(device),
        heads=heads.to(device),
        labels=inputs.labels,
        augmentation=augmentation_of(settings, image.geometry, occlusion=0.0),
        precision=inputs.precision,
        run=CompiledBlock() if settings.compile else None,
    )


def _save(folder: Path, task: BoundTuning, settings: PromptSettings, origin: Origin) -> None:
    """Write the stamp of the stage; its weights are in the image encoder."""
    del settings
    stamp = {
        "format": FORMAT,
        "identities": list(origin.identities),
        "model_digest": origin.model_digest,
        "text_digest": origin.text_digest,
        "spectra": list(task.encoder.spectra),
        "prompts": dict(task.encoder.config["dmpt"]),
        **origin.extra,
        **run_id(folder),
    }
    write_json(folder / STAMP, stamp)


def _encoder(task: BoundTuning) -> BoundPromptEncoder:
    return task.encoder


stages = (PromptStage(_bound_tuning, _save, None, parts={"bound": "prompts"}, encoder=_encoder), None)
