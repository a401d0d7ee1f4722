"""One self-contained HTML page: opens offline, reads on a phone, in dark mode and on paper; nothing is fetched.

The page is made of sections of blocks and knows nothing of evaluations. All text is escaped; charts come from
`page_svg`, pictures are embedded.
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

QUALITY = 85  # of JPEG
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What may not stand in a page, and marks that would put the words around a name into another order."""
Cell = str | int | float | None


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart with what it shows.

    Args:
        svg: As `page_svg` returns it.
        caption: Below it.
    """

    svg: str
    caption: str
    kind: str = "chart"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table: the first column names the rows, the others are numbers or short words.

    Args:
        columns: Its headings.
        rows: Cells, as many as there are columns; None for an empty one.
        caption: Above it.
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
        caption: Below it, and for those who do not see it.
    """

    image: Image.Image
    caption: str
    kind: str = "picture"

    def source(self) -> str:
        """Return the picture as a data URI."""
        written = io.BytesIO()
        self.image.convert("RGB").save(written, "JPEG", quality=QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and values that open on demand, such as settings.

    Args:
        heading: What they are.
        values: By name.
    """

    heading: str
    values: Mapping[str, Cell]
    kind: str = "facts"


Block = Text | Chart | Table | Picture | Facts


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own."""

    heading: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Page:
    """What the page shows.

    Args:
        title: Of the page.
        subtitle: A line below it.
        figures: The most important numbers, by what they are.
        sections: In order; one without blocks is left out.
        files: Names of other files beside the page, for links.
    """

    title: str
    subtitle: str
    figures: Mapping[str, str]
    sections: Sequence[Section]
    files: Sequence[str] = ()


def render_page(page: Page) -> str:
    """Return the page as HTML."""
    sections = [section for section in page.sections if section.blocks]
    return _template().render(page=page, sections=sections)


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
    """Return a value in which what is no text, such as a file name in another encoding, is spelled out."""
    return type(value)(NO_TEXT.sub(lambda found: spelled(found[0]), value)) if isinstance(value, str) else value


def _runs(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """Return blocks of one kind that follow each other together: charts stand side by side."""
    return [(kind, list(run)) for kind, run in itertools.groupby(blocks, key=lambda block: block.kind)]
