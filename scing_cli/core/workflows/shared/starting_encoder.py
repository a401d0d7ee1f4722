"""Opens the CLIP that a run started from: stage 2 starts from its encoders, and its text tower reads words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scing_cli.core.artifacts import Run
from scing_cli.core.errors import RunError
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings.spelled_values import parse_size

if TYPE_CHECKING:
    from scing_cli.core.encoders.clip import ClipModel


def starting_clip(
    run: Run, digest: str, pretrained: str | None, reporter: Reporter, *, text_digest: str | None = None
) -> ClipModel:
    """Return the CLIP that a run started from, after checking the digest of its image encoder.

    Args:
        run: The run.
        digest: The digest that the image encoder must have.
        pretrained: New location of the weights, if they have moved.
        reporter: Shows the progress of a download.
        text_digest: The digest that the text encoder must have; None not to check it.

    Raises:
        RunError: If it is not the model that the prompts were trained with.
        WeightsError: If the model or its weights are not available.
    """
    from scing_cli.core.encoders.clip import load_clip
    from scing_cli.core.encoders.encoder_file import encoder_digest, tensors_digest

    model, settings = run.info["model"], run.prompt_settings()
    clip = load_clip(
        model["model"],
        pretrained or model["pretrained"],
        stride=settings["stride"],
        size=parse_size(settings.get("image-size")),
        statistics=settings["statistics"],
        interpolation=settings.get("interpolation", "auto"),
        seed=settings["seed"],
        reporter=reporter,
    )
    found = encoder_digest(clip.image)
    if found != digest:
        raise RunError(
            f"{model['model']} ({model['pretrained']}) is not the model that the prompts of {run.path} were "
            f"trained with (visual {found[:8]}… instead of {digest[:8]}…).",
            "Give the original weights: --pretrained FILE. Or start over: scing train-prompts --data DIR",
        )
    if text_digest is not None and tensors_digest(clip.text.state_dict(), {}) != text_digest:
        raise RunError(
            f"The text encoder of {clip.name} ({clip.pretrained}) is not the one that {run.path} was trained with.",
            "Restore the original weights, or train again.",
        )
    return clip
