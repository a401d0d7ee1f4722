"""Adapt a command's function for Typer: read numbers, refuse URLs and repeated options, complete known values.

Typer would report a wrong number in its own words: `Input should be greater than or equal to 1`, without the value.
"""

from __future__ import annotations

import copy
import functools
import inspect
import re
import types
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from typer.core import TyperCommand
from typer.models import OptionInfo

from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.paths import check_local

Command = Callable[..., None]
NOUNS = {int: "a whole number", float: "a number"}
PLACES = frozenset({"--model", "--pretrained"})  # options that take a path or a name
EMPTY_REMEDY = "Is a variable of the shell not set? Name a path, or leave it out."
REMEDY = "It takes one value: leave out what does not apply."


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


def path_parameters(command: Command) -> frozenset[str]:
    """Return the names of a command's parameters that are a path, or several."""

    def is_path(annotation: Any) -> bool:
        return annotation is Path or any(map(is_path, get_args(annotation)))

    parameters = inspect.signature(command, eval_str=True).parameters.values()
    return frozenset(each.name for each in parameters if is_path(each.annotation))


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


class OnceCommand(TyperCommand):
    """A command that refuses an option given twice, of which the last value would win silently, and empty paths."""

    paths: frozenset[str] = frozenset()
    """The names of the parameters that are paths."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options.

        Raises:
            SettingError: If an option that takes one value was given twice, or a flag both on and off, or a path is
                empty: as `Path` it would be the current folder.
        """
        given = list(args)  # the parser removes what it reads
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            values, _, order = self.make_parser(ctx).parse_args(args=given.copy())
            self._check_once(order, given)
            self._check_not_empty(values)
        return rest

    def _check_not_empty(self, values: Mapping[str, Any]) -> None:
        for param in self.params:
            found = values.get(str(param.name))
            named = param.name in self.paths or not PLACES.isdisjoint(param.opts)
            if named and "" in (found if isinstance(found, list | tuple) else [found]):
                option = param.opts[0] if param.param_type_name == "option" else str(param.metavar or param.name)
                raise SettingError(f"{option}: the path is empty.", EMPTY_REMEDY)

    def _check_once(self, order: Iterable[Any], given: Sequence[str]) -> None:
        counts: Counter[Any] = Counter(order)
        for param in (param for param, times in counts.items() if times > 1 and not may_repeat(param)):
            if not param.is_flag:
                raise SettingError(f"{' (or '.join(param.opts)}{')' * (len(param.opts) - 1)} was given twice.", REMEDY)
            on, off = param.opts[0], (*param.secondary_opts, "")[0]
            if on in given and off in given:
                raise SettingError(f"{on} and {off} were both given.", "Leave out one of the two.")


def may_repeat(param: Any) -> bool:
    """Return whether a parameter of a command may be given several times."""
    return param.param_type_name != "option" or bool(param.multiple or param.count)


def _methods() -> Iterable[str]:
    from scing_cli.core.settings.method_table import METHODS

    return METHODS


def _models() -> Iterable[str]:
    from scing_cli.core.encoders.architecture import known_models

    return known_models()


NAMES: Mapping[str, Callable[[], Iterable[str]]] = {
    "--layout": lambda: ("auto", *LAYOUTS),
    "--method": _methods,
    "--model": _models,
}
CHOICE = re.compile(r"[a-z0-9_-]+(\|[a-z0-9_-]+)*")  # a metavar such as query|val


def completed(option: str, metavar: str | None) -> Callable[[str], list[str]] | None:
    """Return the completion of an option's values; None if they are not known.

    Args:
        option: The option's name.
        metavar: The placeholder of its value in the help; `query|val` lists the values.
    """
    names = NAMES.get(option)
    if names is None and CHOICE.fullmatch(metavar or ""):
        names = str(metavar).split("|").copy
    if names is None:
        return None

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete
