"""Choose the run and the settings of a stage 2."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import BRANCHED, RUNS, Run, branch_run, choose_run, open_run
from scing_cli.core.errors import RunError, ScingError
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import VisualSettings, saved_settings
from scing_cli.core.workflows.train.run_lock import is_locked
from scing_cli.core.workflows.train.unfinished import all_unfinished, check_stage2, state_folder

PLANNED = "planned"
Build = Callable[[Mapping[str, Any], str], VisualSettings]


def choose_visual_run(
    run: Path | None, build: Build, *, resume: bool | None, reporter: Reporter
) -> tuple[Run, VisualSettings]:
    """Return the run whose stage 1 is used, and the settings of stage 2.

    Args:
        run: The named run; None for one in `runs/`: the one with the same training if that is unfinished, else the
            newest with prompts.
        build: Makes the settings from those that stage 1 kept for stage 2, and the method.
        resume: False to start over.
        reporter: Receives notes and warnings.

    Raises:
        RunError: If there is no such run, or its method has no stage 2.
        SettingError: If the settings are not valid.
    """
    if run is None and resume is not False and (same := _same(build)) is not None:
        return same
    opened = choose_run(run, stage="prompts", warn=reporter.warn)
    if run is None:
        reporter.note(f"Using the newest run with prompts: {opened.path}")
    return opened, _built(opened, build)


def existing_branch(run: Path | None, name: str | None) -> tuple[Path | None, str | None]:
    """Return run and name; where `name` in `runs/` was made by `branched`, that run without a name.

    Without this, a command that is repeated to resume would take the new run, which is the newest, as its source.
    """
    if run is not None or not name or not (RUNS / name / "run.json").is_file():
        return run, name
    there = open_run(RUNS / name)
    return (there.path, None) if BRANCHED in there.info else (run, name)


@contextlib.contextmanager
def branched(run: Run, name: str | None) -> Iterator[Run]:
    """Yield the run itself, or with a name a new run next to it with its stage 1.

    A run that was created here is removed if the training fails before anything is saved.
    """
    if name is None:
        yield run
        return
    was_there = (run.path.parent / name).exists()
    branch = branch_run(run, name)
    try:
        yield branch
    except BaseException:
        if not was_there and not branch.has("visual") and not state_folder(branch.path).exists():
            shutil.rmtree(branch.path, ignore_errors=True)
        raise


def planned_settings(run: Run) -> Mapping[str, Any]:
    """Return the settings that the file of stage 1 had for stage 2; empty if it had none.

    Raises:
        RunError: If run.json has something else there.
    """
    planned = run.info.get(PLANNED, {})
    table = planned.get("train-visual", {}) if isinstance(planned, dict) else None
    if not isinstance(table, dict):
        raise RunError(f"{run.path / 'run.json'} has no valid settings for stage 2.", "Choose another run with --run.")
    return table


def _built(run: Run, build: Build) -> VisualSettings:
    check_stage2(run)
    return build(planned_settings(run), run.prompt_settings()["method"])


def _same(build: Build) -> tuple[Run, VisualSettings] | None:
    """Return the newest unfinished training with the settings that its run would get now, unless it is running."""
    for training in all_unfinished("visual"):
        try:
            opened = open_run(training.folder)
            settings = _built(opened, build)
        except ScingError:  # damaged, or its settings do not fit these options
            continue
        if training.facts["settings"] == saved_settings(settings) and not is_locked(training.folder):
            opened.need("prompts")
            return opened, settings
    return None
