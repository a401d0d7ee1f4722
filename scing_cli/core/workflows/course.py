"""What holds a training together while it runs: one process at a time, saved on the way, cleared away at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.artifacts import FORMAT, STAGES, Run, holder_of, let_go, take_lock, write_json
from scing_cli.core.errors import InterruptionError, RunError, ScingError, counted
from scing_cli.core.runtime import Reporter
from scing_cli.core.training import Checkpoints, Interruption
from scing_cli.core.workflows.unfinished import (
    ANEW,
    LOCK,
    Unfinished,
    check_same,
    differences,
    read_unfinished,
    state_file,
    state_of,
)


@dataclasses.dataclass(frozen=True)
class Course:
    """What a training that runs is given.

    Args:
        checkpoints: Where its steps are saved.
        interruption: Puts Ctrl-C off while weights change.
    """

    checkpoints: Checkpoints
    interruption: Interruption


@contextlib.contextmanager
def course(wanted: Unfinished, *, resume: bool | None, minutes: float, reporter: Reporter) -> Iterator[Course]:
    """Hold a training together: one process at a time, saved while it runs, and cleared away when it is done.

    A start that fails before a step was saved leaves nothing behind.

    Args:
        wanted: The training.
        resume: False to begin anew where one is unfinished.
        minutes: Between two saves.
        reporter: Told that it goes on, and of interruptions.

    Raises:
        RunError: If another process trains there, or the unfinished training is another one.
        InterruptionError: On Ctrl-C or SIGTERM; what was learnt is saved.
    """
    folder, stage = wanted.folder, wanted.stage
    with _held(folder):
        _sweep(folder)
        earlier = None if resume is False else read_unfinished(folder, stage)
        checkpoints = Checkpoints(
            state_of(folder), STAGES[stage], facts=wanted.facts, minutes=minutes, reporter=reporter
        )
        if earlier is None:
            checkpoints.clear()
        else:
            check_same(earlier, wanted.facts, f"Go on as it began: --resume. {ANEW}")
            _say(earlier, wanted, reporter)
        interruption = Interruption(reporter)
        try:
            with interruption:
                _write(wanted if earlier is None else dataclasses.replace(wanted, machine=earlier.machine))
                yield Course(checkpoints, interruption)
        except BaseException as error:
            begun = _tidied(wanted, checkpoints)
            if isinstance(error, KeyboardInterrupt):
                raise _interrupted(wanted, checkpoints, interruption, begun=begun) from error
            raise
        state_file(folder, stage).unlink()
        shutil.rmtree(state_of(folder), ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Be the only training in a run folder; it is made where missing, and what was made and stays empty is removed."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = take_lock(folder / LOCK)
    except OSError as error:
        raise RunError(f"Cannot write {folder}: {error.strerror}.", "Choose another place for it: --run.") from error
    if handle is None:
        holder = holder_of(folder / LOCK)
        raise RunError(
            f"Another process is training in {folder}{holder}.", "Wait for its end, or name another folder: --run."
        )
    try:
        yield
    finally:
        let_go(folder / LOCK, handle)
        with contextlib.suppress(OSError):
            for place in made:
                place.rmdir()


def _write(wanted: Unfinished) -> None:
    content = {"format": FORMAT, "facts": wanted.facts, "given": wanted.given, "machine": wanted.machine}
    write_json(state_file(wanted.folder, wanted.stage), content)


def _say(earlier: Unfinished, wanted: Unfinished, reporter: Reporter) -> None:
    reporter.note(f"Going on with the unfinished {STAGES[wanted.stage]} in {wanted.folder}. {ANEW}")
    if other := differences(earlier.machine, wanted.machine):
        reporter.warn(f"The training began on another machine or with other versions ({other}): it may end otherwise.")


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed has left: only the holder of the lock writes here."""
    for place in (folder, state_of(folder), *(folder / stage for stage in STAGES)):
        for file in (*place.glob(".*.part"), *place.glob(".tmp*")):  # the latter are safetensors'
            file.unlink(missing_ok=True)
    for rehearsal in folder.glob(".rehearsal-*"):
        shutil.rmtree(rehearsal, ignore_errors=True)


def _tidied(wanted: Unfinished, checkpoints: Checkpoints) -> bool:
    """Remove what a training wrote that has saved nothing yet; tell whether it has."""
    if checkpoints.has_any() or Run(wanted.folder, {}).has(wanted.stage):
        return True
    shutil.rmtree(state_of(wanted.folder), ignore_errors=True)
    if wanted.stage == "prompts":
        run = Run(wanted.folder, {})
        for file in (run.path / "run.json", run.manifest, run.metrics):
            file.unlink(missing_ok=True)
    return False


def _interrupted(
    wanted: Unfinished, checkpoints: Checkpoints, interruption: Interruption, *, begun: bool
) -> ScingError:
    command = f"scing {STAGES[wanted.stage]} --resume --run {shlex.quote(str(wanted.folder))}"
    done = checkpoints.saved
    if not begun:
        what, remedy = "Interrupted before anything was saved.", "Run the command again."
    elif done is None:
        what, remedy = "Interrupted; what had been prepared is kept.", f"Go on with: {command}"
    else:
        what, remedy = f"Interrupted after {counted(done.steps, 'step')}: all saved.", f"Go on with: {command}"
    return InterruptionError(what, remedy, number=interruption.number or 2)
