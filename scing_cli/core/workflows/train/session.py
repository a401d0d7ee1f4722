"""What holds a training together while it runs: saved on the way, cleared away at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.artifacts import FORMAT, STAGES, Run, write_json
from scing_cli.core.errors import InterruptionError, RunError, ScingError, counted
from scing_cli.core.runtime import Reporter
from scing_cli.core.training import Checkpoints, Interruption
from scing_cli.core.workflows.train.unfinished import (
    ANEW,
    Unfinished,
    check_same,
    differences,
    read_unfinished,
    state_file,
    state_of,
)


@dataclasses.dataclass(frozen=True)
class TrainingSession:
    """What a training that runs is given.

    Args:
        checkpoints: Where its steps are saved.
        interruption: Puts Ctrl-C off while weights change.
    """

    checkpoints: Checkpoints
    interruption: Interruption


@contextlib.contextmanager
def training_session(
    wanted: Unfinished, *, resume: bool | None, minutes: float, reporter: Reporter
) -> Iterator[TrainingSession]:
    """Hold a training together: saved while it runs, and cleared away when it is done.

    A start that fails before a step was saved leaves nothing behind. The caller holds the run folder.

    Args:
        wanted: The training.
        resume: False to begin anew where one is unfinished; True to refuse where none is.
        minutes: Between two saves.
        reporter: Told that it goes on, and of interruptions.

    Raises:
        RunError: If the unfinished training is another one.
        InterruptionError: On Ctrl-C or SIGTERM; what was learnt is saved.
    """
    folder, stage = wanted.folder, wanted.stage
    checkpoints = Checkpoints(state_of(folder), STAGES[stage], facts=wanted.facts, minutes=minutes, reporter=reporter)
    earlier = _taken_up(wanted, checkpoints, resume=resume, reporter=reporter)
    interruption = Interruption()
    try:
        with interruption:
            _write(wanted if earlier is None else dataclasses.replace(wanted, machine=earlier.machine))
            yield TrainingSession(checkpoints, interruption)
    except BaseException as error:
        begun = _tidied(wanted, checkpoints)
        if interruption.number is not None and not isinstance(error, ScingError):  # or what it led to
            raise _interrupted(wanted, checkpoints, interruption.number, begun=begun) from error
        if begun and isinstance(error, ScingError):
            reporter.note(f"{_saved(checkpoints).capitalize()}. To go on: {_command(wanted)}")
        raise
    _clear(wanted, checkpoints)


def _taken_up(
    wanted: Unfinished, checkpoints: Checkpoints, *, resume: bool | None, reporter: Reporter
) -> Unfinished | None:
    """Return the unfinished training that goes on; where it shall not, or there is none, remove what is left of one."""
    folder, stage = wanted.folder, wanted.stage
    earlier = None if resume is False else read_unfinished(folder, stage)
    if earlier is None:
        if resume:
            raise RunError(f"--resume: the {STAGES[stage]} in {folder} is not unfinished any more.")
        _clear(wanted, checkpoints)
        if stage == "prompts":
            _forget(folder)
        return None
    check_same(earlier, wanted.facts, resume=resume)
    reporter.note(f"Going on with the unfinished {STAGES[stage]} in {folder}. {ANEW}")
    machine, now = dict(earlier.machine), dict(wanted.machine)
    if machine.pop("images", None) != now.pop("images", None):
        reporter.warn("Images were written since the training began: it may end otherwise than it would have.")
    if other := differences(machine, now):
        reporter.warn(f"The training began on another machine or with other versions ({other}): it may end otherwise.")
    return earlier


def _write(wanted: Unfinished) -> None:
    content = {"format": FORMAT, "facts": wanted.facts, "given": wanted.given, "machine": wanted.machine}
    write_json(state_file(wanted.folder, wanted.stage), content)


def _clear(wanted: Unfinished, checkpoints: Checkpoints) -> None:
    """Remove what an unfinished training needs; the file that says there is one goes first."""
    state_file(wanted.folder, wanted.stage).unlink(missing_ok=True)
    checkpoints.clear()
    with contextlib.suppress(OSError):  # the other stage's may be there
        state_of(wanted.folder).rmdir()


def _forget(folder: Path) -> None:
    """Remove what a first stage writes before it has learnt anything."""
    run = Run(folder, {})
    for file in (run.path / "run.json", run.manifest, run.metrics):
        file.unlink(missing_ok=True)


def _tidied(wanted: Unfinished, checkpoints: Checkpoints) -> bool:
    """Remove what a training wrote that has saved nothing yet; tell whether it has."""
    if checkpoints.has_any() or Run(wanted.folder, {}).has(wanted.stage):
        return True
    _clear(wanted, checkpoints)
    if wanted.stage == "prompts":
        _forget(wanted.folder)
    return False


def _command(wanted: Unfinished) -> str:
    return f"scing {STAGES[wanted.stage]} --resume --run {shlex.quote(str(wanted.folder))}"


def _interrupted(wanted: Unfinished, checkpoints: Checkpoints, number: int, *, begun: bool) -> ScingError:
    if not begun:
        return InterruptionError("Interrupted before anything was saved.", "Run the command again.", number=number)
    return InterruptionError(f"Interrupted; {_saved(checkpoints)}.", f"Go on with: {_command(wanted)}", number=number)


def _saved(checkpoints: Checkpoints) -> str:
    """Say what is saved of a training."""
    done = checkpoints.saved
    return f"saved: {counted(done.steps, 'step')}" if done else "what was saved before is kept"
