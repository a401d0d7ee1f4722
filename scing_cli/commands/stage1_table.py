"""The table of stage 1 of a settings file that is read with another method than its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.commands.console import Terminal
from scing_cli.core.settings import PromptSettings, find_method, unread


def stage1_table(
    table: Mapping[str, Any], method: str | None, config: Path | None, terminal: Terminal
) -> dict[str, Any]:
    """Return the table without what a method that trains nothing in stage 1 does not read there, and note it.

    So the control row of a method reads the same file. A file of the method itself stays as it is.

    Args:
        table: The table `[train-prompts]`.
        method: The method of the command line, which overrides the file's; None if none was given.
        config: The file.
        terminal: Receives the note.

    Raises:
        SettingError: If there is no such method.
    """
    own = table.get("method", PromptSettings.model_fields["method"].default)
    if method is None or method == own or find_method(method).trains_prompts:
        return dict(table)
    idle = unread(method)
    passed = [key for key in table if key.replace("-", "_") in idle]
    if passed:
        terminal.note(
            f"--method {method} trains nothing in stage 1: it passes over {', '.join(passed)} of [train-prompts] "
            f"in {config}."
        )
    return {key: value for key, value in table.items() if key not in passed}
