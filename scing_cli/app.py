"""The command line: six commands, in the order of the data flow. A user error is one message and exit code 2."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from scing_cli import __version__
from scing_cli.commands import completion, console
from scing_cli.commands.failures import print_failure, print_usage_error
from scing_cli.commands.typed import OnceCommand, completed, path_parameters, typed_command
from scing_cli.core.errors import WRITE_REMEDY, InterruptionError, ScingError, spelled
from scing_cli.environment import is_launched, output_is_lost

LOST_REMEDY = "Leave it open, or send it to a file or to the null device. Files that the command writes are there."
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
# disk full, quota exceeded, file too large, read-only file system
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
COMMANDS = {  # name: (summary for the top help, equal to the first line of the docstring; an example)
    "prepare": (
        "Read a data set, open every image, and write its manifest; with --synthetic, draw the data set first.",
        "scing prepare ./Market-1501",
    ),
    "train-prompts": (
        "Stage 1: make the run, and learn the method's prompts; the encoders are frozen by default.",
        "scing train-prompts --data ./Market-1501",
    ),
    "train-visual": (
        "Stage 2: tune the image encoder; with methods that learn from captions, both encoders.",
        "scing train-visual",
    ),
    "embed": ("Embed images as unit vectors into a FAISS inner-product index with stable ids.", "scing embed"),
    "evaluate": (
        "Rank the gallery for every query, a photo or a caption: mAP, mINP, CMC; no re-ranking unless asked for.",
        "scing evaluate --split query",
    ),
    "search": (
        "Rank the gallery by similarity to a photo; scores are cosines.",
        "scing search photo.jpg --index gallery.faiss --montage ranking.png",
    ),
}


class _LazyCommand(TyperCommand):
    """A command whose module is imported only to run it or to show its help; the top help needs only the summary."""

    def __init__(self, name: str, summary: str, example: str) -> None:
        super().__init__(name, help=summary)
        self.example = example

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Import the command and parse its options."""
        return self.load().make_context(*arguments, **options)

    def load(self) -> Any:
        """Return the Typer command for the function that has the same name as its module."""
        name = str(self.name).replace("-", "_")
        function = getattr(importlib.import_module(f"scing_cli.commands.{name}"), name)
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(self.name, cls=OnceCommand, epilog=f"Example: {self.example}")(typed_command(function))
        command = typer.main.get_command(single)
        vars(command)["paths"] = path_parameters(function)
        return command


class _Commands(TyperGroup):
    """The six commands. Messages about invalid options escape unprintable characters in names from outside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (summary, example) in COMMANDS.items():
            self.add_command(_LazyCommand(name, summary, example))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **options: Any) -> Any:
        """Parse the options before the command."""
        with _escaped_messages():
            if args[:1] and args[0] in completion.OPTIONS and not options.get("resilient_parsing"):
                args = completion.with_shell(args)
            return super().make_context(info_name, args, parent, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _escaped_messages():
            return super().invoke(ctx)


@contextlib.contextmanager
def _escaped_messages() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            vars(error)["message"] = spelled(message)
            print_usage_error(error)
        raise


app = typer.Typer(
    name="scing",
    cls=_Commands,
    help="Person re-identification with SCING: from a folder of crops to a ranked search.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"scing {__version__}")
        raise typer.Exit


def _install_completion(shell: str | None) -> None:
    if shell is not None:
        completion.install_completion(shell)


def _show_completion(shell: str | None) -> None:
    if shell is not None:
        completion.show_completion(shell)


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    install_completion: Annotated[
        str | None,
        typer.Option(
            "--install-completion",
            callback=_install_completion,
            autocompletion=completed("", "bash|zsh|fish"),
            is_eager=True,
            help="Install completion for this shell, or for the one named.",
            metavar="[bash|zsh|fish]",
        ),
    ] = None,
    show_completion: Annotated[
        str | None,
        typer.Option(
            "--show-completion",
            callback=_show_completion,
            autocompletion=completed("", "bash|zsh|fish"),
            is_eager=True,
            help="Print the script that does it.",
            metavar="[bash|zsh|fish]",
        ),
    ] = None,
) -> None:
    del version, install_completion, show_completion


def main(warnings: Sequence[str] = ()) -> None:
    """Run the command line; exit with 0, 2 (user error), 1 (internal error), 130 (Ctrl-C) or 143 (SIGTERM).

    Args:
        warnings: What to warn of first.
    """
    code: str | int | None = 0
    signals = [] if is_launched() else _interrupt_on_sigterm()
    try:
        if completion.VARIABLE in os.environ:  # a script of a shell asks for words
            completion.prepare_completion()
        for warning in warnings:
            console.show_warning(warning)
        app(prog_name=completion.PROGRAM)
    except SystemExit as end:  # raised by Typer: 0 at the end, 2 for a usage error, 130 on Ctrl-C, without a message
        code = end.code
        if not code and output_is_lost() and not is_launched():
            console.show_error(f"Standard output is closed: the result was not printed.\n{LOST_REMEDY}")
            code = 2
    except InterruptionError as stop:
        _ignore_signals()
        code = 128 + (signals[-1] if signals else stop.number)
        remedy = f"{stop.remedy}\n{shlex.join(['scing', *sys.argv[1:]])}" if stop.again else stop.remedy
        console.show_interruption(f"{stop.what}\n{remedy}")
        print_failure("Interruption", stop.what, remedy, code)
        sys.exit(code)
    except ScingError as error:
        code = _fail(str(error), error, 2)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  every other exception is an internal error
        code = _fail(*_describe(error))
    _ignore_signals()
    if code == INTERRUPTED:
        console.show_interruption("Interrupted.")
        code = 128 + signals[-1] if signals else INTERRUPTED
        print_failure("Interruption", "Interrupted.", "", code)
    sys.exit(code)


def _interrupt_on_sigterm() -> list[int]:
    """Make SIGTERM raise KeyboardInterrupt, as Ctrl-C does; return a list that records the signal's number."""
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        raise KeyboardInterrupt

    # If the parent process made SIGTERM ignored, as nohup does with SIGHUP, it stays ignored.
    ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    if threading.current_thread() is threading.main_thread() and not ignored:
        signal.signal(signal.SIGTERM, end)
    return received


def _ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM: the work is done, and a late signal must not change the exit code."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _describe(error: Exception) -> tuple[str, Exception, int]:
    """Return the message, the error and the exit code for an unexpected error: a full disk, or an internal error."""
    if isinstance(error, OSError) and error.errno in FULL:
        return f"Cannot write: {error.strerror}.\n{WRITE_REMEDY}", error, 2
    what = f"Internal error: {type(error).__name__}: {error}"
    return f"{what}\nThis is a bug in scing; --debug shows the traceback.", error, 1


def _fail(message: str, error: Exception, code: int) -> int:
    console.show_error(message)
    what, _, remedy = message.partition("\n")
    if isinstance(error, ScingError):
        what, remedy = error.what, error.remedy
    print_failure(type(error).__name__ if code == 2 else "InternalError", what, remedy, code)
    if console.debugging():
        lines = "".join(traceback.format_exception(error)).split("\n")
        sys.stderr.write("\n".join(map(spelled, lines)))
    return code
