"""`scing train-visual`: stage 2."""

from __future__ import annotations

from pathlib import Path

from scing_cli.commands import options, settings
from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import chosen


def train_visual(
    run: options.PromptsRun = None,
    data: options.MovedData = None,
    pretrained: options.MovedPretrained = None,
    config: settings.Config = None,
    validate: settings.Validate = False,
    stage2_loss: settings.Stage2Loss = None,
    camera_embedding: settings.CameraEmbedding = None,
    triplet_weight: settings.TripletWeight = None,
    margin: settings.Margin = None,
    label_smoothing: settings.LabelSmoothing = None,
    flip: settings.Flip = None,
    occlusion: settings.VisualOcclusion = None,
    erase: settings.Erase = None,
    crop: settings.Crop = None,
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
    """Stage 2: tune the whole image encoder towards the identity texts of stage 1."""
    given = locals()
    from scing_cli.core.config import VisualSettings, build_settings, read_config

    table, picked = read_config(config)["train-visual"], chosen(VisualSettings, given)
    if resume:
        from scing_cli.core.workflows.train.unfinished import choose_unfinished

        unfinished = choose_unfinished(run, "visual", warn=Terminal(as_json=as_json).warn)
        run, wanted = unfinished.folder, unfinished.settings(VisualSettings, {**table, **picked})
        device, validate = unfinished.device(device), validate or unfinished.given.get("validate") is True
        data, pretrained = data or unfinished.moved("data", Path), pretrained or unfinished.moved("pretrained", str)
    else:
        wanted = build_settings(VisualSettings, table, picked)
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.train.visual_stage import train_visual as train

    terminal = Terminal(as_json=as_json)
    machine = Machine(device=device, workers=workers)
    report = train(
        wanted,
        run=run,
        data=data,
        pretrained=pretrained,
        validate=validate,
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
        "digest": report.digest,
        "first_epoch": dict(report.fit.first),
        "last_epoch": dict(report.fit.last),
        "steps": report.fit.steps,
        "seconds": round(report.fit.seconds, 1),
        "validation": report.validation.summary() if report.validation else None,
    }
    if not terminal.result(payload):
        terminal.course(f"Stage 2: {report.identities:,} identities, {report.images:,} images", report.fit)
        if report.validation:
            terminal.scores("Validation, last epoch", [("", report.validation)])
        terminal.say(f"Run: {report.run.path}")
        terminal.say(f"Next: scing embed --run {report.run.path}")
