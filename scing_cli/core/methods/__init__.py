"""What is learnt and with which losses: one row of `settings.METHODS` and one folder per method."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from torch import Tensor

from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.task import Batch, Batches, Keep, Key, Losses, Task, no_memo
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import PromptSettings, VisualSettings, find_method

__all__ = [
    "Batch",
    "Batches",
    "Keep",
    "Key",
    "Losses",
    "Method",
    "PromptTask",
    "Similarity",
    "Task",
    "load_method",
]


class PromptTask(Task, Protocol):
    """A first stage: it may read images before its first step, and can say each identity's text."""

    def prepare(self, batches_of: Batches, reporter: Reporter, keep: Keep = no_memo) -> None:
        """Do what is done once, before the first step.

        Args:
            batches_of: Lists of training rows -> batches with pixels, whether or not the steps read images.
            reporter: Shows progress.
            keep: Keeps what takes long to make, for a training that goes on after an interruption.
        """
        ...

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


def load_method(name: str) -> Method:
    """Return a method by its name.

    Raises:
        SettingError: If the table has no such row; the message lists the rows.
    """
    return cast("Method", importlib.import_module(f"{__name__}.{find_method(name).module}"))
