"""`scing embed --prune` or `--compact` without `--append`: keep an index in order, and embed nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import check_machine, not_with

if TYPE_CHECKING:
    from scing_cli.core.workflows.embed.embed_report import EmbedReport


def upkeep(
    index: Path,
    work: tuple[bool, bool],
    given: Mapping[str, Any],
    usual: Mapping[str, tuple[Any, Any]],
    machine: tuple[str, str, int | None, int],
    terminal: Terminal,
) -> EmbedReport:
    """Drop the rows whose files are missing, write the index as two files, or both.

    Args:
        index: The index.
        work: Whether to prune, and whether to compact.
        given: Options that have no effect here, by name; None for one that was not given.
        usual: The same for options that are never None: value and default.
        machine: Device, precision, workers and batch size; they are only checked.
        terminal: Receives notes.

    Raises:
        SettingError: If an option was given that has no effect here.
        IndexFileError: If there is no such index, or it cannot be written.
    """
    force = {"force": given["force"]}
    prune, compact = work
    option = "--prune" if prune else "--compact"
    not_with(f"{option} without --append", {name: value for name, value in given.items() if name not in force}, **usual)
    not_with(option, force)
    check_machine(*machine)
    from scing_cli.core.workflows.embed.upkeep import keep_index

    return keep_index(index, prune=prune, compact=compact, reporter=terminal)
