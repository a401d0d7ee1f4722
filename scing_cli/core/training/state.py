"""Saved steps of an unfinished training, from which it can resume.

Every random draw is a function of (seed, stage, epoch, step). Therefore epoch, step, weights and Adam's moments are
enough to resume. The folder `state/` of a run contains `STAGE.json` (settings, data and model of the training),
`STAGE.EPOCH-STEP.safetensors` (the last two saved steps) and `STAGE.NAME.safetensors` (tensors that are computed once,
before the first step).
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
from scing_cli.core.settings.schedule_settings import MINUTES

SAVED_STEPS = 2  # a damaged last file leaves the one before it
SHARE = 20  # the end of an epoch is saved if a save takes at most 1/20 of the time since the last one
SUFFIX = ".safetensors"
PREFIX = "learnt."  # of trained tensors in a file
_REMEDY = "Start over: --no-resume."
_KINDS: Mapping[str, Any] = {"int": int, "float": (int, float), "Mapping[str, float]": dict}


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress of a training.

    Args:
        epoch: Finished epochs.
        step: Steps of the unfinished epoch.
        steps: Steps in total.
        images: Training rows in all steps.
        seconds: Time of all steps.
        epoch_seconds: Time of the unfinished epoch.
        sums: Sum of each figure over the steps of the unfinished epoch.
        norms: Gradient norms of its first step.
        first: Mean of each figure over the first epoch.
        last: Mean of each figure over the last finished epoch.
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
        """Parse the JSON text of a progress.

        Raises:
            ValueError: If the text is not one.
        """
        content = json.loads(text)
        kinds = {field.name: _KINDS[str(field.type)] for field in dataclasses.fields(cls)}
        if not isinstance(content, dict) or content.keys() != kinds.keys():
            raise ValueError("not a progress")
        if not all(isinstance(content[name], kind) for name, kind in kinds.items()):
            raise ValueError("a value has another type")
        if min(content["epoch"], content["step"], content["steps"], content["images"]) < 0:
            raise ValueError("a count is negative")
        return cls(**content)


class Checkpoints:
    """The saved steps of one unfinished training.

    Args:
        folder: The folder `state` of the run.
        stage: Name of the task.
        facts: Settings, data and model; steps that were saved with other facts are not used.
        minutes: Time between two saves.
        reporter: Shows warnings about damaged files and a full disk.
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
        self._warned = False  # that the last save failed

    def latest(self) -> Checkpoint | None:
        """Return the last saved step that can be used; None if no step was saved.

        Raises:
            RunError: If all saved steps are damaged or belong to another training.
        """
        for file in reversed(self._files()):
            try:
                texts, tensors = _read(file, self.facts)
                progress = Progress.read(texts["progress"])
            except (RunError, KeyError, TypeError, ValueError) as error:
                reason = error.what if isinstance(error, RunError) else f"{file} does not contain a saved step."
                self.reporter.warn(f"{reason} Trying the step that was saved before it.")
            else:
                self.saved = progress
                return Checkpoint(progress, tensors)
        if self._files():
            raise RunError(f"No saved step in {self.folder} can be used to resume.", _REMEDY)
        return None

    def due(self) -> bool:
        """True if the last save is longer ago than `minutes`."""
        return time.monotonic() - self._time >= 60 * self.minutes

    def worth_saving(self) -> bool:
        """True if saving now costs little time compared with training."""
        return time.monotonic() - self._time >= SHARE * self._cost

    def save(self, progress: Progress, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Save a step, and remove all but the last two.

        Raises:
            ScingError: If the file cannot be written; earlier steps stay.
        """
        if progress == self.saved:
            return
        start = time.monotonic()
        name = f"{progress.epoch:06}-{progress.step:06}"
        self._write(name, _tensors(module, optimiser), {"progress": json.dumps(dataclasses.asdict(progress))})
        for file in self._files()[:-SAVED_STEPS]:
            file.unlink(missing_ok=True)
        self.saved, self._time, self._warned = progress, time.monotonic(), False
        self._cost = self._time - start

    def save_if_possible(self, progress: Progress, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Save a step; if that fails, warn once and continue: the disk may be full only for a while."""
        try:
            self.save(progress, module, optimiser)
        except ScingError as error:
            self._time = time.monotonic()
            if not self._warned:
                with contextlib.suppress(Exception, SystemExit):  # a closed stream must not end the training
                    self.reporter.warn(f"{error.what} The last steps are not saved; the next save will try again.")
            self._warned = True

    def dry_run(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Save a step to test the disk and to measure the time, then remove it."""
        start = time.monotonic()
        self._write("dry-run", _tensors(module, optimiser), {})
        self._path("dry-run").unlink()
        self._time = time.monotonic()
        self._cost = self._time - start

    def cached(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return the tensor stored under a name; compute and store it if there is none."""
        value = self.stored(name)
        if value is None:
            value = make()
            self.store(name, value)
        return value

    def stored(self, name: str) -> Tensor | None:
        """Return the tensor stored under a name; None if there is none."""
        try:
            return _read(self._path(name), self.facts)[1]["value"]
        except (RunError, KeyError):
            return None

    def store(self, name: str, value: Tensor) -> None:
        """Store a tensor under a name."""
        self._write(name, {"value": value}, {})

    def has_any(self) -> bool:
        """True if a step or a cached tensor is stored."""
        return any(self.folder.glob(f"{self.stage}.*{SUFFIX}"))

    def clear(self) -> None:
        """Remove all saved steps and cached tensors."""
        for file in self.folder.glob(f"{self.stage}.*{SUFFIX}"):
            file.unlink(missing_ok=True)
        self.saved = None

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.stage}.{name}{SUFFIX}"

    def _files(self) -> list[Path]:
        """Return the files of the saved steps, oldest first."""
        # epoch and step have leading zeros in the names
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
        progress: Progress of the training at this step.
        tensors: The weights and the optimiser's moments.
    """

    progress: Progress
    tensors: Mapping[str, Tensor]

    def restore(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Load weights and moments into a module and its optimiser.

        Raises:
            RunError: If they belong to another model.
        """
        try:
            weights = {
                name.removeprefix(PREFIX): value for name, value in self.tensors.items() if name.startswith(PREFIX)
            }
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in self.tensors.items():
                if name.startswith("optimiser."):
                    _, number, key = name.split(".")
                    moments.setdefault(int(number), {})[key] = value
            module.load_state_dict(weights)
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"The saved step belongs to another model: {error}", _REMEDY) from error


def _tensors(module: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {f"{PREFIX}{name}": value for name, value in module.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": value for key, value in moments.items()}
    return tensors


def _read(file: Path, facts: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read texts and tensors.

    Raises:
        RunError: If the file is missing or damaged, or was written by a training with other facts.
    """
    try:
        check_ordinary(file)
        with safe_open(file, framework="pt") as source:
            texts = dict(source.metadata() or {})
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise RunError(f"{file} cannot be read: {error}.") from error
    digest = texts.pop("digest", "")
    if tensors_digest(tensors, texts) != digest:
        raise RunError(f"{file} is damaged: its digest does not match.")
    if texts.pop("facts", "") != facts:
        raise RunError(f"{file} belongs to a training with other settings or data.")
    return texts, tensors
