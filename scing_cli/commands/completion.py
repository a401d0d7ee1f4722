"""Shell completion: print or install the script of a shell, and complete the values of options.

The scripts and their answers are Typer's. They run `scing` with the words typed so far; nothing heavy is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from scing_cli.core.errors import ScingError, SettingError
from scing_cli.core.layouts import LAYOUTS

SHELLS = ("bash", "zsh", "fish")
DETECT = "detect"
PROGRAM, VARIABLE = "scing", "_SCING_COMPLETE"
OPTIONS = ("--install-completion", "--show-completion")


def _methods() -> Iterable[str]:
    from scing_cli.core.settings.prompt_settings import METHODS

    return METHODS


def _models() -> Iterable[str]:
    from scing_cli.core.encoders.architecture import known_models

    return known_models()


NAMES: Mapping[str, Callable[[], Iterable[str]]] = {
    "--layout": lambda: ("auto", *LAYOUTS),
    "--method": _methods,
    "--model": _models,
}
CHOICE = re.compile(r"[a-z0-9-]+(\|[a-z0-9-]+)*")  # a metavar such as query|val


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


def prepare_completion() -> None:
    """Make Typer answer the scripts; needed only when one of them has called the program."""
    if VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()


def with_shell(arguments: list[str]) -> list[str]:
    """Return the arguments; a completion option without a shell gets the value `detect`.

    >>> with_shell(["--show-completion"]), with_shell(["--show-completion", "zsh"])
    (['--show-completion', 'detect'], ['--show-completion', 'zsh'])
    """
    if not arguments or arguments[0] not in OPTIONS:
        return arguments
    named = len(arguments) > 1 and not arguments[1].startswith("-")
    return arguments if named else [arguments[0], DETECT, *arguments[1:]]


def install_completion(shell: str | None) -> None:
    """Install the script of a shell for the user, and leave.

    Raises:
        SettingError: If the shell is unknown.
        ScingError: If the user has no home folder, or it cannot be written.
    """
    if shell is None or VARIABLE in os.environ:  # a script that asks for words must change nothing
        return
    shell = _checked("--install-completion", shell)
    from typer._completion_shared import install

    try:
        _, path = install(shell=shell, prog_name=PROGRAM, complete_var=VARIABLE)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no home folder"
        raise ScingError(
            f"--install-completion: the script of {shell} cannot be installed: {reason}.",
            f"Print it, and install it yourself: scing --show-completion {shell}",
        ) from error
    typer.echo(f"Installed for {shell}: {path}\nOpen a new terminal to use it.")
    raise typer.Exit


def show_completion(shell: str | None) -> None:
    """Print the script of a shell, and leave.

    Raises:
        SettingError: If the shell is unknown.
    """
    if shell is None or VARIABLE in os.environ:  # a script that asks for words must change nothing
        return
    shell = _checked("--show-completion", shell)
    from typer._completion_shared import get_completion_script

    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))
    raise typer.Exit


def _checked(option: str, shell: str) -> str:
    found = _detect() if shell == DETECT else shell
    if found in SHELLS:
        return found
    what = f"{option} {found!r}: must be one of {', '.join(SHELLS)}."
    raise SettingError(what if found else f"{option}: the shell is not known.", f"Name it: scing {option} bash")


def _detect() -> str:
    """Return the name of the shell that runs this program, or of the user's login shell."""
    import shellingham

    try:
        name: Any = shellingham.detect_shell()[0]
    except (shellingham.ShellDetectionFailure, OSError):
        name = ""
    return str(name) if name in SHELLS else Path(os.environ.get("SHELL", "")).name
