"""`scing prepare`: look at a data set, or draw one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands import options
from scing_cli.commands.console import Terminal
from scing_cli.core.errors import SettingError

if TYPE_CHECKING:
    from scing_cli.core.workflows.prepare import Preparation


def prepare(
    source: options.Source,
    layout: options.Layout = "auto",
    output: options.ManifestOutput = None,
    strict: options.Strict = False,
    synthetic: options.Synthetic = False,
    identities: options.Identities = None,
    test_identities: options.TestIdentities = None,
    cameras: options.Cameras = None,
    images_per_camera: options.ImagesPerCamera = None,
    occluded_queries: options.OccludedQueries = None,
    occluded_training: options.OccludedTraining = None,
    device: options.UnusedDevice = "auto",
    precision: options.UnusedPrecision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.UnusedBatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Read a data set, open every image, and write its manifest; with --synthetic, draw the data set first."""
    world = options.only_with(
        "--synthetic",
        wanted=synthetic,
        given={
            "identities": identities,
            "test_identities": test_identities,
            "cameras": cameras,
            "images_per_camera": images_per_camera,
            "occluded_queries": occluded_queries,
            "occluded_training": occluded_training,
        },
    )
    if synthetic and layout not in ("auto", "market1501"):
        raise SettingError(f"--layout {layout}: a drawn world has the layout market1501.", "Leave --layout out.")
    options.check_machine(device, precision, workers, batch_size)
    from scing_cli.core.workflows.prepare import draw_world
    from scing_cli.core.workflows.prepare import prepare as run

    terminal = Terminal(as_json=as_json)
    if synthetic:
        draw_world(source, **world, seed=seed, output=output, workers=workers, reporter=terminal)
    report = run(source, layout=layout, output=output, strict=strict, workers=workers, reporter=terminal)
    if not terminal.result(_payload(report)):
        _show(report, source, terminal)


def _payload(report: Preparation) -> dict[str, Any]:
    return {
        "layout": report.layout,
        "parts": {name: dataclasses.asdict(part) for name, part in report.parts.items()},
        "published": dataclasses.asdict(report.published) if report.published else None,
        "junk": report.junk,
        "dropped": [dataclasses.asdict(fault) for fault in report.dropped],
        "unreadable": [dataclasses.asdict(fault) for fault in report.unreadable],
        "manifest": str(report.manifest),
    }


def _show(report: Preparation, source: Path, terminal: Terminal) -> None:
    known = report.published.parts if report.published else {}
    columns, rows = ["identities", "images", "cameras"], []
    for part, found in report.parts.items():
        cells = [f"{count:,}" for count in dataclasses.astuple(found)]
        beside = [f"{count:,}" for count in dataclasses.astuple(known[part])] if part in known else ["", "", ""]
        pairs = zip(cells, beside, strict=True)
        rows.append([part, *(cell for pair in pairs for cell in (pair if known else pair[:1]))])
    if known:
        columns = [name for column in columns for name in (column, "published")]
    terminal.table(f"{source} ({report.layout})", ["part", *columns], rows, words=("part",))
    if report.published:
        terminal.say(f"Published: {report.published.name}, compared before unreadable images were taken out.")
    for note in report.notes:
        terminal.say(note)
    if report.junk:
        terminal.say(f"{report.junk:,} files are marked as junk by the data set (identity -1) and left out.")
    for faults, what in ((report.dropped, "left out"), (report.unreadable, "unreadable, not in the manifest")):
        terminal.listing(f"files {what}", [f"{fault.path}: {fault.reason}" for fault in faults])
    terminal.say(f"Manifest: {report.manifest}")
