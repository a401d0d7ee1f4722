"""`scing embed --prune` without `--append`: drop rows of an index, and embed nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import check_machine, not_with

if TYPE_CHECKING:
    from scing_cli.core.workflows.embed.embed_report import EmbedReport


def prune_only(
    index: Path,
    given: Mapping[str, Any],
    usual: Mapping[str, tuple[Any, Any]],
    machine: tuple[str, str, int | None, int],
    terminal: Terminal,
) -> EmbedReport:
    """Drop the rows whose files are missing.

    Args:
        index: The index.
        given: Options that have no effect here, by name; None for one that was not given.
        usual: The same for options that are never None: value and default.
        machine: Device, precision, workers and batch size; they are only checked.
        terminal: Receives notes.

    Raises:
        SettingError: If an option was given that has no effect here.
        IndexFileError: If there is no such index, or it cannot be written.
    """
    force = {"force": given["force"]}
    not_with("--prune without --append", {name: value for name, value in given.items() if name not in force}, **usual)
    not_with("--prune", force)
    check_machine(*machine)
    from scing_cli.core.workflows.embed.prune import prune_index

    return prune_index(index, reporter=terminal)
