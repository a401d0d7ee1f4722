"""Shell completion: print or install the script of a shell.

The scripts and their answers are Typer's. They run `scing` with the words typed so far; nothing heavy is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from scing_cli.core.errors import ScingError, SettingError

SHELLS = ("bash", "zsh", "fish")
DETECT = "detect"
PROGRAM, VARIABLE = "scing", "_SCING_COMPLETE"
OPTIONS = ("--install-completion", "--show-completion")


def prepare_completion() -> None:
    """Make Typer answer the scripts."""
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


def install_completion(shell: str) -> None:
    """Install the script of a shell for the user, and leave.

    Raises:
        SettingError: If the shell is unknown.
        ScingError: If the user has no home folder, or it cannot be written.
    """
    if VARIABLE in os.environ:  # a script that asks for words must change nothing
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


def show_completion(shell: str) -> None:
    """Print the script of a shell, and leave.

    Raises:
        SettingError: If the shell is unknown.
    """
    if VARIABLE in os.environ:  # a script that asks for words must change nothing
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
