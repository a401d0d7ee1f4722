"""`scing embed`: embed a gallery into a FAISS index."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands import export_model, model_options, options
from scing_cli.commands.console import Terminal
from scing_cli.commands.next_commands import search_command
from scing_cli.commands.option_checks import not_with
from scing_cli.commands.upkeep_only import upkeep
from scing_cli.core.errors import counted

if TYPE_CHECKING:
    from scing_cli.core.workflows.embed.embed_report import EmbedReport


def embed(
    run: options.RunFolder = None,
    model: model_options.PlainModel = None,
    pretrained: model_options.PlainPretrained = None,
    stride: model_options.PlainStride = None,
    statistics: model_options.PlainStatistics = "auto",
    interpolation: model_options.PlainInterpolation = "auto",
    cameras: model_options.PlainCameras = None,
    camera_factor: model_options.PlainCameraFactor = 1.0,
    spectra: model_options.PlainSpectra = None,
    missing: model_options.Missing = None,
    data: options.SeveralData = None,
    layout: options.Layout = "auto",
    split: options.GallerySplit = "gallery",
    images: options.Images = None,
    output: options.IndexOutput = Path("gallery.faiss"),
    append: options.Append = False,
    prune: options.Prune = False,
    compact: options.Compact = False,
    force: options.Force = False,
    index_type: options.IndexType = "auto",
    descriptor: options.DescriptorKind = "projected",
    device: options.Device = "auto",
    precision: options.QuickPrecision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.BatchSize = 64,
    save_minutes: options.SaveMinutes = 10.0,
    export: export_model.Export = None,
    export_format: export_model.ExportFormat = None,
    strict: options.StrictImages = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Embed images as unit vectors into a FAISS inner-product index with stable ids."""
    terminal, first = Terminal(as_json=as_json), (run, model, pretrained, stride, seed, statistics, interpolation)
    seen: dict[str, Any] = {"cameras": cameras, "camera_factor": camera_factor, "spectra": spectra, "missing": missing}
    if (prune or compact) and not append:
        given = {"run": run, "model": model, "pretrained": pretrained, "stride": stride, "data": data, "images": images}
        given |= {"force": force or None, "export": export, "export_format": export_format, "strict": strict or None}
        chosen = model_options.given(**given, **seen, statistics=statistics, interpolation=interpolation)
        usual = {"layout": (layout, "auto"), "split": (split, "gallery"), "descriptor": (descriptor, "projected")}
        usual, hardware = usual | {"index_type": (index_type, "auto")}, (device, precision, workers, batch_size)
        _show(upkeep(output, (prune, compact), chosen, usual, hardware, terminal), terminal)
        return
    from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice
    from scing_cli.core.workflows.embed.embed_gallery import embed as build
    from scing_cli.core.workflows.embed.partial_index import nothing_new
    from scing_cli.core.workflows.shared.machine import Machine

    choice = model_options.choose(*first, **seen)
    gallery, machine = GalleryChoice(data, layout, split, images), Machine(device, precision, workers, batch_size)
    if export is not None or export_format is not None:
        made = {"output": (output, Path("gallery.faiss")), "append": (append, False)}
        work = {"index_type": (index_type, "auto"), "save_minutes": (save_minutes, 10.0), "strict": (strict, False)}
        not_with("--export", {}, **made, **work)
        export_model.export_model(choice, gallery, export, (export_format, descriptor, force), machine, terminal)
        return
    try:
        report = build(
            choice,
            gallery,
            output=output,
            append=append,
            prune=prune,
            compact=compact,
            force=force,
            index_type=index_type,
            descriptor=descriptor,
            save_minutes=save_minutes,
            strict=strict,
            machine=machine,
            reporter=terminal,
        )
    except KeyboardInterrupt as error:
        raise nothing_new(output) from error
    _show(report, terminal)


def _show(report: EmbedReport, terminal: Terminal) -> None:
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
        terminal.say(f"Type {report.kind}: recall@10 against flat is {report.recall:.3f} (stored vectors as queries).")
    terminal.say(f"Next: {search_command(report)}")
