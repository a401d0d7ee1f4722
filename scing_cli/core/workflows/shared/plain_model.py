"""Opens a plain CLIP, without a run."""

from __future__ import annotations

from scing_cli.core.encoders import hub
from scing_cli.core.encoders.architecture import find_architecture
from scing_cli.core.errors import ScingError
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, openvino_cache


def check_plain(choice: ModelChoice, reporter: Reporter) -> str:
    """Return the name of a plain model after checking, without torch, that it and its weights are there.

    Raises:
        ScingError: If no weights were named, and none ship with this package.
        WeightsError: If the model is unknown, or its weights are not available.
    """
    if choice.model is None or (choice.pretrained is None and not hub.has_own_weights(choice.model)):
        if choice.model is not None:
            find_architecture(choice.model)  # an unknown name is the first thing to mend
        raise ScingError(
            f"--model {choice.model} needs --pretrained.",
            "For example: --pretrained openai, --pretrained FILE or --pretrained random",
        )
    hub.locate(choice.model, choice.pretrained, reporter=reporter)
    return choice.model


def open_plain_model(choice: ModelChoice, reporter: Reporter) -> OpenedModel:
    """Load a plain model.

    Raises:
        ScingError: As for `check_plain`.
        WeightsError: As for `check_plain`, or if the weights are not of this model.
    """
    name = check_plain(choice, reporter)
    from scing_cli.core.encoders.clip import load_image_tower
    from scing_cli.core.encoders.encoder_file import encoder_digest

    options = {each: getattr(choice, each) for each in ("stride", "seed", "statistics", "interpolation")}
    if choice.cameras:
        options |= {"cameras": list(choice.cameras), "camera_factor": choice.camera_factor}
    loaded = load_image_tower(name, choice.pretrained, reporter=reporter, **options)
    where = {"model": loaded.name, "pretrained": loaded.pretrained, **options}
    image = loaded.image
    digest = encoder_digest(image)
    return OpenedModel(digest, where, None, choice.cameras, (openvino_cache(digest),), lambda: image)
