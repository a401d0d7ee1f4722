"""Run a training so that it can resume: it is saved while it runs, and its state is removed when it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from scing_cli.core.artifacts import FORMAT, STAGES, Run, write_json
from scing_cli.core.errors import InterruptionError, RunError, ScingError, counted
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.processes.launched_record import write_run
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.train.unfinished import (
    START_OVER,
    Unfinished,
    check_same,
    differences,
    read_unfinished,
    state_file,
    state_folder,
)

if TYPE_CHECKING:
    from torch import Tensor


class TrainingSession:
    """One training in a run folder that the caller has locked.

    Args:
        training: The training to start or to resume.
        minutes: Between two saved steps.
        reporter: Shows notes about resuming and about interruptions.
        group: The processes of the training; the first one alone writes into the run folder.
    """

    def __init__(
        self, training: Unfinished, *, minutes: float, reporter: Reporter, group: ProcessGroup = ALONE
    ) -> None:
        from scing_cli.core.training import Checkpoints, Interruption

        self.training = training
        self.reporter = reporter
        self.group = group
        self.checkpoints = Checkpoints(
            state_folder(training.folder), self._command, facts=training.facts, minutes=minutes, reporter=reporter
        )
        self.interruption = Interruption()

    @contextlib.contextmanager
    def running(self, *, resume: bool | None) -> Iterator[TrainingSession]:
        """Start or resume the training, which runs in the block; remove its state after success.

        If it fails before a step was saved, all its files are removed.

        Args:
            resume: True if there must be an unfinished training; False to start over; None to resume if there is one.

        Raises:
            RunError: If the unfinished training has other facts, or there is none to resume; or the processes differ.
            InterruptionError: On Ctrl-C or SIGTERM; the last step is saved.
        """
        self._check_equal()
        machine = self.group.from_first(lambda: self._machine_of_start(resume=resume))
        try:
            with self.interruption:
                if self.group.is_first:
                    self._write(dataclasses.replace(self.training, machine=machine))
                    write_run(self.training.folder)
                yield self
        except BaseException as error:
            number = self.interruption.number
            if not self.group.is_first:  # the first process alone knows what is saved
                if number is not None and not isinstance(error, ScingError):
                    raise InterruptionError("Interrupted.", "", number=number) from error
                raise
            saved = self._discard_unless_saved()
            if isinstance(error, InterruptionError):  # of another process
                raise self._interruption_error(error.number, saved=saved) from error
            # a signal may surface as another error, of a library for example
            if number is not None and not isinstance(error, ScingError):
                raise self._interruption_error(number, saved=saved) from error
            if saved and isinstance(error, ScingError):
                self.reporter.note(f"{self._saved_steps().capitalize()}. To resume: {self._resume_command()}")
            raise
        if self.group.is_first:
            self._clear()

    def _check_equal(self) -> None:
        """Check that all processes train the same model on the same data.

        Raises:
            RunError: If they do not; the message names what differs.
        """
        first = self.group.from_first(lambda: dict(self.training.facts))
        other = differences(first, self.training.facts)
        for rank, text in enumerate(self.group.everyone(other)):
            if text:
                what = f"Process {rank} would train something else than process 0: {text}."
                raise RunError(what, "Give all machines the same weights and the same images.")

    def cached(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Return the tensor stored under a name; compute it in all processes, and store it, if there is none."""
        if self.group.size == 1:
            return self.checkpoints.cached(name, make)
        stored = self.checkpoints.stored(name) if self.group.is_first else None
        if self.group.from_first(lambda: stored is not None):
            return self.group.tensors_of_first(None if stored is None else {"value": stored})["value"]
        value = make()
        self.group.from_first(lambda: self.checkpoints.store(name, value))
        return value

    @property
    def _command(self) -> str:
        return STAGES[self.training.stage]

    def _machine_of_start(self, *, resume: bool | None) -> dict[str, object]:
        """Return the machine on which the training started. If it does not resume, remove remains of another one."""
        folder, stage = self.training.folder, self.training.stage
        earlier = None if resume is False else read_unfinished(folder, stage)
        if earlier is None:
            if resume:
                raise RunError(f"--resume: there is no longer an unfinished {self._command} in {folder}.")
            self._discard()
            return dict(self.training.machine)
        check_same(earlier, self.training.facts, resume=resume)
        self.reporter.note(f"Resuming the unfinished {self._command} in {folder}. {START_OVER}")
        start, now = dict(earlier.machine), dict(self.training.machine)
        for machine in (start, now):  # what one process alone does not tell
            machine.setdefault("processes", 1)
            machine.setdefault("gradients", "fp32")
        if start.pop("images", None) != now.pop("images", None):
            self.reporter.warn("Image files were modified since the training started: its result may differ.")
        if other := differences(start, now):
            self.reporter.warn(
                f"The training started on another machine or with other versions ({other}): its result may differ."
            )
        return dict(earlier.machine)

    def _write(self, training: Unfinished) -> None:
        content = {"format": FORMAT, "facts": training.facts, "given": training.given, "machine": training.machine}
        write_json(state_file(training.folder, training.stage), content)

    def _clear(self) -> None:
        """Remove the state of the training."""
        # the file that marks the training as unfinished goes first: without it, remains are never resumed
        state_file(self.training.folder, self.training.stage).unlink(missing_ok=True)
        self.checkpoints.clear()
        with contextlib.suppress(OSError):  # not empty if the other stage is unfinished
            state_folder(self.training.folder).rmdir()

    def _discard(self) -> None:
        """Remove the state, and for stage 1 also the files that it writes before its first step."""
        self._clear()
        if self.training.stage == "prompts":
            run = Run(self.training.folder, {})
            for file in (run.path / "run.json", run.manifest, run.metrics):
                file.unlink(missing_ok=True)

    def _discard_unless_saved(self) -> bool:
        """Return whether anything is saved; if not, remove all files of the training."""
        saved = self.checkpoints.has_any() or Run(self.training.folder, {}).has(self.training.stage)
        if not saved:
            self._discard()
        return saved

    def _interruption_error(self, number: int, *, saved: bool) -> ScingError:
        if not saved:
            what, remedy = "Interrupted before anything was saved.", "Run the command again."
            return InterruptionError(what, remedy, number=number, again=True)
        remedy = f"Resume with: {self._resume_command()}"
        return InterruptionError(f"Interrupted; {self._saved_steps()}.", remedy, number=number)

    def _resume_command(self) -> str:
        several = f" --processes {self.group.local_size}" if self.group.size > 1 else ""
        return f"scing {self._command} --resume --run {shlex.quote(str(self.training.folder))}{several}"

    def _saved_steps(self) -> str:
        progress = self.checkpoints.saved
        return f"saved: {counted(progress.steps, 'step')}" if progress else "earlier saved steps are still there"
