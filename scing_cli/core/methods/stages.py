"""The stages of a method: what each one reads, how its task is built, and how its result is saved.

Shapes: N training rows, D joint width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.spectral import AnyImageEncoder
from scing_cli.core.methods.task import Batches, Cached, Task, not_cached
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import PromptSettings, VisualSettings


class PromptTask(Task, Protocol):
    """A stage 1: it can prepare once before the first step."""

    def prepare(self, batches_of: Batches, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Do the work that is needed once, before the first step.

        Args:
            batches_of: Lists of training rows -> batches with pixels, also if the steps read no images.
            reporter: Shows progress.
            cached: Stores slow results on disk, so that a resumed training does not compute them again.
        """
        ...


class Stage1Result(Protocol):
    """What a stage 1 saved, from which stage 2 starts."""

    @property
    def identities(self) -> tuple[str, ...]:
        """Names of the training identities, in the order of their classes."""
        ...

    @property
    def model_digest(self) -> str:
        """Digest of the image encoder that stage 1 started from."""
        ...

    @property
    def text_digest(self) -> str | None:
        """Digest of the frozen text encoder, if stage 2 starts from it too."""
        ...

    def digest(self) -> str:
        """Return the digest of what stage 2 uses."""
        ...

    def summary(self) -> str:
        """Return what stage 2 uses as it is, in words."""
        ...


@dataclasses.dataclass(frozen=True)
class Origin:
    """Facts that are saved with the result of stage 1.

    Args:
        identities: Names of the training identities, in the order of their classes.
        model_digest: Digest of the image encoder that the stage started from.
        text_digest: Digest of the frozen text encoder.
        logit_scale: CLIP's, 1 / tau.
        extra: Further entries of the stamp.
    """

    identities: tuple[str, ...]
    model_digest: str
    text_digest: str
    logit_scale: float
    extra: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class StageInputs:
    """All that a task may be built from.

    Args:
        clip: Both towers; those that the stage uses are on the training device.
        labels: (N,) classes of the training rows, on the device.
        precision: Of the towers (R17).
        features: V of every training image as the tower returns it, (N, D) float32, on the device; None unless the
            stage asks for it.
        captions: The caption of each row; empty where rows are images.
        objects: What one identity is, for prompts: `person` or `vehicle`.
        cameras: (N,) rows of the encoder's camera vectors (R15), on the device; None for an encoder without them.
        camera_names: The camera of each training row; empty in stage 1.
        earlier: What stage 1 saved; None in stage 1.
        note: Shows a message about what the task changes of the settings or the data.
    """

    clip: ClipModel
    labels: Tensor
    precision: str
    features: Tensor | None = None
    captions: Sequence[str] = ()
    objects: str = "person"
    cameras: Tensor | None = None
    camera_names: Sequence[str] = ()
    earlier: Stage1Result | None = None
    note: Callable[[str], object] = str


@dataclasses.dataclass(frozen=True)
class PromptStage:
    """Stage 1 of a method, `train-prompts`: both towers are frozen, or the text tower alone (R22).

    Args:
        build: Makes the task; None if the stage trains nothing.
        save: Writes the result of a task, or of none, to the run's folder of stage 1.
        load: Reads and checks what `save` wrote; None for a method without stage 2.
        use_features: Gives a task V of every training image again, where its steps changed the image encoder (R22);
            None if it needs no V.
        parts: The first part of a trained parameter's name -> its name in messages, where the two differ.
        encoder: Returns the image encoder that a task has trained; None for a method whose stage 2 does that.
    """

    build: Callable[[PromptSettings, StageInputs], PromptTask] | None
    save: Callable[[Path, Any, PromptSettings, Origin], None]
    load: Callable[[Path], Stage1Result] | None
    use_features: Callable[[Any, Tensor], None] | None = None
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    encoder: Callable[[Any], AnyImageEncoder] | None = None
    name: str = "train-prompts"


@dataclasses.dataclass(frozen=True)
class VisualStage:
    """Stage 2 of a method, `train-visual`: it tunes whole towers, which are its result.

    Args:
        build: Makes the task.
        towers: The towers of CLIP that it trains: `image`, or `image` and `text`.
        parts: The first part of a trained parameter's name -> its name in messages.
        reads_features: Settings -> whether the task needs V of every training image; None if it never does.
        finish: Called with the task after the last step, before the towers are saved; None for nothing.
    """

    build: Callable[[VisualSettings, StageInputs], Task]
    towers: Sequence[str] = ("image",)
    parts: Mapping[str, str] = dataclasses.field(
        default_factory=lambda: {"encoder": "image encoder", "objective": "heads"}
    )
    reads_features: Callable[[VisualSettings], bool] | None = None
    finish: Callable[[Any], None] | None = None
    name: str = "train-visual"


Stage = PromptStage | VisualStage
