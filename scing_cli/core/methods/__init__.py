"""Methods: what each one trains, and with which losses. A method is a row of `settings.METHODS` and a package here."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.stages import Origin, PromptStage, PromptTask, Stage1Result, StageInputs, VisualStage
from scing_cli.core.methods.task import Batch, Batches, Cached, Key, Losses, Task, not_cached
from scing_cli.core.settings import find_method

__all__ = [
    "Batch",
    "Batches",
    "Cached",
    "Key",
    "Losses",
    "Method",
    "Origin",
    "PromptStage",
    "PromptTask",
    "Similarity",
    "Stage1Result",
    "StageInputs",
    "Task",
    "VisualStage",
    "load_method",
    "not_cached",
]


class Method(Protocol):
    """What a method's package offers.

    Args:
        stages: Its stages, in the order in which they are trained; None for a stage 2 that it does not have.
    """

    stages: tuple[PromptStage, VisualStage | None]


def load_method(name: str) -> Method:
    """Import the package of a method.

    Raises:
        SettingError: If the table has no such row; the message lists the rows.
    """
    return cast("Method", importlib.import_module(f"{__name__}.{find_method(name).module}"))
