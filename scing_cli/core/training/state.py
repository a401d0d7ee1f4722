"""What a training needs to go on after an interruption, on disk.

Every draw is a function of (seed, stage, epoch, step), so that is two integers, the weights and Adam's moments. In the
run's `state/`: `STAGE.json` says what the unfinished training stands on, `STAGE.EPOCH-STEP.safetensors` are the two
steps that were saved last, `STAGE.NAME.safetensors` is what was computed once before the first step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from scing_cli.core.artifacts import FORMAT, replacing, text_digest
from scing_cli.core.encoders.encoder_file import tensors_digest
from scing_cli.core.errors import RunError, ScingError
from scing_cli.core.runtime import Reporter
from scing_cli.core.safe_reading import check_ordinary

KEPT = 2
SHARE = 20  # an epoch's end is saved where that takes at most one in so many of the seconds since the last
MINUTES = 10.0
SUFFIX = ".safetensors"
_KINDS: Mapping[str, Any] = {"int": int, "float": (int, float), "Mapping[str, float]": dict}


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a training has come.

    Args:
        epoch: Whole epochs.
        step: Steps of the epoch after them.
        steps: Steps in all.
        images: Training rows they saw.
        seconds: Time they took.
        epoch_seconds: Time the unfinished epoch has taken.
        sums: Sums of each figure over the unfinished epoch's steps.
        norms: Gradient norms of its first step.
        first: Mean of each figure over the first epoch.
        last: Mean of each figure over the last whole epoch.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    images: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    sums: Mapping[str, float] = dataclasses.field(default_factory=dict)
    norms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    first: Mapping[str, float] = dataclasses.field(default_factory=dict)
    last: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Progress:
        """Return what was written as JSON.

        Raises:
            ValueError: If it is none.
        """
        content = json.loads(text)
        kinds = {field.name: _KINDS[str(field.type)] for field in dataclasses.fields(cls)}
        if not isinstance(content, dict) or content.keys() != kinds.keys():
            raise ValueError("no progress")
        if not all(isinstance(content[name], kind) for name, kind in kinds.items()):
            raise ValueError("no numbers")
        if min(content["epoch"], content["step"], content["steps"], content["images"]) < 0:
            raise ValueError("negative")
        return cls(**content)


class Checkpoints:
    """The saved steps of one unfinished training.

    Args:
        folder: The run's `state`.
        stage: The task's name.
        facts: What the training stands on; a step that was saved under other facts does not count.
        minutes: A step is saved when the last save is this long ago.
        reporter: Told of damage and of a full disk.
    """

    def __init__(
        self, folder: Path, stage: str, *, facts: Mapping[str, Any], minutes: float = MINUTES, reporter: Reporter
    ) -> None:
        self.folder = folder
        self.stage = stage
        self.facts = text_digest(json.dumps({"format": FORMAT, **facts}, sort_keys=True))
        self.minutes = minutes
        self.reporter = reporter
        self.saved: Progress | None = None
        self._time = time.monotonic()
        self._cost = 0.0  # seconds of the last save
        self._told = False  # that it cannot be saved

    def latest(self) -> Checkpoint | None:
        """Return the last saved step that is whole; None where none was saved.

        Raises:
            RunError: If all that were saved are damaged.
        """
        for file in reversed(self._files()):
            try:
                texts, tensors = _read(file, self.facts)
                progress = Progress.read(texts["progress"])
            except (RunError, KeyError, TypeError, ValueError) as error:
                reason = error.what if isinstance(error, RunError) else f"{file} holds no saved step."
                self.reporter.warn(f"{reason} The step saved before it is tried.")
            else:
                self.saved = progress
                return Checkpoint(progress, tensors)
        if self._files():
            raise RunError(f"No saved step in {self.folder} can be gone on from.", "Begin anew: --no-resume.")
        return None

    def due(self) -> bool:
        """Tell whether the last save is long enough ago."""
        return time.monotonic() - self._time >= 60 * self.minutes

    def worth_saving(self) -> bool:
        """Tell whether an epoch's end shall be saved: saving must not become the work."""
        return time.monotonic() - self._time >= SHARE * self._cost

    def save(self, progress: Progress, learnt: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Save a step, and remove all but the last two.

        Raises:
            ScingError: If it cannot be written; what was saved before is untouched.
        """
        if progress == self.saved:
            return
        start = time.monotonic()
        name = f"{progress.epoch:06}-{progress.step:06}"
        self._write(name, _tensors(learnt, optimiser), {"progress": json.dumps(dataclasses.asdict(progress))})
        for file in self._files()[:-KEPT]:
            file.unlink(missing_ok=True)
        self.saved, self._time, self._told = progress, time.monotonic(), False
        self._cost = self._time - start

    def save_if_possible(self, progress: Progress, learnt: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Save a step; a disk that is full for a while must not end the training."""
        try:
            self.save(progress, learnt, optimiser)
        except ScingError as error:
            self._time = time.monotonic()
            if not self._told:
                with contextlib.suppress(Exception, SystemExit):  # a stream that is closed is no reason to end either
                    self.reporter.warn(f"{error.what} The last steps are not saved; it is tried again.")
            self._told = True

    def dry_run(self, learnt: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Save once for trial, and remove it."""
        start = time.monotonic()
        self._write("dry-run", _tensors(learnt, optimiser), {})
        self._path("dry-run").unlink()
        self._time = time.monotonic()
        self._cost = self._time - start

    def keep(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return a tensor that was made before and kept under this name, or make it and keep it."""
        file = self._path(name)
        try:
            found = _read(file, self.facts)[1]["value"]
        except (RunError, KeyError):
            found = make()
            self._write(name, {"value": found}, {})
        return found

    def has_any(self) -> bool:
        """Tell whether anything is saved or kept."""
        return any(self.folder.glob(f"{self.stage}.*{SUFFIX}"))

    def clear(self) -> None:
        """Remove all of it: the training is done, or begins anew."""
        for file in self.folder.glob(f"{self.stage}.*{SUFFIX}"):
            file.unlink(missing_ok=True)
        self.saved = None

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.stage}.{name}{SUFFIX}"

    def _files(self) -> list[Path]:
        """Return the saved steps, the oldest first: their names sort by epoch and step."""
        return sorted(self.folder.glob(f"{self.stage}.[0-9]*-[0-9]*{SUFFIX}"))

    def _write(self, name: str, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
        whole = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        metadata = {**texts, "facts": self.facts}
        with replacing(self._path(name)) as temporary:
            try:
                save_file(whole, temporary, {**metadata, "digest": tensors_digest(whole, metadata)})
            except SafetensorError as error:
                raise RunError(f"Cannot write {self._path(name)}: {error}.", "Is the disk full?") from error


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A saved step.

    Args:
        progress: How far the training had come.
        tensors: The weights and the optimiser's moments.
    """

    progress: Progress
    tensors: Mapping[str, Tensor]

    def restore(self, learnt: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put weights and moments back.

        Raises:
            RunError: If they are of another model.
        """
        try:
            weights = {name[7:]: value for name, value in self.tensors.items() if name.startswith("learnt.")}
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in self.tensors.items():
                if name.startswith("optimiser."):
                    _, number, key = name.split(".")
                    moments.setdefault(int(number), {})[key] = value
            learnt.load_state_dict(weights)
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"The saved step is of another model: {error}", "Begin anew: --no-resume.") from error


def _tensors(learnt: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    found = {f"learnt.{name}": value for name, value in learnt.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        found |= {f"optimiser.{number}.{key}": value for key, value in moments.items()}
    return found


def _read(file: Path, facts: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read texts and tensors.

    Raises:
        RunError: If the file is missing or damaged, or was written by a training that stood on other facts.
    """
    try:
        check_ordinary(file)
        with safe_open(file, framework="pt") as source:
            texts = dict(source.metadata() or {})
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{file} cannot be read: {error}.") from error
    stamped = texts.pop("digest", "")
    if tensors_digest(tensors, texts) != stamped:
        raise RunError(f"{file} is damaged: its digest is another.")
    if texts.pop("facts", "") != facts:
        raise RunError(f"{file} is of a training with other settings or data.")
    return texts, tensors
