"""Choose the run of `train-visual`, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.commands.console import Terminal
from scing_cli.core.settings import VisualSettings, build_settings, of_method


def chosen_run(
    run: Path | None,
    name: str | None,
    table: Mapping[str, Any] | None,
    picked: Mapping[str, Any],
    resume: bool | None,
    terminal: Terminal,
) -> tuple[Path, str | None, VisualSettings]:
    """Return the run whose stage 1 is used, the name of a new run if there is to be one, and the settings.

    The settings are those of the file, or without one those that stage 1 kept; options override them.
    """
    from scing_cli.core.workflows.train.visual_choice import choose_visual_run, existing_branch, planned_settings

    def build(planned: Mapping[str, Any], method: str) -> VisualSettings:
        settings = build_settings(VisualSettings, planned if table is None else table, {**picked, "method": method})
        return of_method(settings, method)

    run, name = existing_branch(run, name)
    opened, settings = choose_visual_run(run, build, resume=resume if name is None else False, reporter=terminal)
    if table is None and (planned := planned_settings(opened)):
        kept = ", ".join(f"{key} {value}" for key, value in planned.items() if key.replace("-", "_") not in picked)
        if kept:
            terminal.note(f"Settings of stage 2 from the settings file of stage 1: {kept}.")
    return opened.path, name, settings
