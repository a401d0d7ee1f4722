"""`scing prepare`: inspect a data set, or draw a synthetic one."""

from __future__ import annotations

from scing_cli.commands import options, world_options
from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import check_machine, not_with, only_with
from scing_cli.commands.show_prepare import payload, show
from scing_cli.core.errors import SettingError


def prepare(
    source: options.Source,
    layout: options.Layout = "auto",
    include_val: options.IncludeVal = False,
    output: options.ManifestOutput = None,
    sheet: options.Sheet = None,
    hold_out: options.HoldOut = None,
    strict: options.Strict = False,
    synthetic: world_options.Synthetic = False,
    identities: world_options.Identities = None,
    test_identities: world_options.TestIdentities = None,
    cameras: world_options.Cameras = None,
    images_per_camera: world_options.ImagesPerCamera = None,
    occluded_queries: world_options.OccludedQueries = None,
    occluded_training: world_options.OccludedTraining = None,
    wording: world_options.Wording = None,
    spectra: world_options.Spectra = None,
    night: world_options.Night = None,
    look: world_options.Look = None,
    device: options.UnusedDevice = "auto",
    precision: options.UnusedPrecision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.UnusedBatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Read a data set, open every image, and write its manifest; with --synthetic, draw the data set first."""
    synthetic_options = only_with(
        "--synthetic",
        wanted=synthetic,
        given={
            "identities": identities,
            "test_identities": test_identities,
            "cameras": cameras,
            "images_per_camera": images_per_camera,
            "occluded_queries": occluded_queries,
            "occluded_training": occluded_training,
            "wording": wording,
            "spectra": spectra,
            "night": night,
            "look": look,
        },
    )
    if synthetic:
        not_with("--synthetic", {"hold_out": hold_out})
    drawn = "csv" if spectra else "market1501"
    if synthetic and layout not in ("auto", drawn):
        raise SettingError(f"--layout {layout}: a synthetic data set has the layout {drawn}.", "Leave --layout out.")
    check_machine(device, precision, workers, batch_size)
    from scing_cli.core.workflows.prepare.draw_world import draw_world
    from scing_cli.core.workflows.prepare.manifest_target import manifest_target
    from scing_cli.core.workflows.prepare.prepare_data import prepare as run

    terminal = Terminal(as_json=as_json)
    if synthetic:
        output = (
            output if output or not spectra else manifest_target(source, None)
        )  # named after DIR, not after the CSV
        source = draw_world(source, **synthetic_options, seed=seed, output=output, workers=workers, reporter=terminal)
    report = run(
        source,
        layout=layout,
        include_val=include_val,
        output=output,
        sheet=sheet,
        strict=strict,
        hold_out=hold_out,
        seed=seed,
        workers=workers,
        reporter=terminal,
    )
    if not terminal.result(payload(report)):
        show(report, source, terminal)
