"""`scing embed` without images: `--prune` or `--compact` without `--append`, and `--merge`. Nothing is embedded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import check_machine, not_with

if TYPE_CHECKING:
    from scing_cli.core.workflows.embed.embed_report import EmbedReport


@dataclasses.dataclass(frozen=True)
class Upkeep:
    """The work on an index.

    Args:
        index: The index.
        prune: Drop the rows whose files are missing.
        compact: Write it as two files.
        merge: Join its shards.
        index_type: The type of an index of shards.
        force: Replace an index by one of shards.
    """

    index: Path
    prune: bool
    compact: bool
    merge: bool
    index_type: str
    force: bool

    @property
    def option(self) -> str:
        """The option that asks for it."""
        return "--merge" if self.merge else "--prune" if self.prune else "--compact"


def upkeep(
    work: Upkeep,
    given: Mapping[str, Any],
    usual: Mapping[str, tuple[Any, Any]],
    machine: tuple[str, str, int | None, int],
    terminal: Terminal,
) -> EmbedReport:
    """Do the work.

    Args:
        work: The work.
        given: Options that have no effect here, by name; None for one that was not given.
        usual: The same for options that are never None: value and default.
        machine: Device, precision, workers and batch size; they are only checked.
        terminal: Receives notes.

    Raises:
        SettingError: If an option was given that has no effect here.
        IndexFileError: If there is no such index or no such shards, or the index cannot be written.
    """
    if work.merge:
        not_with("--merge", given, **usual, prune=(work.prune, False), compact=(work.compact, False))
    else:
        not_with(f"{work.option} without --append", given, **usual, index_type=(work.index_type, "auto"))
        not_with(work.option, {}, force=(work.force, False))
    check_machine(*machine)
    if work.merge:
        from scing_cli.core.workflows.embed.merge_shards import merge_shards

        return merge_shards(work.index, index_type=work.index_type, force=work.force, reporter=terminal)
    from scing_cli.core.workflows.embed.upkeep import keep_index

    return keep_index(work.index, prune=work.prune, compact=work.compact, reporter=terminal)
