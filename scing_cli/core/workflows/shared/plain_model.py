"""Opens a plain CLIP, without a run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.core.encoders import hub
from scing_cli.core.encoders.architecture import find_architecture
from scing_cli.core.errors import INDEX_AGAIN, IndexFileError, ScingError
from scing_cli.core.index import GalleryLocation
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import ordinary
from scing_cli.core.workflows.shared.model import FILES, ModelChoice, OpenedModel, files_of_model, openvino_cache

if TYPE_CHECKING:
    from scing_cli.core.encoders.spectral import AnyImageEncoder

MOVED = (
    "Give its folder or its weights file, where it is now: scing search --model PLACE. "
    f"Or embed the gallery again: {INDEX_AGAIN}"
)


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
    from scing_cli.core.encoders.spectral import LEFT_OUT, SpectralEncoder

    options = {each: getattr(choice, each) for each in ("stride", "seed", "statistics", "interpolation")}
    if choice.cameras:
        options |= {"cameras": list(choice.cameras), "camera_factor": choice.camera_factor}
    loaded = load_image_tower(name, choice.pretrained, reporter=reporter, **options)
    where = {"model": loaded.name, "pretrained": loaded.pretrained, **options}
    image: AnyImageEncoder = loaded.image
    if spectra := ordinary(choice.spectra):
        missing = choice.missing or LEFT_OUT
        image = SpectralEncoder(loaded.image, spectra, missing=missing)
        where |= {"spectra": list(spectra), "missing": missing}
    digest = encoder_digest(image)
    folders = (openvino_cache(digest),)
    return OpenedModel(digest, where, None, choice.cameras, folders, lambda: image, spectra=spectra)


def load_again(
    places: Sequence[Mapping[str, Any]], digest: str, *, source: GalleryLocation, reporter: Reporter
) -> AnyImageEncoder:
    """Load the plain model that made an index.

    Args:
        places: The index's `Stamp.model` with the places where the files may be, the preferred ones first.
        digest: The digest that the model must have.
        source: The index.
        reporter: Receives notes and warnings.

    Raises:
        IndexFileError: If the model does not exist any more or has changed, at every place.
    """
    known = {field.name for field in dataclasses.fields(ModelChoice)}
    choices = [ModelChoice(**{name: each[name] for name in each if name in known}) for each in places]
    faults = []
    for choice in dict.fromkeys(choices):
        try:
            opened = open_plain_model(choice, reporter)
        except ScingError as error:
            remedy = (
                MOVED if files_of_model(places[0]) else f"{error.remedy}\nOr embed the gallery again: {INDEX_AGAIN}"
            )
            what = f"{source} was made by a model that cannot be used: {error.what}"
        else:
            if opened.digest == digest:
                return opened.encoder
            theirs = f"{opened.label()} has (visual {opened.digest[:8]}…)"
            what = f"{source} was made by another model (visual {digest[:8]}…) than {theirs}."
            remedy = MOVED if files_of_model(places[0]) else f"Embed the gallery again: {INDEX_AGAIN}"
        faults.append(IndexFileError(what, remedy))
    raise faults[0]


def find_files(where: Mapping[str, Any], source: GalleryLocation, reporter: Reporter) -> dict[str, Any]:
    """Return `Stamp.model` with the files of a plain CLIP that lie where they lay, seen from the index."""
    found = dict(where)
    for key in files_of_model(where):
        near = Path(os.path.normpath(source.local.parent.resolve() / (where.get(FILES[key]) or "")))
        if near.is_file() and near.resolve() != Path(where[key]).resolve():
            found[key] = near.as_posix()
            reporter.note(f"The index's model was found at {near}.")
    return found
