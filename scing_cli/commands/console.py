"""Tables, progress and messages. Results go to stdout, all else to stderr.

Text from outside (file names above all) is shown as it is: no markup, no emoji codes, and control characters spelled
out, so that a file's name can neither colour nor move what stands around it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
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
PLAIN_INTERVAL = 10.0  # seconds between progress lines where there is no terminal
LISTED = 10
LONGEST = 5000  # letters of a line: of longer ones, the middle is left out
MOST_LINES = 60  # of an error
PATH_WIDTH = 38  # of a path in a table: fits 80 columns


def debugging() -> bool:
    """Tell whether `--debug` was given."""
    return _state["debug"]


def set_debug(wanted: bool) -> bool:
    """Remember `--debug`."""
    _state["debug"] = wanted
    return wanted


def show_error(message: str) -> None:
    """Print one message on stderr: the first line marked, the others indented below it."""
    first, *others = message.split("\n")
    if len(others) > MOST_LINES:
        others = [*others[: MOST_LINES - 1], f"... and {len(others) - MOST_LINES + 1:,} more lines"]
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    stderr.print(Text.assemble(("Error:", "bold red"), " ", _plain(first)))
    for line in others:
        stderr.print(Text.assemble("       ", _plain(line)))


def show_interruption(message: str) -> None:
    """Say on stderr that Ctrl-C or SIGTERM ended it; what is to be done next stands on lines of its own.

    The reader of a pipe may have ended by the same Ctrl-C: that changes nothing.
    """
    with contextlib.suppress(Exception, SystemExit):
        stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        for line in message.split("\n"):
            stderr.print(_plain(line))


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
        self.stderr.print(_plain(text), style="dim", soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say something that may be wrong."""
        self.stderr.print(Text.assemble(("Warning:", "yellow"), " ", _plain(text)), soft_wrap=True)

    def progress(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Open a bar with rate and time left; plain lines where stderr is no terminal."""
        moves = self.stderr.is_terminal and not self.stderr.is_dumb_terminal
        return self._bar(description, total) if moves else self._lines(description, total)

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
        width = self.stderr.width  # texts are shortened: the count, the rate and the time left must keep their places
        with Progress(*columns, console=self.stderr, transient=True) as bar:
            task = bar.add_task(shorten(spelled(description), width // 4), total=total, text="", rate="")

            def advance(steps: int, text: str = "") -> None:
                done = bar.tasks[0].completed + steps
                rate = _rate(done, time.monotonic() - start)
                bar.update(task, advance=steps, text=shorten(spelled(text), width // 3), rate=rate)

            yield advance

    @contextlib.contextmanager
    def _lines(self, description: str, total: int) -> Iterator[Advance]:
        start = said = time.monotonic()
        done, last = 0, ""

        def advance(steps: int, text: str = "") -> None:
            nonlocal done, said, last
            done, last = done + steps, text
            now = time.monotonic()
            if now - said >= PLAIN_INTERVAL and done:
                said = now
                left = (now - start) / done * max(total - done, 0)
                self._line(description, done, total, _rate(done, now - start), f"{_duration(left)} left", text)

        yield advance
        seconds = time.monotonic() - start
        if seconds > 1:
            self._line(description, done, total, _rate(done, seconds), f"took {_duration(seconds)}", last)

    def _line(self, description: str, done: int, total: int, *parts: str) -> None:
        self.stderr.print(_plain(f"{description}: {done}/{total}, " + ", ".join(filter(None, parts))), soft_wrap=True)

    def result(self, payload: Mapping[str, Any]) -> bool:
        """Print the one JSON object if it is wanted; tell whether it was."""
        if self.as_json:
            text = json.dumps(payload, ensure_ascii=False, allow_nan=False)
            text = "".join(
                sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text
            )  # JSON's own escapes
            try:
                text.encode(sys.stdout.encoding or "utf-8")
            except UnicodeEncodeError:  # a terminal that is no UTF-8
                text = json.dumps(payload, allow_nan=False)
            with standard_output():
                sys.stdout.write(text + "\n")
        return self.as_json

    def listing(self, what: tuple[str, str], lines: Sequence[str]) -> None:
        """Print how many there are (`what`: of one, of many), and the first; nothing where there is none."""
        if lines:
            self.say(f"{counted(len(lines), *what)}:")
        for line in lines[:LISTED]:
            self.say(f"  {line}")
        if len(lines) > LISTED:
            self.say(f"  and {len(lines) - LISTED:,} more (--json lists all)")

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, words: Sequence[str] = ()
    ) -> None:
        """Print a table: the columns named in `words` begin on the left, the others are numbers."""
        table = Table(title=_plain(title), title_justify="left", title_style="bold", header_style="bold")
        for column in columns:
            table.add_column(_plain(column), justify="left" if column in words else "right", overflow="fold")
        for row in rows:
            table.add_row(*(_plain(str(cell)) for cell in row))
        with standard_output():
            self.stdout.print(table)

    def course(self, title: str, fit: Fit) -> None:
        """Print how a stage's figures went from the first to the last epoch."""
        rows = [(name.replace("_", " "), _figure(fit.first[name]), _figure(fit.last[name])) for name in fit.last]
        self.table(title, ("mean over", "first epoch", "last epoch"), rows, words=("mean over",))
        rate = fit.images / max(fit.seconds, 1e-9)
        self.say(f"{fit.steps:,} steps in {_duration(fit.seconds)} ({rate:,.0f} images/s)")

    def scores(self, title: str, rows: Sequence[tuple[str, Figures]]) -> None:
        """Print a table of evaluations and published figures, in percent; a single one needs no name."""
        names = (("mAP", "mAP"), ("mINP", "mINP"), ("rank-1", "rank1"), ("rank-5", "rank5"), ("rank-10", "rank10"))
        cells = [[_percent(own, field) for _, field in names] for _, own in rows]
        labels = [label for label, _ in names]
        if any(name for name, _ in rows):
            labels, cells = ["data", *labels], [[name, *own] for (name, _), own in zip(rows, cells, strict=True)]
        self.table(title, labels, cells, words=("data",))

    def say(self, text: str) -> None:
        """Print a line of the result."""
        with standard_output():
            self.stdout.print(_plain(text), soft_wrap=True)


def shorten(text: str, width: int) -> str:
    """Shorten a long text in its middle.

    >>> shorten("gallery/0001_c1s1_000001_00.jpg", 20)
    'gallery/00…01_00.jpg'
    """
    if len(text) <= width:
        return text
    head = (width - 1) // 2 + (width - 1) % 2
    return text[:head] + "…" + text[len(text) - (width - 1 - head) :]


def short_path(path: str, width: int = PATH_WIDTH) -> str:
    """Return a path from here where it lies below here; a long one is shortened in its middle, the file's name last."""
    text = path.removeprefix(f"{Path.cwd().as_posix()}/")
    name = len(text) - text.rfind("/")  # with its slash
    head = width - 1 - name
    if len(text) <= width or head < 1:
        return shorten(text, width)
    return f"{text[:head]}…{text[-name:]}"


def _plain(text: str) -> Text:
    """Return a text from outside without markup, its control characters spelled out, and no longer than a page."""
    return Text(spelled(shorten(text, LONGEST)))


def _figure(value: float) -> str:
    return f"{round(value, 4) + 0.0:.4f}"  # no -0.0000


def _percent(own: Figures, field: str) -> str:
    """Return a figure in percent, a published one as it was printed; nothing where there is none."""
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
