"""Print tables, progress and messages. Results go to stdout, everything else to stderr.

Untrusted text, such as file names, is printed without markup or emoji codes and with control characters escaped, so
that it can neither colour nor move the text around it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from scing_cli.core.errors import counted, spelled
from scing_cli.core.runtime import Advance, standard_output

if TYPE_CHECKING:
    from scing_cli.core.evaluation import Scores
    from scing_cli.core.evaluation.tables import PublishedRow
    from scing_cli.core.training import Fit

    Figures = Scores | PublishedRow

_state = {"debug": False}
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells report it
PLAIN_INTERVAL = 10.0  # seconds between progress lines where there is no terminal
NARROWEST = 8  # characters of a column of words
LISTED = 10  # lines of a list
LONGEST = 5000  # characters of a line; the middle of longer ones is left out
MOST_LINES = 60  # lines of an error


def debugging() -> bool:
    """Return whether `--debug` was given."""
    return _state["debug"]


def set_debug(wanted: bool) -> bool:
    """Store the value of `--debug`, and return it."""
    _state["debug"] = wanted
    return wanted


def show_error(message: str) -> None:
    """Print an error on stderr: the first line after `Error:`, the others indented below it."""
    first, *others = message.split("\n")
    if len(others) > MOST_LINES:
        others = [*others[: MOST_LINES - 1], f"... and {len(others) - MOST_LINES + 1:,} more lines"]
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    stderr.print(Text.assemble(("Error:", "bold red"), " ", _plain(first)))
    for line in others:
        stderr.print(Text.assemble("       ", _plain(line)))


def show_warning(message: str) -> None:
    """Print a warning on stderr, where no command has begun."""
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    stderr.print(Text.assemble(("Warning:", "yellow"), " ", _plain(message)))


def show_interruption(message: str) -> None:
    """Print on stderr that Ctrl-C or SIGTERM ended the command, and on further lines what to do next."""
    # The same Ctrl-C may have ended the program that reads stderr, so a failure to print is ignored.
    with contextlib.suppress(Exception, SystemExit):
        stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        for line in message.split("\n"):
            stderr.print(_plain(line))


class Output(Console):
    """Standard output. If the program that reads it has ended, as `head` does, so does this one, as SIGPIPE would."""

    def on_broken_pipe(self) -> None:
        """End the program; what is not written yet goes nowhere."""
        self.quiet = True
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        raise SystemExit(PIPE_CLOSED)


class Terminal:
    """The reporter of a command, which also prints its result.

    Args:
        as_json: Print one JSON object on stdout instead of tables.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.stdout = Output(highlight=False)
        self.stderr = Console(stderr=True, highlight=False)

    def note(self, text: str) -> None:
        """Print a note on stderr."""
        self.stderr.print(_plain(text), style="dim", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        self.stderr.print(Text.assemble(("Warning:", "yellow"), " ", _plain(text)), soft_wrap=True)

    def progress(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Show a progress bar with rate and time left, or plain lines if stderr is not a terminal."""
        animated = self.stderr.is_terminal and not self.stderr.is_dumb_terminal
        return self._bar(description, total) if animated else self._lines(description, total)

    @contextlib.contextmanager
    def _bar(self, description: str, total: int) -> Iterator[Advance]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[text]}", markup=False),
        )
        start = time.monotonic()
        width = self.stderr.width  # texts are shortened to leave room for the count, the rate and the time left
        with Progress(*columns, console=self.stderr, transient=True) as bar:
            task = bar.add_task(shorten(spelled(description), width // 4), total=total, text="", rate="")

            def advance(steps: int, text: str = "") -> None:
                done = bar.tasks[0].completed + steps
                rate = _rate(done, time.monotonic() - start)
                bar.update(task, advance=steps, text=shorten(spelled(text), width // 3), rate=rate)

            yield advance

    @contextlib.contextmanager
    def _lines(self, description: str, total: int) -> Iterator[Advance]:
        start = printed = time.monotonic()
        done, last = 0, ""

        def advance(steps: int, text: str = "") -> None:
            nonlocal done, printed, last
            done, last = done + steps, text
            now = time.monotonic()
            if now - printed >= PLAIN_INTERVAL and done:
                printed = now
                left = (now - start) / done * max(total - done, 0)
                self._line(description, done, total, _rate(done, now - start), f"{_duration(left)} left", text)

        yield advance
        seconds = time.monotonic() - start
        if seconds > 1:
            self._line(description, done, total, _rate(done, seconds), f"took {_duration(seconds)}", last)

    def _line(self, description: str, done: int, total: int, *parts: str) -> None:
        self.stderr.print(_plain(f"{description}: {done}/{total}, " + ", ".join(filter(None, parts))), soft_wrap=True)

    def result(self, payload: Mapping[str, Any]) -> bool:
        """Print the result as one JSON object with `--json`; return whether it was printed."""
        if self.as_json:
            text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
            # Escape characters that a terminal cannot print, as JSON does with control characters.
            text = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
            try:
                text.encode(sys.stdout.encoding or "utf-8")
            except UnicodeEncodeError:  # the terminal's encoding is not UTF-8
                text = json.dumps(payload, allow_nan=False)
            with standard_output():
                sys.stdout.write(text + "\n")
        return self.as_json

    def listing(self, what: tuple[str, str], lines: Sequence[str]) -> None:
        """Print the number of lines and the first ones; nothing if there are none.

        Args:
            what: The noun after the number: singular, plural.
            lines: All lines.
        """
        if lines:
            self.say(f"{counted(len(lines), *what)}:")
        for line in lines[:LISTED]:
            self.say(f"  {line}")
        if len(lines) > LISTED:
            self.say(f"  and {len(lines) - LISTED:,} more (--json lists all)")

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, words: Sequence[str] = ()
    ) -> None:
        """Print a table. Columns named in `words` are aligned left, the others, which have numbers, right.

        A line break in the name of a column is one in its heading.

        Figures and the headings above them are never broken: a terminal that is too narrow gets one figure a line.
        """
        table = Table(title=_plain(title), title_justify="left", title_style="bold", header_style="bold")
        needed = 3 * len(columns) + 1  # borders
        for column, *cells in zip(columns, *rows, strict=True):
            width = max(len(text) for text in (*column.split("\n"), *map(str, cells)))
            heading = Text("\n").join(map(_plain, column.split("\n")))
            if column in words:
                width = min(width, NARROWEST)
                table.add_column(heading, overflow="fold", min_width=width)
            else:
                table.add_column(heading, justify="right", no_wrap=True)
            needed += width
        for row in rows:
            table.add_row(*(_plain(str(cell)) for cell in row))
        fits = needed <= self.stdout.width
        with standard_output():
            if fits:
                self.stdout.print(table)
            else:
                self._print_rows(title, columns, rows, words)

    def _print_rows(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], words: Sequence[str]
    ) -> None:
        """Print a table that is too wide for the terminal with one figure a line, below the words of its row."""
        self.stdout.print(_plain(title), style="bold")
        for row in rows:
            cells = [(column.replace("\n", " "), str(cell)) for column, cell in zip(columns, row, strict=True)]
            self.stdout.print(_plain(", ".join(cell for column, cell in cells if column in words)), overflow="fold")
            for column, cell in cells:
                if cell and column not in words:
                    self.stdout.print(_plain(f"  {column} {cell}"), overflow="ignore")

    def course(self, title: str, fit: Fit) -> None:
        """Print a training stage's figures in the first and the last epoch, and its speed."""
        rows = [(name.replace("_", " "), _figure(fit.first[name]), _figure(fit.last[name])) for name in fit.last]
        self.table(title, ("mean over", "first epoch", "last epoch"), rows, words=("mean over",))
        rate = fit.images / max(fit.seconds, 1e-9)
        self.say(f"{counted(fit.steps, 'step')} in {_duration(fit.seconds)} ({rate:,.0f} images/s)")

    def scores(self, title: str, rows: Sequence[tuple[str, Figures]]) -> None:
        """Print a table of evaluations and published figures, in percent. Names are omitted if all are empty."""
        names = (("mAP", "mAP"), ("mINP", "mINP"), ("rank-1", "rank1"), ("rank-5", "rank5"), ("rank-10", "rank10"))
        cells = [[_percent(own, field) for _, field in names] for _, own in rows]
        labels = [label for label, _ in names]
        if any(name for name, _ in rows):
            labels, cells = ["data", *labels], [[name, *own] for (name, _), own in zip(rows, cells, strict=True)]
        self.table(title, labels, cells, words=("data",))

    def say(self, text: str) -> None:
        """Print a line of the result on stdout."""
        with standard_output():
            self.stdout.print(_plain(text), soft_wrap=True)


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` characters; longer ones lose their middle.

    >>> shorten("gallery/0001_c1s1_000001_00.jpg", 20)
    'gallery/00…01_00.jpg'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2 + (width - 1) % 2
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]


def _plain(text: str) -> Text:
    """Return untrusted text without markup, with control characters escaped and a limited length."""
    return Text(spelled(shorten(text, LONGEST)))


def _figure(value: float) -> str:
    return f"{round(value, 4) + 0.0:.4f}"  # adding 0.0 turns -0.0 into 0.0


def _percent(own: Figures, field: str) -> str:
    """Return a score in percent, a published one as in the paper; an empty text if there is none."""
    from scing_cli.core.evaluation.tables import PublishedRow

    value = getattr(own, field, None)
    if value is None:
        return ""
    return str(value) if isinstance(own, PublishedRow) else f"{value:.2f}"


def _rate(done: float, seconds: float) -> str:
    rate = done / max(seconds, 1e-9)
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
