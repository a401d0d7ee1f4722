"""Tasks of both stages of a method, built from their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from scing_cli.core.encoders.clip import ClipModel, tokenize
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods import Similarity, StageInputs, load_method
from scing_cli.core.methods.prompts_file import IdentityTexts
from scing_cli.core.settings import PromptSettings, VisualSettings


def prompt_task_of(
    method: str, settings: PromptSettings, *, clip: ClipModel, features: Tensor, labels: Tensor, precision: str
) -> Any:
    """Build stage 1 of a method that learns prompts of identities."""
    first, _ = load_method(method).stages
    return first.build(settings, StageInputs(clip, labels, precision, features=features))


def visual_task_of(
    method: str,
    settings: VisualSettings,
    *,
    encoder: ImageEncoder,
    texts: Tensor,
    similarity: Similarity,
    labels: Tensor,
    cameras: Tensor | None = None,
    precision: str,
    features: Tensor | None = None,
    camera_names: Sequence[str] = (),
) -> Any:
    """Build stage 2 of a method that moves an image encoder towards the texts of identities."""
    _, second = load_method(method).stages
    names = tuple(str(number) for number in range(len(texts)))
    earlier = IdentityTexts(texts, names, similarity.logit_scale, "", similarity.kind)
    clip = ClipModel(encoder, None, similarity.logit_scale, "test", "random", tokenize)
    inputs = StageInputs(
        clip,
        labels,
        precision,
        features=features,
        cameras=cameras,
        camera_names=camera_names,
        earlier=earlier,
    )
    return second.build(settings, inputs)
