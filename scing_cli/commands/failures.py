"""The one JSON object that a failed command prints with `--json`."""

from __future__ import annotations

import contextlib
import re
import sys
from typing import Any

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import spelled

_MEANS_JSON = re.compile(r"--?js\w*(=|$)", re.IGNORECASE)  # no other option begins so


def wants_json(arguments: list[str]) -> bool:
    """Return whether `--json` is among the arguments of a command line, before `--`, also if it is misspelt.

    >>> wants_json(["embed", "--json"]), wants_json(["search", "--", "--json"]), wants_json(["embed", "--jso=1"])
    (True, False, True)
    """
    return any(map(_MEANS_JSON.match, arguments[: arguments.index("--") if "--" in arguments else None]))


def print_failure(kind: str, what: str, remedy: str, code: int) -> None:
    """Print a failure on standard output, if the command line has `--json`; the message itself goes to stderr.

    Args:
        kind: The name of the error.
        what: What is wrong.
        remedy: What to do next; may be empty.
        code: The exit code.
    """
    if not wants_json(sys.argv[1:]):
        return
    failure = {"error": kind, "what": what, "remedy": remedy, "exit_code": code}
    # Standard output may be what failed.
    with contextlib.suppress(Exception, SystemExit):
        Terminal(as_json=True).result(failure)


def print_usage_error(error: Any) -> None:
    """Print an error of Typer's parser, like `print_failure`.

    Args:
        error: The exception; it has a message, mostly a context, and an exit code.
    """
    message = str(error.format_message() if hasattr(error, "format_message") else error)
    context = getattr(error, "ctx", None)
    remedy = f"Try: {context.command_path} --help" if context is not None else ""
    print_failure("UsageError", spelled(" ".join(message.split())), remedy, getattr(error, "exit_code", 2))
