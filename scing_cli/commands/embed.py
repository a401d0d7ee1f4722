"""`scing embed`: embed a gallery into a FAISS index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scing_cli.commands import export_model, model_options, options
from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import not_with, only_with
from scing_cli.commands.show_embed import show_embed, show_shards
from scing_cli.commands.upkeep_only import Upkeep, upkeep


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
    shards: options.Shards = None,
    shard: options.Shard = None,
    merge: options.Merge = False,
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
    if merge or ((prune or compact) and not append):
        given = {"run": run, "model": model, "pretrained": pretrained, "stride": stride, "data": data, "images": images}
        given |= {"shards": shards, "shard": shard, "export": export, "export_format": export_format}
        chosen = model_options.given(**given, **seen, statistics=statistics, interpolation=interpolation)
        chosen |= {name: True if value else None for name, value in {"append": append, "strict": strict}.items()}
        usual = {"layout": (layout, "auto"), "split": (split, "gallery"), "descriptor": (descriptor, "projected")}
        todo = Upkeep(output, prune, compact, merge, index_type, force)
        machine_options = (device, precision, workers, batch_size)
        show_embed(upkeep(todo, chosen, usual, machine_options, terminal), terminal)
        return
    from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice
    from scing_cli.core.workflows.embed.embed_gallery import embed as build
    from scing_cli.core.workflows.embed.partial_index import nothing_new
    from scing_cli.core.workflows.shared.machine import Machine

    choice = model_options.choose(*first, **seen)
    gallery, machine = GalleryChoice(data, layout, split, images), Machine(device, precision, workers, batch_size)
    if export is not None or export_format is not None:
        made = {"output": (output, Path("gallery.faiss")), "append": (append, False), "shards": (shards, None)}
        made["shard"] = (shard, None)
        work = {"index_type": (index_type, "auto"), "save_minutes": (save_minutes, 10.0), "strict": (strict, False)}
        not_with("--export", {}, **made, **work)
        export_model.export_model(choice, gallery, export, (export_format, descriptor, force), machine, terminal)
        return
    only_with("--shards", wanted=shards is not None, given={"shard": shard})
    common: dict[str, Any] = {"output": output, "force": force, "descriptor": descriptor, "strict": strict}
    common |= {"save_minutes": save_minutes, "machine": machine, "reporter": terminal}
    changes: dict[str, Any] = {"append": append, "prune": prune, "compact": compact, "index_type": index_type}
    try:
        if shards is None:
            show_embed(build(choice, gallery, **common, **changes), terminal)
            return
        not_with("--shards", {}, index_type=(index_type, "auto"), append=(append, False))
        not_with("--shards", {}, prune=(prune, False), compact=(compact, False))
        from scing_cli.core.workflows.embed.embed_shards import embed_shards

        show_shards(embed_shards(choice, gallery, shards=shards, shard=shard, **common), terminal)
    except KeyboardInterrupt as error:
        raise nothing_new(output) from error
