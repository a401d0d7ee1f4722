"""Adapt a command's function for Typer: read numbers, refuse URLs, complete the words that an option knows.

Typer would report a wrong number in its own words: `Input should be greater than or equal to 1`, without the value.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from typer.models import OptionInfo

from scing_cli.commands.completion import completed
from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.paths import check_local

Command = Callable[..., None]
NOUNS = {int: "a whole number", float: "a number"}


def typed_command(command: Command) -> Command:
    """Return the command with numbers read by `read_number`, URLs refused as paths, and choices that complete.

    Args:
        command: A function whose parameters have the annotations that Typer reads.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = [each.replace(annotation=_annotated(each.annotation)) for each in signature.parameters.values()]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for value in values.values():
            for path in value if isinstance(value, list | tuple) else [value]:
                if isinstance(path, Path):
                    check_local(path)
        command(**values)

    run.__annotations__ = {each.name: each.annotation for each in parameters}
    vars(run)["__signature__"] = signature.replace(parameters=parameters)  # Typer reads it
    return run


def read_number(option: str, text: object, kind: type, *, least: float | None, most: float | None) -> object:
    """Return the number that a text names; a default, which is not a text, stays as it is.

    Args:
        option: The option, for messages.
        text: The text of the command line.
        kind: int or float.
        least: The smallest number allowed; None without a limit.
        most: The largest, likewise.

    Raises:
        SettingError: If it is not a number or out of range.

    >>> read_number("--seed", "7", int, least=0, most=None)
    7
    """
    if not isinstance(text, str):
        return text
    shown = f"{option} {spelled(text) if text.strip() else repr(text)}"
    try:
        number = kind(text)
    except ValueError:
        raise SettingError(f"{shown}: must be {NOUNS[kind]}.") from None
    low, high = least is None or number >= least, most is None or number <= most
    if low and high:
        return number
    if least is not None and most is not None:
        raise SettingError(f"{shown}: must be between {least:g} and {most:g}.")
    raise SettingError(f"{shown}: must be at {'most' if low else 'least'} {most if low else least:g}.")


def _annotated(annotation: Any) -> Any:
    """Return the annotation of a parameter; an option in it is adapted."""
    if get_origin(annotation) is not Annotated:
        return annotation
    kept, *others = get_args(annotation)
    kind = _number(kept)
    changed = [_adapted(other, kind) if isinstance(other, OptionInfo) else other for other in others]
    return Annotated[(kept, *changed)]


def _adapted(option: OptionInfo, kind: type | None) -> OptionInfo:
    """Return a copy of an option whose values complete, and which reads its number itself."""
    changed = copy.copy(option)
    # inside Annotated, Typer takes the first name for a default until it reads the parameter
    name = _name(each for each in (option.default, *(option.param_decls or ())) if isinstance(each, str))
    changed.autocompletion = completed(name, option.metavar)
    if kind is not None:
        changed.parser = functools.partial(_parse, name, kind, option.min, option.max)
        vars(changed.parser)["__name__"] = kind.__name__
        changed.metavar = " ".join(filter(None, [option.metavar or f"<{kind.__name__}>", _range(option)]))
        changed.min = changed.max = None
    return changed


def _number(annotation: Any) -> type | None:
    """Return int or float for `int`, `float`, `int | None`, `float | None`; None for all else."""
    members = get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else (annotation,)
    return next((member for member in members if member in NOUNS), None)


def _parse(name: str, kind: type, least: float | None, most: float | None, text: object) -> object:
    return read_number(name, text, kind, least=least, most=most)


def _name(declared: Iterable[str]) -> str:
    """Return the long name of an option, or the only one.

    >>> _name(("--output", "-o")), _name(["-k"])
    ('--output', '-k')
    """
    names = list(declared)
    return next((name for name in names if name.startswith("--")), names[0])


def _range(option: OptionInfo) -> str:
    """Return the range of a number as Typer's help shows it."""
    least, most = option.min, option.max
    if least is None and most is None:
        return ""
    if most is None:
        return f"[x>={least:g}]"
    return f"[{'' if least is None else f'{least:g}<='}x<={most:g}]"
