"""`scing train-visual`: stage 2 of the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.commands import options
from scing_cli.commands.console import Terminal
from scing_cli.commands.next_commands import embed_command
from scing_cli.commands.process_options import with_processes
from scing_cli.commands.settings import Config, Validate, with_settings
from scing_cli.commands.show_training import show_course, training_payload
from scing_cli.commands.stage1_choice import chosen_run
from scing_cli.core.artifacts import RUNS
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.settings import VisualSettings, read_config


@with_processes
@with_settings(VisualSettings)
def train_visual(
    *,
    run: options.PromptsRun = None,
    name: options.BranchName = None,
    data: options.MovedData = None,
    pretrained: options.MovedPretrained = None,
    config: Config = None,
    validate: Validate = False,
    picked: Mapping[str, Any],
    device: options.Device = "auto",
    workers: options.Workers = None,
    resume: options.Resume = None,
    save_minutes: options.SaveMinutes = 10.0,
    strict: options.StrictImages = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
    group: ProcessGroup = ALONE,
) -> None:
    """Stage 2: tune the image encoder; with methods that learn from captions, both encoders."""
    table = group.from_first(lambda: read_config(config)["train-visual"])
    terminal = Terminal(as_json=as_json)
    if resume:
        from scing_cli.core.workflows.train.unfinished import choose_unfinished

        named = run if name is None else (run.parent if run else RUNS) / name
        unfinished = group.from_first(lambda: choose_unfinished(named, "visual", source=run, warn=terminal.warn))
        name = None
        run, begun = unfinished.folder, {**table, **picked}
        settings = group.from_first(lambda: unfinished.settings(VisualSettings, begun))
        device, validate = unfinished.device(device), validate or unfinished.given.get("validate") is True
        data, pretrained = data or unfinished.moved("data", Path), pretrained or unfinished.moved("pretrained", str)
    else:
        chosen = (run, name, table if config else None, picked, resume, terminal)
        run, name, settings = group.from_first(lambda: chosen_run(*chosen))
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.train.visual_stage import train_visual as train

    machine = Machine(device=device, workers=workers, group=group)
    report = train(
        settings,
        run=run,
        name=name,
        data=data,
        pretrained=pretrained,
        validate=validate,
        resume=resume,
        save_minutes=save_minutes,
        strict=strict,
        machine=machine,
        reporter=terminal,
    )
    payload = {
        **training_payload(report),
        "digest": report.digest,
        "validation": report.validation.summary() if report.validation else None,
        "cautions": [caution.summary() for caution in report.cautions],
    }
    if not terminal.result(payload):
        show_course("Stage 2", report, terminal)
        if report.validation:
            terminal.scores("Validation, last epoch", [("", report.validation)])
            if report.cautions:
                terminal.say("The validation shows people of the training: its figures are too good.")
        terminal.say(f"Run: {report.run.path}")
        terminal.say(f"Next: {embed_command(report.run)}")
