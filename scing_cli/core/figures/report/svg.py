"""Charts as SVG that use the colours and fonts of the page, so that they follow its light or dark mode."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from scing_cli.core.figures.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholder colour in a chart -> CSS variable of the page that replaces it.
COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "#010101": "--ink",
        "#020202": "--faint",
        "#030303": "--rule",
        "#040404": "--first",
        "#050505": "--second",
        "#060606": "--paper",
    }
)
INK, FAINT, RULE, FIRST, SECOND, PAPER = COLOURS
WIDTH, HEIGHT = 4.8, 2.7  # inches; the page scales them


def new_chart(*, label: str, x: str, y: str) -> tuple[Figure, Axes]:
    """Return an empty chart in the page's style.

    Args:
        label: Name of the chart, for screen readers.
        x: Label of the horizontal axis, with its unit.
        y: Label of the vertical axis, with its unit.
    """
    figure = new_figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    figure.set_label(label)
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x, color=FAINT)
    axes.set_ylabel(y, color=FAINT)
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=FAINT, labelcolor=FAINT)
    axes.tick_params(length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    return figure, axes


def page_svg(figure: Figure) -> str:
    """Return a chart as an SVG element without a fixed size, with letters as text and CSS variables as colours.

    Ids are derived from the label, so charts with different labels do not collide on one page.
    """
    import matplotlib as mpl

    written, label = io.StringIO(), str(figure.get_label())
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": ascii(label), "font.family": "sans-serif"}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # unused, and equal in all charts
    for colour, variable in COLOURS.items():
        text = text.replace(colour, f"var({variable})")
    return text.replace("<svg", f'<svg role="img" aria-label="{_escaped(label)}"', 1)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
