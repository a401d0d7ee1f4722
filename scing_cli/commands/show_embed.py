"""What `scing embed` says at its end."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING

from scing_cli.commands.console import Terminal
from scing_cli.commands.next_commands import search_command
from scing_cli.core.errors import agreeing, counted

if TYPE_CHECKING:
    from scing_cli.core.workflows.embed.embed_report import EmbedReport
    from scing_cli.core.workflows.embed.embed_shards import ShardsReport


def show_embed(report: EmbedReport, terminal: Terminal) -> None:
    """Show what was added to the index, or print it as JSON."""
    payload = dataclasses.asdict(report) | {"index": str(report.index)}
    payload.pop("example")
    if terminal.result(payload):
        return
    done = {"had changed and were replaced": report.replaced, "relabelled": report.relabelled}
    done |= {"were there already": report.skipped, "removed because their files are missing": report.removed}
    counts = "".join(f", {count:,} {what}" for what, count in done.items() if count)
    counts += f", {len(report.left_out):,} left out" if report.left_out else ""
    holds = f"it holds {report.count:,} of width {report.width}"
    terminal.say(f"{report.index}: {counted(report.added, 'row')} added{counts}; {holds}.")
    if report.recall is not None:
        terminal.say(_recall(report))
    if report.example is not None:
        terminal.say(f"Next: {search_command(report.index, report.example)}")


def _recall(report: EmbedReport) -> str:
    from scing_cli.core.index.tuning import AIM  # imports numpy

    since = "" if report.recall_rows == report.count else f", when it had {report.recall_rows:,} rows"
    few = "" if (report.recall or 0) >= AIM else f" Less than {AIM}: --index-type flat misses nothing."
    return f"Type {report.kind}: recall@10 against flat is {report.recall:.3f}{since}.{few}"


def show_shards(report: ShardsReport, terminal: Terminal) -> None:
    """Show what this process made and what is missing, or print it as JSON."""
    payload = dataclasses.asdict(report) | {"folder": str(report.folder), "index": str(report.index)}
    if terminal.result(payload):
        return
    there = report.shards - len(report.missing)
    made = f"{counted(len(report.made), 'shard')} made here, with {counted(report.added, 'row')}"
    are = agreeing(there, "is", "are")
    terminal.say(f"{report.folder}: {made}; {there:,} of {report.shards:,} {are} there.")
    if report.missing:
        terminal.say("Next: run the same command, here or elsewhere, for the others, unless they are being made.")
    else:
        terminal.say(f"Next: scing embed --merge --output {shlex.quote(str(report.index))}")
