"""Print the result of `scing search`, as JSON or as tables.

A table of hits fits the terminal, and hits that differ look different. A path that does not fit loses its front, not
its file name. Where standard output is not a terminal, nothing is cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import spelled
from scing_cli.core.runtime import standard_output
from scing_cli.core.spectra import COLUMNS as SPECTRUM_COLUMNS
from scing_cli.core.spectra import VISIBLE

if TYPE_CHECKING:
    from scing_cli.commands.thumbnails import Thumbnails
    from scing_cli.core.index import Row
    from scing_cli.core.workflows.search.search_gallery import QueryHits, SearchReport
    from scing_cli.core.workflows.shared.vectors import Box

COLUMNS = ("rank", "score", "identity", "camera", "path")
LEFT = ("path",)  # aligned left
FRAME = 3 * len(COLUMNS) + 1  # columns of the lines and the padding between them
LEAST = 24  # fewest columns of a path in a table with lines; a file name of Market-1501 has 23
INDENT = "      "


def payload_of(found: SearchReport) -> dict[str, Any]:
    """Return the result as `--json` prints it."""
    results: list[dict[str, Any]] = [{"query": _query(own), "hits": _hits(own)} for own in found.results]
    left_out = [dataclasses.asdict(fault) for fault in found.left_out]
    payload: dict[str, Any] = {"results": results, "left_out": left_out}
    if found.joined:
        results[0]["joined"] = [str(photo) for photo in found.joined]
    if found.threshold is not None:
        for own, result in zip(found.results, results, strict=True):
            result |= {"match": bool(own.hits), "best_below": own.best_below}
        payload["threshold"] = found.threshold.summary()
    payload["passed_over"] = [dataclasses.asdict(entry) for entry in found.passed_over]
    pictures = {"montage": found.montage, "saliency": found.saliency}
    return payload | {name: str(picture) for name, picture in pictures.items() if picture}


def _query(found: QueryHits) -> str | dict[str, str]:
    """Return a photo alone as its path; words, and images of other spectra, as an object."""
    named = {} if found.shown is None else found.shown.named()
    if found.text:
        return {"text": found.text, **named}
    return named["photo"] if set(named) == {"photo"} else named


def _hits(found: QueryHits) -> list[dict[str, Any]]:
    names = ("path", "identity", "camera")
    return [
        {"rank": rank, "score": hit.score, **{name: getattr(hit.row, name) for name in names}, **_further(hit.row)}
        for rank, hit in enumerate(found.hits, 1)
    ]


def _further(row: Row) -> dict[str, Any]:
    """Return the images of a row besides the one of `path`; nothing for an ordinary image."""
    if not row.views:
        return {}
    names = {VISIBLE: "visible", **SPECTRUM_COLUMNS}
    return {"images": {names[spectrum]: view.file.as_posix() for spectrum, view in row.images.items()}}


def show(found: SearchReport, terminal: Terminal, strips: Thumbnails | None, box: Box | None) -> None:
    """Print a table of hits for each photo, or that it has none.

    Args:
        found: The result of the search.
        terminal: Where to print.
        strips: Shows each photo with its hits as a picture; None for tables only.
        box: The person's box in every photo.
    """
    for own in found.results:
        if not own.hits:
            below = f": the best score is {own.best_below:.4f}" if own.best_below is not None else ""
            nothing = "no hits" if found.threshold is None else "no match"
            said = f": {nothing}{below}"
            terminal.say(fitting(own.label, terminal.stdout, beside=len(said)) + said)
            continue
        print_hits(own.label, _hits(own), terminal.stdout)
        if strips is not None:
            strips.show(own, found.identities.get(own.query, "") if own.query else "", box)


def front_cut(text: str, width: int) -> str:
    """Return the end of a text, after an ellipsis; the whole text if it fits into `width` columns.

    >>> front_cut("gallery/0001_c1s1_000001_00.jpg", 20)
    '…_c1s1_000001_00.jpg'
    """
    if cell_len(text) <= width:
        return text
    end = text
    while (over := cell_len(end) - width + 1) > 0 and end:
        end = end[max(over // 2, 1) :]  # a character has at most two columns
    return f"…{end}"


def print_hits(title: str, hits: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print one photo's hits.

    Args:
        title: The photo.
        hits: At least one, with the keys of `COLUMNS`; the score is a number.
        console: Standard output.
    """
    rows = [_cells(hit) for hit in hits]
    widest = [max(map(cell_len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    others = FRAME + sum(widest[:-1])
    if not is_terminal(console):
        console = type(console)(file=console.file, width=others + widest[-1], highlight=False, soft_wrap=True)
    room = console.width - others
    with standard_output():
        console.print(Text(fitting(title, console), style="bold"), soft_wrap=True)
        if room >= min(widest[-1], LEAST):
            _print_table(_with_paths(rows, room), console)
        else:
            _print_lines(_with_paths(rows, console.width - len(INDENT)), console)


def is_terminal(console: Console) -> bool:
    """Return whether a console writes to a terminal, which breaks lines that are too long."""
    return console.file.isatty()


def fitting(text: str, console: Console, *, beside: int = 0) -> str:
    """Return a text that fits a line of the console, its front cut; whole if that is not a terminal.

    Args:
        text: The text; it is escaped.
        console: Where it is to be printed.
        beside: Columns of the line that are taken.
    """
    shown = spelled(text)
    return front_cut(shown, console.width - beside) if is_terminal(console) else shown


def _cells(hit: Mapping[str, Any]) -> list[str]:
    score = f"{hit['score']:.4f}"
    return [str(hit["rank"]), score, *(spelled(hit[name]) for name in COLUMNS[2:])]


def _with_paths(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Return rows whose paths fit; paths that would look the same stay whole, and are printed on several lines."""
    cut = [front_cut(row[-1], width) for row in rows]
    shown: dict[str, set[str]] = {}
    for short, row in zip(cut, rows, strict=True):
        shown.setdefault(short, set()).add(row[-1])
    return [[*row[:-1], short if len(shown[short]) == 1 else row[-1]] for short, row in zip(cut, rows, strict=True)]


def _print_table(rows: Sequence[Sequence[str]], console: Console) -> None:
    table = Table(header_style="bold")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in LEFT else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_lines(rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print each hit's values on one line, and its path below; longer ones are folded, the path at any character."""
    for rank, score, identity, camera, path in rows:
        named = [f"identity {identity}"] if identity else []
        named += [f"camera {camera}"] if camera else []
        console.print(Text("  ".join([f"{rank:>4}", score, *named])), overflow="fold")
        for part in chop_cells(path, max(console.width - len(INDENT), 1)):
            console.print(Text(INDENT + part), soft_wrap=True)
