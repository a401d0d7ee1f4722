"""`scing train-prompts`: stage 1."""

from __future__ import annotations

from scing_cli.commands import options
from scing_cli.commands.console import Terminal
from scing_cli.commands.given import chosen
from scing_cli.core.config import DataSettings, PromptSettings, build_settings, read_config
from scing_cli.core.encoders import hub
from scing_cli.core.errors import SettingError


def train_prompts(
    data: options.Data = None,
    run: options.NewRun = None,
    config: options.Config = None,
    layout: options.OptionalLayout = None,
    include_val: options.OptionalIncludeVal = None,
    method: options.Method = None,
    model: options.Model = None,
    pretrained: options.Pretrained = None,
    stride: options.Stride = None,
    statistics: options.Statistics = None,
    gate: options.Gate = None,
    tokens: options.Tokens = None,
    fused_tokens: options.FusedTokens = None,
    consistency_weight: options.ConsistencyWeight = None,
    contrast: options.Contrast = None,
    feature_dropout: options.FeatureDropout = None,
    occlusion: options.Occlusion = None,
    flip: options.Flip = None,
    erase: options.Erase = None,
    crop: options.Crop = None,
    identity_text: options.IdentityText = None,
    epochs: options.Epochs = None,
    lr: options.Lr = None,
    weight_decay: options.WeightDecay = None,
    milestones: options.Milestones = None,
    warmup_epochs: options.WarmupEpochs = None,
    batch_size: options.TrainBatchSize = None,
    instances: options.Instances = None,
    seed: options.TrainSeed = None,
    precision: options.TrainPrecision = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Stage 1: learn each identity's prompts with SVIP and PDCA; both encoders stay frozen."""
    given = locals()
    tables = read_config(config)
    settings = build_settings(PromptSettings, tables["train-prompts"], chosen(PromptSettings, given))
    place = build_settings(DataSettings, tables["data"], {"path": data, "layout": layout, "include_val": include_val})
    if place.path is None:
        raise SettingError("No data was named.", "Say where it is: --data DIR or --data FILE.csv")
    terminal = Terminal(as_json=as_json)
    hub.locate(settings.model, settings.pretrained, reporter=terminal)  # missing weights are told before torch loads
    from scing_cli.core.workflows.machine import Machine
    from scing_cli.core.workflows.train_prompts import train_prompts as train

    machine = Machine(device=device, workers=workers)
    report = train(
        place.path,
        settings,
        layout=place.layout,
        include_val=place.include_val,
        run=run,
        machine=machine,
        reporter=terminal,
    )
    payload = {
        "run": str(report.run.path),
        "identities": report.identities,
        "images": report.images,
        "trainable": dict(report.trainable),
        "frozen": dict(report.frozen),
        "first_epoch": dict(report.fit.first),
        "last_epoch": dict(report.fit.last),
        "steps": report.fit.steps,
        "seconds": round(report.fit.seconds, 1),
    }
    if not terminal.result(payload):
        terminal.course(f"Stage 1: {report.identities:,} identities, {report.images:,} images", report.fit)
        terminal.say(f"Run: {report.run.path}")
        terminal.say(f"Next: scing train-visual --run {report.run.path}")
