"""`scing train-visual`: stage 2."""

from __future__ import annotations

from scing_cli.commands import options
from scing_cli.commands.console import Terminal
from scing_cli.commands.given import chosen
from scing_cli.core.config import VisualSettings, build_settings, read_config


def train_visual(
    run: options.PromptsRun = None,
    data: options.MovedData = None,
    pretrained: options.MovedPretrained = None,
    config: options.Config = None,
    validate: options.Validate = False,
    triplet_weight: options.TripletWeight = None,
    margin: options.Margin = None,
    label_smoothing: options.LabelSmoothing = None,
    flip: options.Flip = None,
    occlusion: options.VisualOcclusion = None,
    erase: options.Erase = None,
    crop: options.Crop = None,
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
    """Stage 2: tune the whole image encoder towards the identity texts of stage 1."""
    given = locals()
    settings = build_settings(VisualSettings, read_config(config)["train-visual"], chosen(VisualSettings, given))
    from scing_cli.core.workflows.machine import Machine
    from scing_cli.core.workflows.train_visual import train_visual as train

    terminal = Terminal(as_json=as_json)
    machine = Machine(device=device, workers=workers)
    report = train(
        settings, run=run, data=data, pretrained=pretrained, validate=validate, machine=machine, reporter=terminal
    )
    payload = {
        "run": str(report.run.path),
        "identities": report.identities,
        "images": report.images,
        "trainable": {"image encoder": report.parameters},
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
