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
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.task import Batch, Key, Losses, Task

__all__ = [
    "METHODS",
    "Batch",
    "Key",
    "Losses",
    "Method",
    "MethodSpec",
    "PromptTask",
    "Similarity",
    "Task",
    "check_settings",
    "load_method",
]


class PromptTask(Task, Protocol):
    """A first stage: besides learning, it can say each identity's text."""

    def identity_texts(self, *, kind: str = "mean-condition") -> Tensor:
        """Return w_k, (K, D) float32, in the order of the identity map; unit length where cosines are compared."""
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
            features: V of every training image as the tower gives it, (N, D) float32, on the device.
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
        similarity: Similarity,
        labels: Tensor,
        cameras: Tensor | None,
        precision: str,
    ) -> Task:
        """Build stage 2.

        Args:
            settings: Checked settings.
            encoder: On the training device; all of it is learnt.
            texts: w_k, (K, D) float32, on the device.
            similarity: How stage 1 compared them with images.
            labels: (N,) classes, on the device.
            cameras: (N,) places of the encoder's camera vectors, on the device; None for an encoder without.
            precision: Of the tower.
        """
        ...


@dataclasses.dataclass(frozen=True)
class MethodSpec:
    """One row of the table.

    Args:
        summary: One line for `--help` and messages.
        module: The package that is a `Method`.
        reads: The settings of stage 1 that not every method reads, and this one does.
    """

    summary: str
    module: str
    reads: tuple[str, ...] = ()


CONDITION = ("identity_text",)
SVIP = ("gate", "fused_tokens")
PDCA = ("consistency", "consistency_weight", "feature_dropout", "occlusion", "flip", "erase", "crop")

METHODS: Mapping[str, MethodSpec] = {
    "scing": MethodSpec(
        "SVIP gated visual prompts and PDCA consistency", "scing_cli.core.methods.scing", (*CONDITION, *SVIP, *PDCA)
    ),
    "clip-reid": MethodSpec("each identity's own tokens, the baseline", "scing_cli.core.methods.clip_reid"),
    "cocoop": MethodSpec("a meta-net adds the image to every token", "scing_cli.core.methods.cocoop", CONDITION),
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


def check_settings(settings: PromptSettings) -> None:
    """Refuse what was given, by option or file, and the method does not read.

    Raises:
        SettingError: Naming those settings; or if there is no such method.
    """
    load_method(settings.method)
    some = {name for spec in METHODS.values() for name in spec.reads} - set(METHODS[settings.method].reads)
    given = [f"--{name.replace('_', '-')}" for name in PromptSettings.model_fields if name in some]
    given = [option for option in given if option[2:].replace("-", "_") in settings.model_fields_set]
    if given:
        raise SettingError(
            f"{', '.join(given)}: --method {settings.method} has no use for {'it' if len(given) == 1 else 'them'}.",
            "Leave out what belongs to another method, on the command line and in the --config file.",
        )
