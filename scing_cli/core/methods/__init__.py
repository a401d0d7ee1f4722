"""What is learnt and with which losses: one table row and one folder per method."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from typing import Protocol, cast

from torch import Tensor

from scing_cli.core.config import PromptSettings, VisualSettings
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.errors import SettingError
from scing_cli.core.methods.task import Batch, Key, Losses, Task

__all__ = ["METHODS", "Batch", "Key", "Losses", "Method", "MethodSpec", "PromptTask", "Task", "load_method"]


class PromptTask(Task, Protocol):
    """A first stage: besides learning, it can say each identity's text."""

    def identity_texts(self, *, kind: str = "mean-condition") -> Tensor:
        """Return w_k, (K, D) float32 unit length, in the order of the identity map."""
        ...


class Method(Protocol):
    """What a method's package offers."""

    def prompt_task(
        self, settings: PromptSettings, *, clip: ClipModel, features: Tensor, labels: Tensor, precision: str
    ) -> PromptTask:
        """Build stage 1.

        Args:
            settings: Checked settings.
            clip: On the training device; it is frozen here.
            features: V of every training image, (N, D) float32 unit length, on the device.
            labels: (N,) classes, on the device.
            precision: Of the towers.
        """
        ...

    def visual_task(
        self,
        settings: VisualSettings,
        *,
        encoder: ImageEncoder,
        texts: Tensor,
        labels: Tensor,
        logit_scale: float,
        precision: str,
    ) -> Task:
        """Build stage 2.

        Args:
            settings: Checked settings.
            encoder: On the training device; all of it is learnt.
            texts: w_k, (K, D) float32 unit length, on the device.
            labels: (N,) classes, on the device.
            logit_scale: CLIP's own.
            precision: Of the tower.
        """
        ...


@dataclasses.dataclass(frozen=True)
class MethodSpec:
    """One row of the table.

    Args:
        summary: One line for `--help` and messages.
        module: The package that is a `Method`.
    """

    summary: str
    module: str


METHODS: Mapping[str, MethodSpec] = {
    "scing": MethodSpec("SVIP gated visual prompts and PDCA consistency", "scing_cli.core.methods.scing"),
}


def load_method(name: str) -> Method:
    """Return a method by its name.

    Raises:
        SettingError: If the table has no such row; the message lists the rows.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        known = "; ".join(f"{key} ({spec.summary})" for key, spec in METHODS.items())
        hint = f"Did you mean {close[0]}? " if close else ""
        raise SettingError(f"--method {name!r} is unknown.", f"{hint}Known: {known}.")
    return cast("Method", importlib.import_module(METHODS[name].module))
