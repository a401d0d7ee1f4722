"""The message for a value of `--model` that no model has."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.encoders.local_copies import SUFFIXES, repository_of
from scing_cli.core.errors import WeightsError


def unknown_model(name: str, known: Sequence[str]) -> WeightsError:
    """Return the message: a weights file is named as such, a repository with its command, a name with close matches.

    Args:
        name: The value.
        known: The names of all models.
    """
    if Path(name).suffix in SUFFIXES:
        return WeightsError(
            f"--model {name} names a weights file, not a model.",
            "Name the CLIP that it was made from, and the file with --pretrained: --model NAME --pretrained FILE",
        )
    close = difflib.get_close_matches(name.replace("/", "-"), known, n=4, cutoff=0.5)
    near = f"Close matches: {', '.join(close)}." if close else f"Known: {', '.join(known)}."
    repository = repository_of(name)
    if repository is not None and not close:
        near = f"The hub's cache has no copy of it. Fetch one with hf download {repository}."
    return WeightsError(f"There is no model {name!r}.", f"{near} For your own model: --model FILE.json.")
