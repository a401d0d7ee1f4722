"""`scing embed`: a gallery becomes a FAISS index."""

from __future__ import annotations

from pathlib import Path

from scing_cli.commands import options
from scing_cli.commands.console import Terminal


def embed(
    run: options.RunFolder = None,
    model: options.PlainModel = None,
    pretrained: options.PlainPretrained = None,
    stride: options.PlainStride = None,
    data: options.Data = None,
    layout: options.Layout = "auto",
    split: options.GallerySplit = "gallery",
    images: options.Images = None,
    output: options.IndexOutput = Path("gallery.faiss"),
    append: options.Append = False,
    force: options.Force = False,
    descriptor: options.DescriptorKind = "projected",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.BatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Embed images as unit vectors into a FAISS inner-product index with stable ids."""
    from scing_cli.core.workflows.embed import GalleryChoice
    from scing_cli.core.workflows.embed import embed as build
    from scing_cli.core.workflows.machine import Machine
    from scing_cli.core.workflows.models import ModelChoice

    terminal = Terminal(as_json=as_json)
    report = build(
        ModelChoice(run, model, pretrained, stride, seed),
        GalleryChoice(data, layout, split, images),
        output=output,
        append=append,
        force=force,
        descriptor=descriptor,
        machine=Machine(device, precision, workers, batch_size),
        reporter=terminal,
    )
    payload = {
        "index": str(report.index),
        "added": report.added,
        "replaced": report.replaced,
        "skipped": report.skipped,
        "count": report.count,
        "width": report.width,
        "model": report.model,
    }
    if not terminal.result(payload):
        known = f", {report.replaced:,} had changed and were replaced" if report.replaced else ""
        known += f", {report.skipped:,} were there already" if report.skipped else ""
        terminal.say(
            f"{report.index}: {report.added:,} rows added{known}; it holds {report.count:,} of width {report.width}."
        )
        terminal.say(f"Next: scing search PHOTO --index {report.index}")
