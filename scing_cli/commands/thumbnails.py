"""Show pictures in the terminal by kitty's graphics protocol or sixel; needs the package textual-image."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from scing_cli.commands.console import Terminal

if TYPE_CHECKING:
    from textual_image.renderable import SixelImage, TGPImage

    from scing_cli.core.workflows.search.search_gallery import QueryHits
    from scing_cli.core.workflows.shared.vectors import Box

ROWS = 8  # height of a strip, in lines of the terminal
MOST_COLUMNS = 280  # kitty's protocol can address at most 297 columns


class Thumbnails:
    """Shows photos and their first hits in the terminal.

    Args:
        kind: The class of `textual_image` that draws in this terminal.
        cell: Width and height of a character cell, in pixels.
    """

    def __init__(self, kind: type[SixelImage | TGPImage], cell: tuple[int, int]) -> None:
        self.kind = kind
        self.cell = cell
        # kitty encodes a picture's number in the text colour of its cells, so colours must not be rounded
        self.console = Console(force_terminal=True, color_system="truecolor", no_color=False, highlight=False)

    def show(self, found: QueryHits, identity: str, box: Box | None) -> None:
        """Draw a photo and as many of its hits as fit the terminal's width."""
        from scing_cli.core.workflows.search.montage_file import strip_of

        columns, (width, height) = min(self.console.width, MOST_COLUMNS), self.cell
        picture = strip_of(found, identity, box=box, size=(columns * width, ROWS * height), unit=width)
        self.console.print(self.kind(picture, width=min(picture.width // width, columns), height="auto"))


def open_thumbnails(terminal: Terminal, hits_file: Path | None) -> Thumbnails | None:
    """Ask the terminal how it shows pictures. If it cannot, print a note with the reason and return None.

    Args:
        terminal: Receives the note.
        hits_file: The file of `--csv`; `-` uses standard output.
    """
    taken = "--json" if terminal.as_json else "--csv -" if hits_file == Path("-") else ""
    opened = f"{taken} takes standard output" if taken else _ask()
    if isinstance(opened, Thumbnails):
        return opened
    terminal.note(f"--thumbnails shows nothing: {opened}. --montage FILE.png draws the ranking into a file.")
    return None


def _ask() -> Thumbnails | str:
    """Ask the terminal how it shows pictures; return the reason as text if it cannot."""
    for stream, name in ((sys.stdout, "output"), (sys.stdin, "input")):  # the terminal replies on standard input
        if stream is None or not stream.isatty():
            return f"standard {name} is not a terminal"
    logging.getLogger("textual_image").setLevel(logging.ERROR)  # it warns when it has to guess the cell size
    try:
        from textual_image._terminal import get_cell_size
        from textual_image.renderable import Image, SixelImage, TGPImage  # the import queries the terminal

        cell = get_cell_size()
    except ImportError as error:
        return f"textual-image is missing ({error}); pip install '.[thumbnails]' installs it"
    except (ArithmeticError, OSError, ValueError):  # a terminal of zero columns; keys pressed during the query
        return "the terminal's answer cannot be read"
    if Image not in {SixelImage, TGPImage}:
        return "the terminal supports neither kitty's graphics protocol nor sixel"
    return Thumbnails(Image, cell)
