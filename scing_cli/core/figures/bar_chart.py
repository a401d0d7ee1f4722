"""Bar charts with error bars, drawn with matplotlib."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from scing_cli.core.artifacts import replacing
from scing_cli.core.figures.plotting import new_figure

INK, MUTED, BAR, LINE = "#1f2933", "#7b8794", "#2f6fab", "#c2410c"


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar.

    Args:
        label: Name of the bar.
        value: Length of the bar.
        spread: Half the length of the error bar; 0 for none.
    """

    label: str
    value: float
    spread: float = 0.0


def bar_chart(
    target: Path,
    groups: Mapping[str, Sequence[Bar]],
    *,
    lines: Mapping[str, float],
    line_label: str,
    spread_label: str,
    unit: str,
) -> None:
    """Write a picture with one panel of bars for each group; all panels have the same labels.

    Args:
        target: File to write; its suffix selects the format.
        groups: Bars of each panel, by the heading of the panel; the first bar is at the top.
        lines: A reference value for each panel, drawn as a line across the bars.
        line_label: Name of the reference values.
        spread_label: Name of the error bars.
        unit: Unit of all values.
    """
    longest = max(len(bars) for bars in groups.values())
    figure = new_figure(figsize=(4.2 * len(groups) + 1.2, 0.5 * longest + 1.3), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for panel, (heading, bars) in zip(panels, groups.items(), strict=True):
        rows = range(len(bars))
        values, spreads = [bar.value for bar in bars], [bar.spread for bar in bars]
        drawn = panel.barh(rows, values, xerr=spreads, height=0.6, color=BAR, ecolor=INK, capsize=3)
        line = panel.axvline(lines[heading], color=LINE, linestyle="--", linewidth=1.2)
        panel.set_yticks(rows, [bar.label for bar in bars])
        for row, bar in zip(rows, bars, strict=True):
            panel.text(bar.value * 0.02, row, f"{bar.value:.1f}", va="center", color="white", fontsize=9)
        panel.set_title(heading, loc="left", fontsize=11, color=INK)
        panel.set_xlabel(unit, color=MUTED)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(left=False, colors=INK)
    panels[0].invert_yaxis()
    handles, labels = [line, drawn.errorbar], [line_label, spread_label]
    figure.legend(handles, labels, ncols=2, frameon=False, fontsize=9, loc="outside upper right")
    with replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix.removeprefix(".") or "png")
