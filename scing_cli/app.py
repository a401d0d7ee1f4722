"""The command line: six commands in the order data flows. What the user can mend is one message and exit code 2."""

from __future__ import annotations

import contextlib
import errno
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scing_cli import __version__
from scing_cli.commands import console
from scing_cli.commands.embed import embed
from scing_cli.commands.evaluate import evaluate
from scing_cli.commands.prepare import prepare
from scing_cli.commands.search import search
from scing_cli.commands.train_prompts import train_prompts
from scing_cli.commands.train_visual import train_visual
from scing_cli.core.errors import WRITE_REMEDY, InterruptionError, ScingError, spelled

INTERRUPTED = 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class _Commands(TyperGroup):
    """Spells out what is not printable in messages about wrong options: they repeat names from outside."""

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
for name, command, example in (
    ("prepare", prepare, "scing prepare ./Market-1501"),
    ("train-prompts", train_prompts, "scing train-prompts --data ./Market-1501"),
    ("train-visual", train_visual, "scing train-visual"),
    ("embed", embed, "scing embed"),
    ("evaluate", evaluate, "scing evaluate --split query"),
    ("search", search, "scing search photo.jpg --index gallery.faiss --montage ranking.png"),
):
    app.command(name, epilog=f"Example: {example}")(command)


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
