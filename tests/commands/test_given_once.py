"""Every option of every command that takes one value is refused when it is given twice."""

from __future__ import annotations

import pytest

from scing_cli.app import COMMANDS, _LazyCommand
from scing_cli.commands.typed import may_repeat
from scing_cli.core.errors import SettingError

NEEDED = {"prepare": ["DIR"], "search": ["PHOTO"]}
REPEATED = {
    "prepare": set(),
    "train-prompts": {"--data"},
    "train-visual": set(),
    "embed": {"--data", "--images"},
    "evaluate": {"--data"},
    "search": {
        "--camera",
        "--exclude-camera",
        "--identity",
        "--exclude-identity",
        "--text",
        "--near-infrared",
        "--thermal",
    },
}


def parse(name, *words):
    """Parse a command line without running the command."""
    command = _LazyCommand(name, *COMMANDS[name]).load()
    return command.make_context(name, [*NEEDED.get(name, []), *words])


def options(name):
    """Return the options of a command that take a value, and those that are on or off."""
    params = [param for param in parse_params(name) if param.param_type_name == "option" and param.name != "help"]
    return [param for param in params if not param.is_flag], [param for param in params if param.is_flag]


def parse_params(name):
    return _LazyCommand(name, *COMMANDS[name]).load().params


@pytest.mark.parametrize("name", COMMANDS)
def test_only_these_options_may_repeat(name):
    valued, _ = options(name)
    assert {param.opts[0] for param in valued if may_repeat(param)} == REPEATED[name]
    assert len(valued) > 5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_refused_twice_in_all_its_spellings(name):
    valued, _ = options(name)
    others = ["--index", "i"] if name == "search" else []
    for param in valued:
        value, spellings = "2" if param.name == "identities" else "1", param.opts
        rest = [] if "--index" in spellings else others
        forms = [[spelling, value] for spelling in spellings]
        forms += [[f"{spelling}={value}"] for spelling in spellings if spelling.startswith("--")]
        forms += [[f"{spelling}{value}"] for spelling in spellings if not spelling.startswith("--")]
        for one in forms:
            parse(name, *rest, *one)
            for other in forms:
                if may_repeat(param):
                    assert len(parse(name, *rest, *one, *other).params[param.name]) == 2
                else:
                    with pytest.raises(SettingError, match="was given twice") as caught:
                        parse(name, *one, *rest, *other)
                    assert all(spelling in caught.value.what for spelling in spellings)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_flag_may_repeat_but_not_with_its_opposite(name):
    _, flags = options(name)
    others = ["--index", "i"] if name == "search" else []
    for param in flags:
        parse(name, *others, param.opts[0], param.opts[0])
        if param.secondary_opts:
            for pair in ((param.opts[0], param.secondary_opts[0]), (param.secondary_opts[0], param.opts[0])):
                with pytest.raises(SettingError, match="were both given"):
                    parse(name, *others, *pair)
            parse(name, *others, *param.secondary_opts, *param.secondary_opts)


def test_a_value_that_reads_like_the_option_is_a_value():
    context = parse("embed", "--output=--output", "--run", "--run")
    assert (str(context.params["output"]), str(context.params["run"])) == ("--output", "--run")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_path_is_refused_when_it_is_empty(name):
    """As with a variable of the shell that is not set: an empty `Path` would be the current folder."""
    paths = _LazyCommand(name, *COMMANDS[name]).load().paths
    params = [param for param in parse_params(name) if param.name in paths]
    assert params
    needed = NEEDED.get(name, [])
    for param in params:
        option = param.opts[0] if param.param_type_name == "option" else param.metavar
        forms = [[""]] if option == param.metavar else [[*needed, f"{option}="], [*needed, option, ""]]
        for words in forms:
            with pytest.raises(SettingError) as caught:
                _LazyCommand(name, *COMMANDS[name]).load().make_context(name, words)
            assert caught.value.what == f"{option}: the path is empty."
