"""Methods: what each one trains, and with which losses. A method is a row of `settings.METHODS` and a package here."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from torch import Tensor

from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.task import Batch, Batches, Cached, Key, Losses, Task, not_cached
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import PromptSettings, VisualSettings, find_method

__all__ = [
    "Batch",
    "Batches",
    "Cached",
    "Key",
    "Losses",
    "Method",
    "PromptTask",
    "Similarity",
    "Task",
    "load_method",
]


class PromptTask(Task, Protocol):
    """A stage 1: prepares once before the first step, and computes the text of each identity."""

    def prepare(self, batches_of: Batches, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Do the work that is needed once, before the first step.

        Args:
            batches_of: Lists of training rows -> batches with pixels, also if the steps read no images.
            reporter: Shows progress.
            cached: Stores slow results on disk, so that a resumed training does not compute them again.
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
            clip: On the training device; the method freezes it.
            features: V of every training image as the tower returns it, (N, D) float32, on the device.
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
            encoder: On the training device; all of its parameters are trained.
            texts: w_k, (K, D) float32, on the device.
            similarity: How stage 1 compared the texts with images.
            labels: (N,) classes, on the device.
            cameras: (N,) rows of the encoder's camera vectors, on the device; None for an encoder without them.
            precision: Of the tower.
        """
        ...


def load_method(name: str) -> Method:
    """Import the package of a method.

    Raises:
        SettingError: If the table has no such row; the message lists the rows.
    """
    return cast("Method", importlib.import_module(f"{__name__}.{find_method(name).module}"))
