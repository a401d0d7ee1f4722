"""`scing prepare`: look at a data set, or draw one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands import options
from scing_cli.commands.console import Terminal

if TYPE_CHECKING:
    from scing_cli.core.workflows.prepare import Preparation

SHOWN = 10


def prepare(
    source: options.Source,
    layout: options.Layout = "auto",
    output: options.ManifestOutput = None,
    strict: options.Strict = False,
    synthetic: options.Synthetic = False,
    identities: options.Identities = 32,
    test_identities: options.TestIdentities = None,
    cameras: options.Cameras = 4,
    images_per_camera: options.ImagesPerCamera = 2,
    occluded_queries: options.OccludedQueries = False,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Read a data set, open every image, and write its manifest; with --synthetic, draw the data set first."""
    from scing_cli.core.workflows.prepare import draw_world
    from scing_cli.core.workflows.prepare import prepare as run

    terminal = Terminal(as_json=as_json)
    if synthetic:
        draw_world(
            source,
            identities=identities,
            test_identities=test_identities,
            cameras=cameras,
            images_per_camera=images_per_camera,
            occluded_queries=occluded_queries,
            seed=seed,
            workers=workers,
            reporter=terminal,
        )
    report = run(source, layout=layout, output=output, strict=strict, workers=workers, reporter=terminal)
    if not terminal.result(_payload(report)):
        _show(report, source, terminal)


def _payload(report: Preparation) -> dict[str, Any]:
    return {
        "layout": report.layout,
        "parts": {
            name: {"identities": part.identities, "images": part.images, "cameras": part.cameras}
            for name, part in report.parts.items()
        },
        "published": report.published[0],
        "junk": report.junk,
        "dropped": [{"path": fault.path, "reason": fault.reason} for fault in report.dropped],
        "unreadable": [{"path": fault.path, "reason": fault.reason} for fault in report.unreadable],
        "manifest": str(report.manifest),
    }


def _show(report: Preparation, source: Path, terminal: Terminal) -> None:
    name, published = report.published
    columns = ["part", "identities", "images", "cameras"]
    rows = [[part, *(f"{value:,}" for value in report.counts(part))] for part in report.parts]
    if name:
        columns += [f"{name}: identities", "images"]
        known = {part: [f"{count.identities:,}", f"{count.images:,}"] for part, count in published.items()}
        rows = [row + known.get(row[0], ["", ""]) for row in rows]
    terminal.table(f"{source} ({report.layout})", columns, rows)
    for note in report.notes:
        terminal.say(note)
    if report.junk:
        terminal.say(f"{report.junk:,} files are marked as junk by the data set (identity -1) and left out.")
    for faults, what in ((report.dropped, "left out"), (report.unreadable, "unreadable, not in the manifest")):
        if faults:
            terminal.say(f"{len(faults):,} files {what}:")
        for fault in faults[:SHOWN]:
            terminal.say(f"  {fault.path}: {fault.reason}")
        if len(faults) > SHOWN:
            terminal.say(f"  and {len(faults) - SHOWN:,} more (--json lists all)")
    terminal.say(f"Manifest: {report.manifest}")
