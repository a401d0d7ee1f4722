"""`scing train-prompts`: stage 1."""

from __future__ import annotations

from scing_cli.commands import options, settings
from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import chosen
from scing_cli.core.errors import SettingError


def train_prompts(
    data: options.Data = None,
    run: options.NewRun = None,
    config: settings.Config = None,
    layout: options.OptionalLayout = None,
    include_val: options.OptionalIncludeVal = None,
    method: settings.Method = None,
    model: settings.Model = None,
    pretrained: settings.Pretrained = None,
    stride: settings.Stride = None,
    statistics: settings.Statistics = None,
    gate: settings.Gate = None,
    tokens: settings.Tokens = None,
    fused_tokens: settings.FusedTokens = None,
    consistency: settings.Consistency = None,
    consistency_weight: settings.ConsistencyWeight = None,
    contrast: settings.Contrast = None,
    similarity: settings.Similarity = None,
    views: settings.Views = None,
    feature_dropout: settings.FeatureDropout = None,
    occlusion: settings.Occlusion = None,
    flip: settings.ViewFlip = None,
    erase: settings.ViewErase = None,
    crop: settings.ViewCrop = None,
    identity_text: settings.IdentityText = None,
    epochs: settings.Epochs = None,
    lr: settings.Lr = None,
    weight_decay: settings.WeightDecay = None,
    schedule: settings.Schedule = None,
    milestones: settings.Milestones = None,
    warmup_epochs: settings.WarmupEpochs = None,
    warmup_lr: settings.WarmupLr = None,
    final_lr: settings.FinalLr = None,
    first_epoch: settings.FirstEpoch = None,
    bias_lr_factor: settings.BiasLrFactor = None,
    sampler: settings.Sampler = None,
    batch_size: settings.TrainBatchSize = None,
    instances: settings.Instances = None,
    seed: settings.TrainSeed = None,
    precision: settings.TrainPrecision = None,
    compile: settings.Compile = None,  # noqa: A002
    device: options.Device = "auto",
    workers: options.Workers = None,
    resume: options.Resume = None,
    save_minutes: options.SaveMinutes = 10.0,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Stage 1: learn each identity's prompts; both encoders stay frozen."""
    given = locals()
    from scing_cli.core.config import DataSettings, PromptSettings, build_settings, read_config
    from scing_cli.core.encoders import hub
    from scing_cli.core.method_table import check_method

    tables = read_config(config)
    table, picked = tables["train-prompts"], chosen(PromptSettings, given)
    named = {"path": data, "layout": layout, "include_val": include_val}
    if resume:
        from scing_cli.core.workflows.train.unfinished import choose_unfinished

        unfinished = choose_unfinished(run, "prompts", warn=Terminal(as_json=as_json).warn)
        run, wanted = unfinished.folder, unfinished.settings(PromptSettings, {**table, **picked})
        device = unfinished.device(device)
        tables["data"] = {**unfinished.data(), **tables["data"]}
    else:
        wanted = build_settings(PromptSettings, table, picked)
    place = build_settings(DataSettings, tables["data"], named)
    if place.path is None:
        raise SettingError("No data was named.", "Say where it is: --data DIR or --data FILE.csv")
    terminal = Terminal(as_json=as_json)
    check_method(wanted)
    hub.locate(wanted.model, wanted.pretrained, reporter=terminal)  # missing weights are told before torch loads
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.train.prompts_stage import train_prompts as train

    machine = Machine(device=device, workers=workers)
    report = train(
        place.path,
        wanted,
        layout=place.layout,
        include_val=place.include_val,
        run=run,
        resume=resume,
        save_minutes=save_minutes,
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
