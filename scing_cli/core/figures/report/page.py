"""Render one self-contained HTML page that works offline, on a phone, in dark mode and on paper.

The page consists of sections of blocks and does not depend on what the figures mean. All text is escaped. Charts are
SVG from `page_svg`, pictures are embedded.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from PIL import Image

from scing_cli.core.errors import spelled

if TYPE_CHECKING:
    from jinja2 import Template

QUALITY = 75  # of embedded JPEG pictures
# Characters that HTML does not allow, and marks that would change the order of the words around a name.
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
Cell = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        svg: SVG element from `page_svg`.
        caption: Text below it.
    """

    svg: str
    caption: str
    kind: str = "chart"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: the first column names the rows, the others are numbers or short words.

    Args:
        columns: Headings of the columns.
        rows: Each with one cell per column; None is an empty cell.
        caption: Text above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    kind: str = "table"


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture, embedded as JPEG.

    Args:
        image: RGB.
        caption: Text below it, and alternative text.
        dark: The same picture for a dark page; None if there is only one.
    """

    image: Image.Image
    caption: str
    dark: Image.Image | None = None
    kind: str = "picture"

    def source(self) -> str:
        """Return the picture as a data URI."""
        return _data_uri(self.image)

    def dark_source(self) -> str:
        """Return the picture for a dark page as a data URI; empty if there is only one."""
        return "" if self.dark is None else _data_uri(self.dark)


@dataclasses.dataclass(frozen=True)
class Facts:
    """A list of names and values, such as settings, that is closed at first.

    Args:
        heading: Heading of the list.
        values: Values by name.
    """

    heading: str
    values: Mapping[str, Cell]
    kind: str = "facts"


Block = Text | Chart | Table | Picture | Facts


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    heading: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Page:
    """Content of the page.

    Args:
        title: Title of the page.
        subtitle: Line below the title.
        figures: The most important numbers, by name.
        sections: In order; a section without blocks is left out.
        files: Names of files in the same folder, for links.
        cautions: Sentences that the page opens with: what to know before its figures are used.
    """

    title: str
    subtitle: str
    figures: Mapping[str, str]
    sections: Sequence[Section]
    files: Sequence[str] = ()
    cautions: Sequence[str] = ()


def render_page(page: Page) -> str:
    """Return the page as HTML."""
    sections = [section for section in page.sections if section.blocks]
    return _template().render(page=page, sections=sections)


def _data_uri(image: Image.Image) -> str:
    written = io.BytesIO()
    image.convert("RGB").save(written, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")


@functools.cache
def _template() -> Template:
    import jinja2

    source = resources.files("scing_cli").joinpath("assets", "report", "page.html").read_text(encoding="utf-8")
    engine = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_as_text,
    )
    engine.filters["groupby_run"] = _runs
    return engine.from_string(source)


def _as_text(value: Any) -> Any:
    """Return a value in which the characters of `NO_TEXT` are spelled out, such as bytes that are not Unicode."""
    return type(value)(NO_TEXT.sub(lambda found: spelled(found[0]), value)) if isinstance(value, str) else value


def _runs(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """Group consecutive blocks of one kind, so that the page can put charts side by side."""
    return [(kind, list(run)) for kind, run in itertools.groupby(blocks, key=lambda block: block.kind)]
