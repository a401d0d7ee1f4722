"""The command line: six commands in the order data flows. What the user can mend is one message and exit code 2."""

from __future__ import annotations

import contextlib
import errno
import importlib
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from scing_cli import __version__
from scing_cli.commands import console
from scing_cli.core.errors import WRITE_REMEDY, InterruptionError, ScingError, spelled

INTERRUPTED = 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
COMMANDS = {  # name: what the top help says of it, which is the first line of its docstring; an example
    "prepare": (
        "Read a data set, open every image, and write its manifest; with --synthetic, draw the data set first.",
        "scing prepare ./Market-1501",
    ),
    "train-prompts": (
        "Stage 1: learn each identity's prompts; both encoders stay frozen.",
        "scing train-prompts --data ./Market-1501",
    ),
    "train-visual": (
        "Stage 2: tune the whole image encoder towards the identity texts of stage 1.",
        "scing train-visual",
    ),
    "embed": ("Embed images as unit vectors into a FAISS inner-product index with stable ids.", "scing embed"),
    "evaluate": (
        "Rank the gallery for every query: mAP, mINP, CMC; single query, no re-ranking unless asked for.",
        "scing evaluate --split query",
    ),
    "search": (
        "Rank the gallery by its likeness to a photo; scores are cosines.",
        "scing search photo.jpg --index gallery.faiss --montage ranking.png",
    ),
}


class _LazyCommand(TyperCommand):
    """A command whose module is imported when it is run, or asked for its own help: the top help needs one line."""

    def __init__(self, name: str, summary: str, example: str) -> None:
        super().__init__(name, help=summary)
        self.example = example

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Import the command and read its options."""
        return self.load().make_context(*arguments, **options)

    def load(self) -> Any:
        """Return the command that Typer makes of the function of the same name in the module of the same name."""
        name = str(self.name).replace("-", "_")
        function = getattr(importlib.import_module(f"scing_cli.commands.{name}"), name)
        own = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        own.command(self.name, epilog=f"Example: {self.example}")(function)
        return typer.main.get_command(own)


class _Commands(TyperGroup):
    """The six commands. In messages about wrong options, what is not printable in names from outside is escaped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (summary, example) in COMMANDS.items():
            self.add_command(_LazyCommand(name, summary, example))

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the options that stand before the command."""
        with _spelled_out():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _spelled_out():
            return super().invoke(ctx)


@contextlib.contextmanager
def _spelled_out() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            vars(error)["message"] = spelled(message)
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


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scing {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line; leave with 0, 2 (what the user can mend), 1 (our fault), 130 (Ctrl-C) or 143 (SIGTERM)."""
    code: str | int | None = 0
    ended_by = _end_in_order()
    try:
        app()
    except SystemExit as left:  # Typer's own: 0 at the end, 2 after a usage error, 130 on Ctrl-C, of which it is silent
        code = left.code
    except InterruptionError as stop:
        _leave_in_peace()
        console.show_interruption(str(stop))
        sys.exit(128 + (ended_by[-1] if ended_by else stop.number))
    except ScingError as error:
        code = _fail(str(error), error, 2)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last door: whatever comes out here is our own fault, and is told so
        code = _fail(*_last_word(error))
    _leave_in_peace()
    if code == INTERRUPTED:
        console.show_interruption("Interrupted.")
        code = 128 + ended_by[-1] if ended_by else INTERRUPTED
    sys.exit(code)


def _end_in_order() -> list[int]:
    """Let SIGTERM end a command as Ctrl-C does, with nothing half-written; return where its number is noted."""
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)
        raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    if threading.current_thread() is threading.main_thread() and not ignored:
        signal.signal(signal.SIGTERM, end)
    return came


def _leave_in_peace() -> None:
    """Hear no signal any more: the work is done, and what it came to is told by the exit code."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _last_word(error: Exception) -> tuple[str, Exception, int]:
    """Return what to say of an error that no one else has told; of a full disk, and of our own faults."""
    if isinstance(error, OSError) and error.errno in FULL:
        return f"Cannot write: {error.strerror}.\n{WRITE_REMEDY}", error, 2
    fault = f"Internal error: {type(error).__name__}: {error}"
    return f"{fault}\nThis is a fault of scing; --debug shows where.", error, 1


def _fail(message: str, error: Exception, code: int) -> int:
    console.show_error(message)
    if console.debugging():
        lines = "".join(traceback.format_exception(error)).split("\n")
        sys.stderr.write("\n".join(map(spelled, lines)))
    return code
