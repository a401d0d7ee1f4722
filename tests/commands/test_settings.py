"""Options that are made from a settings class, and commands that are imported when they run."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

from scing_cli.app import COMMANDS, app
from scing_cli.commands.settings import chosen
from scing_cli.core.settings import METHODS, PromptSettings, VisualSettings, build_settings
from scing_cli.core.settings.field import PANELS, option_of

STAGES = {"train-prompts": PromptSettings, "train-visual": VisualSettings}
every_stage = pytest.mark.parametrize("command", STAGES)


def options_of(command):
    """The options of a command as Typer made them, by their first spelling."""
    import typer

    group = typer.main.get_command(app)
    return {option.opts[0]: option for option in group.commands[command].load().params}


@every_stage
def test_every_setting_is_an_option_with_its_sentence_its_methods_and_its_default(command):
    kind, options = STAGES[command], options_of(command)
    described = dict(kind.described())
    assert list(described) == [name for name, field in kind.model_fields.items() if not field.exclude]
    for name, setting in described.items():
        option = options[option_of(name, setting).split("/")[0]]
        assert option.name == name
        assert option.rich_help_panel == setting.panel
        assert option.help.startswith(setting.help.removesuffix("."))
        assert all(method in option.help for method in setting.methods)
        default = kind.model_fields[name].default
        assert ("default: " in option.help) == bool(
            "/" in setting.option or setting.default or not isinstance(default, bool)
        )
        assert option.default is None


@every_stage
def test_what_a_setting_says_of_others_is_true(command):
    fields = dict(STAGES[command].described())
    for name, setting in fields.items():
        assert setting.panel in PANELS
        assert set(setting.methods) < set(METHODS)
        assert setting.help.endswith(".")
        others = [
            *setting.idle_with,
            *((other, value) for other, values, _ in setting.default_with for value in values),
        ]
        for other, value in others:
            assert other in STAGES[command].model_fields
            assert other != name
            build_settings(STAGES[command], {}, {other: value})


def test_defaults_in_help_are_those_of_the_stage():
    prompts, visual = map(options_of, STAGES)
    assert prompts["--warmup-epochs"].help == "Epochs over which the learning rate rises (default: 0; dmpt: 10)."
    rises = "Epochs over which the learning rate rises"
    assert visual["--warmup-epochs"].help == f"{rises} (default: 10; prompt-decoupling, direct: 5)."
    assert prompts["--occlusion"].help == "Probability of occlusion in PDCA's views (scing; default: 0.5)."
    assert (
        visual["--occlusion"].help == "Probability of occlusion, which the paper does not have in stage 2 (default: 0)."
    )
    assert visual["--margin"].help == "Margin of the triplet loss (default: 0.2; clip-reid: 0.3)."
    assert visual["--milestones"].help.endswith("(default: 30,50).")
    assert prompts["--lr"].help == "Learning rate (default: 5e-5; prompt-decoupling: 0.0003; dmpt: 0.00035)."
    assert visual["--lr"].help == "Learning rate (default: 5e-5; prompt-decoupling, direct: 1e-5)."
    assert visual["--mask-words"].help.endswith("(prompt-decoupling, direct; default: 0).")
    assert prompts["--warmup-lr"].help.endswith("(default: a tenth of --lr; dmpt: 3.5e-6).")
    assert prompts["--bias-lr-factor"].help.endswith("(default: 1; dmpt: 2).")
    assert prompts["--semantic-tokens"].help == "Prompt tokens per block that all spectra share (dmpt; default: 8)."
    assert prompts["--tokens"].help.endswith("(scing, clip-reid, cocoop; default: 4).")
    assert prompts["--gate"].metavar == "channel|token"
    assert prompts["--first-epoch"].metavar == "0|1"


@every_stage
def test_each_panel_stands_once_and_in_order(command):
    """Options of the machine that are not settings share the panel of those that are."""
    panels = [option.rich_help_panel for option in options_of(command).values()]
    runs = [panel for panel, before in zip(panels, [None, *panels], strict=False) if panel and panel != before]
    assert [panel for panel in runs if panel in PANELS] == [panel for panel in PANELS if panel in panels]


def test_only_settings_that_were_given_are_picked():
    given_ = {"epochs": 3, "lr": None, "milestones": "3,5", "run": "r", "tokens": 5, "flip": 0.0, "json": False}
    assert chosen(PromptSettings, given_) == {"epochs": 3, "milestones": (3, 5), "tokens": 5, "flip": 0.0}
    assert chosen(VisualSettings, given_) == {"epochs": 3, "milestones": (3, 5), "flip": 0.0}
    assert chosen(VisualSettings, {}) == {}


def test_no_milestones_can_be_asked_for():
    assert build_settings(VisualSettings, {}, chosen(VisualSettings, {"milestones": ""})).milestones == ()


def test_an_option_that_leaves_something_out_turns_its_setting_off():
    assert chosen(PromptSettings, {"consistency": True, "compile": True}) == {"consistency": False, "compile": True}
    assert chosen(PromptSettings, {"compile": False}) == {"compile": False}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_top_help_says_of_a_command_what_its_own_help_says_first(command):
    name = command.replace("-", "_")
    function = getattr(importlib.import_module(f"scing_cli.commands.{name}"), name)
    assert COMMANDS[command][0] == inspect.getdoc(function).splitlines()[0]


def test_the_top_help_imports_no_command():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['scing', '--help']\n"
        "try:\n"
        "    runpy.run_module('scing_cli', run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        "loaded = [name for name in sys.modules if name.startswith(('scing_cli.commands.', 'scing_cli.core.settings'))]\n"
        "print(*loaded, sep=',')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)
    loaded = {name.rpartition(".")[2] for name in done.stdout.splitlines()[-1].split(",")}
    assert loaded == {"completion", "console", "failures", "typed"}
