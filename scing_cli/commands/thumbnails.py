"""Pictures in the terminal: kitty's graphics protocol or sixel, by the package textual-image where it is installed."""

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

ROWS = 8  # of the terminal: the height of a strip
MOST_COLUMNS = 280  # kitty's protocol numbers 297 at most


class Thumbnails:
    """Shows photos and their first hits in the terminal.

    Args:
        kind: How `textual_image` draws in this terminal.
        cell: Width and height of a letter's place, pixels.
    """

    def __init__(self, kind: type[SixelImage | TGPImage], cell: tuple[int, int]) -> None:
        self.kind = kind
        self.cell = cell
        # kitty reads a picture's number from the colour of the text in its place, so every bit of a colour counts
        self.console = Console(force_terminal=True, color_system="truecolor", no_color=False, highlight=False)

    def show(self, found: QueryHits, identity: str, box: Box | None) -> None:
        """Draw a photo and as many of its hits as fit the terminal's width; see `strip_of`."""
        from scing_cli.core.workflows.search.montage_file import strip_of

        columns, (width, height) = min(self.console.width, MOST_COLUMNS), self.cell
        picture = strip_of(found, identity, box=box, size=(columns * width, ROWS * height), unit=width)
        self.console.print(self.kind(picture, width=min(picture.width // width, columns), height="auto"))


def open_thumbnails(terminal: Terminal, hits_file: Path | None) -> Thumbnails | None:
    """Ask the terminal how it shows pictures; where it shows none, a note says why, and how to go on.

    Args:
        terminal: Is told.
        hits_file: `--csv`: `-` takes standard output.
    """
    taken = "--json" if terminal.as_json else "--csv -" if hits_file == Path("-") else ""
    opened = f"{taken} takes standard output" if taken else _ask()
    if isinstance(opened, Thumbnails):
        return opened
    terminal.note(f"--thumbnails shows nothing: {opened}. --montage FILE.png draws the ranking into a file.")
    return None


def _ask() -> Thumbnails | str:
    """Ask the terminal what it can; return why there are no pictures where there can be none."""
    for stream, name in ((sys.stdout, "output"), (sys.stdin, "input")):  # the terminal answers on the latter
        if stream is None or not stream.isatty():
            return f"standard {name} is no terminal"
    logging.getLogger("textual_image").setLevel(logging.ERROR)  # without the size of a letter it takes a usual one
    try:
        from textual_image._terminal import get_cell_size
        from textual_image.renderable import Image, SixelImage, TGPImage  # this import asks the terminal

        cell = get_cell_size()
    except ImportError as error:
        return f"textual-image is missing ({error}); pip install 'scing-cli[thumbnails]' installs it"
    except (ArithmeticError, OSError, ValueError):  # a terminal without columns; keys pressed meanwhile
        return "the terminal's answer cannot be read"
    if Image not in {SixelImage, TGPImage}:
        return "the terminal knows neither kitty's graphics protocol nor sixel"
    return Thumbnails(Image, cell)
