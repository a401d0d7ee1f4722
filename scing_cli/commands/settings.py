"""Make the options of a training command from the fields of its settings class.

An option that was not given is None: the settings file, then the default of the field applies.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from scing_cli.commands.option_checks import whole_numbers
from scing_cli.core.settings import METHODS
from scing_cli.core.settings.field import IMAGES, PANELS, Setting, option_of
from scing_cli.core.settings.schedule_settings import Schedule

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings of both stages; options override it.", metavar="FILE.toml")
]
Validate = Annotated[bool, typer.Option("--validate", help="Evaluate the result on the split val.")]
Command = Callable[..., None]


def with_settings(kind: type[Schedule]) -> Callable[[Command], Command]:
    """Return a decorator that adds an option for each setting of `kind` to a command.

    The options replace the keyword parameter `picked` of the command, which gets the result of `chosen`.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            parameters += _parameters(kind) if parameter.name == "picked" else [parameter]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            others = {name: value for name, value in values.items() if name not in kind.model_fields}
            command(picked=chosen(kind, values), **others)

        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        vars(run)["__signature__"] = signature.replace(parameters=parameters)  # Typer reads it
        return run

    return decorate


def chosen(kind: type[Schedule], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options that are settings of `kind`; lists are parsed from text.

    Raises:
        SettingError: If a text cannot be parsed.
    """
    picked = {}
    for name, setting in kind.described():
        value = given.get(name)
        if value is not None:
            if _is_list(kind.model_fields[name].annotation):
                value = whole_numbers(option_of(name, setting), value)
            picked[name] = not value if _turns_off(setting) else value
    return picked


def _parameters(kind: type[Schedule]) -> Iterator[inspect.Parameter]:
    """Yield an option for each setting by panel: first the settings of both stages, then those of this stage only."""
    fields, shared = list(inspect.get_annotations(kind)), dict(Schedule.described())

    def position(entry: tuple[str, Setting]) -> tuple[int, int]:
        name, setting = entry
        is_shared = shared.get(name) == dataclasses.replace(setting, default_with=())
        return PANELS.index(setting.panel), -1 if is_shared else fields.index(name)

    for name, setting in sorted(kind.described(), key=position):
        field = kind.model_fields[name]
        option = typer.Option(
            option_of(name, setting),
            help=_help(setting, field.default),
            metavar=setting.metavar or _choices(field),
            rich_help_panel=setting.panel,
            show_default=False,
        )
        annotation = Annotated[_plain(field.annotation) | None, option]  # type: ignore[valid-type]
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(setting: Setting, default: object) -> str:
    """Return the help of a setting: its sentence, the methods that read it, and the default.

    >>> _help(Setting("M of the L tokens.", "Method", methods=("scing",)), 2)
    'M of the L tokens (scing; default: 2).'
    """
    shown = setting.default or _shown(setting, default)
    for _, values, other in setting.default_with:
        shown = f"{shown}; {', '.join(map(str, values))}: {_shown(setting, other)}"
    of_rows = [name for name, spec in METHODS.items() if setting.rows == spec.rows != IMAGES]
    notes = [", ".join(setting.methods or of_rows), f"default: {shown}" if shown else ""]
    note = "; ".join(filter(None, notes))
    return f"{setting.help.removesuffix('.')} ({note})." if note else setting.help


def _shown(setting: Setting, default: object) -> str:
    """Return a default in the form of the command line; empty for a flag that is off."""
    if isinstance(default, bool):
        return ("on" if default else "off") if "/" in setting.option else ""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, float):
        return f"{default:g}".replace("e-0", "e-")  # 5e-5, not 5e-05
    return "" if default is None else str(default)


def _turns_off(setting: Setting) -> bool:
    return setting.option.startswith("--no-")


def _choices(field: FieldInfo) -> str | None:
    annotation = field.annotation
    return "|".join(map(str, get_args(annotation))) if get_origin(annotation) is Literal else None


def _is_list(annotation: object) -> bool:
    return get_origin(annotation) is tuple


def _plain(annotation: Any) -> type:
    """Return the type that Typer parses; pydantic checks the value later.

    >>> _plain(Literal[0, 1]), _plain(float | None), _plain(tuple[int, ...])
    (<class 'int'>, <class 'float'>, <class 'str'>)
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return next(_plain(member) for member in get_args(annotation) if member is not type(None))
    if origin is Literal:
        return type(get_args(annotation)[0])
    return str if _is_list(annotation) else annotation
