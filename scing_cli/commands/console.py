"""Tables, progress and messages. Results go to stdout, all else to stderr."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scing_cli.core.runtime import Advance

if TYPE_CHECKING:
    from scing_cli.core.evaluation import Scores
    from scing_cli.core.training import Fit

_state = {"debug": False}
PLAIN_INTERVAL = 10.0  # seconds between progress lines where there is no terminal


def debugging() -> bool:
    """Tell whether `--debug` was given."""
    return _state["debug"]


def set_debug(wanted: bool) -> bool:
    """Remember `--debug`."""
    _state["debug"] = wanted
    return wanted


def show_error(message: str) -> None:
    """Print one message on stderr: the first line marked, the others indented below it."""
    first, *others = message.splitlines()
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    stderr.print(f"[bold red]Error:[/] {escape(first)}")
    for line in others:
        stderr.print(f"       {escape(line)}")


class Terminal:
    """What a command talks to: core's reporter, and the printer of its result.

    Args:
        as_json: One JSON object on stdout instead of tables.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.stdout = Console(highlight=False)
        self.stderr = Console(stderr=True, highlight=False)

    def note(self, text: str) -> None:
        """Say something worth knowing."""
        self.stderr.print(escape(text), style="dim", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say something that may be wrong."""
        self.stderr.print(f"[yellow]Warning:[/] {escape(text)}", soft_wrap=True)

    def progress(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Open a bar with rate and time left; plain lines where stderr is no terminal."""
        return self._bar(description, total) if self.stderr.is_terminal else self._lines(description, total)

    @contextlib.contextmanager
    def _bar(self, description: str, total: int) -> Iterator[Advance]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[text]}"),
        )
        start = time.monotonic()
        with Progress(*columns, console=self.stderr, transient=True) as bar:
            task = bar.add_task(description, total=total, text="", rate="")

            def advance(steps: int, text: str = "") -> None:
                done = bar.tasks[0].completed + steps
                bar.update(task, advance=steps, text=text, rate=_rate(done, time.monotonic() - start))

            yield advance

    @contextlib.contextmanager
    def _lines(self, description: str, total: int) -> Iterator[Advance]:
        start = said = time.monotonic()
        done, last = 0, ""

        def advance(steps: int, text: str = "") -> None:
            nonlocal done, said, last
            done, last = done + steps, text
            now = time.monotonic()
            if now - said >= PLAIN_INTERVAL:
                said = now
                left = (now - start) / done * max(total - done, 0)
                self._line(description, done, total, _rate(done, now - start), f"{_duration(left)} left", text)

        yield advance
        seconds = time.monotonic() - start
        if seconds > 1:
            self._line(description, done, total, _rate(done, seconds), f"took {_duration(seconds)}", last)

    def _line(self, description: str, done: int, total: int, *parts: str) -> None:
        self.stderr.print(escape(f"{description}: {done}/{total}, " + ", ".join(filter(None, parts))), soft_wrap=True)

    def result(self, payload: Mapping[str, Any]) -> bool:
        """Print the one JSON object if it is wanted; tell whether it was."""
        if self.as_json:
            sys.stdout.write(json.dumps(payload, ensure_ascii=False, allow_nan=False) + "\n")
        return self.as_json

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, text: int = 1) -> None:
        """Print a table: the first `text` columns are words, the others numbers."""
        table = Table(title=escape(title), title_justify="left", title_style="bold", header_style="bold")
        for place, column in enumerate(columns):
            table.add_column(column, justify="left" if place < text else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(str(cell)) for cell in row))
        self.stdout.print(table)

    def course(self, title: str, fit: Fit) -> None:
        """Print how a stage's figures went from the first to the last epoch."""
        rows = [(name.replace("_", " "), f"{fit.first[name]:.4f}", f"{fit.last[name]:.4f}") for name in fit.last]
        self.table(title, ("mean over", "first epoch", "last epoch"), rows)
        rate = fit.images / max(fit.seconds, 1e-9)
        self.say(f"{fit.steps:,} steps in {_duration(fit.seconds)} ({rate:,.0f} images/s)")

    def scores(self, title: str, scores: Scores) -> None:
        """Print an evaluation's table, in percent."""
        names = (("mAP", "mAP"), ("mINP", "mINP"), ("rank-1", "rank1"), ("rank-5", "rank5"), ("rank-10", "rank10"))
        cells = [f"{getattr(scores, field):.2f}" for _, field in names]
        self.table(title, [label for label, _ in names], [cells], text=0)

    def say(self, text: str) -> None:
        """Print a line of the result."""
        self.stdout.print(escape(text), soft_wrap=True)


def shorten(text: str, width: int) -> str:
    """Shorten a long text in its middle.

    >>> shorten("gallery/0001_c1s1_000001_00.jpg", 20)
    'gallery/00…01_00.jpg'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2 + (width - 1) % 2
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]


def _rate(done: float, seconds: float) -> str:
    rate = done / max(seconds, 1e-9)
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
