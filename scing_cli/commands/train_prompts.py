"""`scing train-prompts`: stage 1 of the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from scing_cli.commands import options
from scing_cli.commands.console import Terminal
from scing_cli.commands.next_commands import after_stage1
from scing_cli.commands.option_checks import check_exist
from scing_cli.commands.process_options import with_processes
from scing_cli.commands.settings import Config, with_settings
from scing_cli.commands.show_training import show_course, training_payload
from scing_cli.commands.stage1_table import stage1_table
from scing_cli.core.errors import SettingError
from scing_cli.core.paths import as_paths
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.settings import (
    DataSettings,
    PromptSettings,
    build_settings,
    check_method,
    check_planned,
    read_config,
)


@with_processes
@with_settings(PromptSettings)
def train_prompts(
    *,
    data: options.SeveralData = None,
    run: options.NewRun = None,
    config: Config = None,
    layout: options.OptionalLayout = None,
    include_val: options.OptionalIncludeVal = None,
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
    """Stage 1: make the run, and learn the method's prompts; the encoders are frozen by default."""
    from scing_cli.core.encoders import hub

    tables, terminal = group.from_first(lambda: read_config(config)), Terminal(as_json=as_json)
    table = stage1_table(tables["train-prompts"], picked.get("method"), config, terminal)
    if resume:
        from scing_cli.core.workflows.train.unfinished import choose_unfinished

        unfinished = group.from_first(lambda: choose_unfinished(run, "prompts", warn=terminal.warn))
        run, settings = unfinished.folder, unfinished.settings(PromptSettings, {**table, **picked})
        device = unfinished.device(device)
        tables["data"] = {**unfinished.data(), **tables["data"]}
    else:
        settings = build_settings(PromptSettings, table, picked)
    source = build_settings(DataSettings, tables["data"], {"path": data, "layout": layout, "include_val": include_val})
    if not source.path:
        raise SettingError("No data set was given.", "Name a folder or a table: --data DIR or --data FILE.csv")
    check_method(settings)
    check_planned(settings.method, tables["train-visual"])
    check_exist(as_paths(source.path))  # before missing weights are reported
    # reports missing weights before torch is imported
    hub.locate(settings.model, settings.pretrained, reporter=terminal)
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.train.prompts_stage import train_prompts as train

    report = train(
        source.path,
        settings,
        layout=source.layout,
        include_val=source.include_val,
        run=run,
        visual=tables["train-visual"],
        resume=resume,
        save_minutes=save_minutes,
        strict=strict,
        machine=Machine(device=device, workers=workers, group=group),
        reporter=terminal,
    )
    passed = [dataclasses.asdict(entry) for entry in report.passed_over]
    payload = {**training_payload(report), "frozen": dict(report.frozen), "passed_over": passed}
    if not terminal.result(payload):
        show_course("Stage 1", report, terminal)
        terminal.say(f"Run: {report.run.path}")
        terminal.say(f"Next: {after_stage1(report.run, settings.method)}")
