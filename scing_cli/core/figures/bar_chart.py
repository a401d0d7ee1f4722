"""Bar charts with error bars, drawn with matplotlib."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """Write a picture with one panel of bars for each group. Panels with the same labels name them once.

    Args:
        target: File to write; its suffix selects the format.
        groups: Bars of each panel, by the heading of the panel; the first bar is at the top.
        lines: A reference value of a panel, drawn as a line across its bars; not every panel needs one.
        line_label: Name of the reference values.
        spread_label: Name of the error bars; empty if there are none.
        unit: Unit of all values.
    """
    longest = max(len(bars) for bars in groups.values())
    figure = new_figure(figsize=(4.2 * len(groups) + 1.2, 0.5 * longest + 1.3), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(groups), sharey=_same_labels(groups), squeeze=False)[0]
    legend: dict[str, Any] = {}
    for panel, (heading, bars) in zip(panels, groups.items(), strict=True):
        rows = range(len(bars))
        values, spreads = [bar.value for bar in bars], [bar.spread for bar in bars]
        drawn = panel.barh(
            rows, values, xerr=spreads if spread_label else None, height=0.6, color=BAR, ecolor=INK, capsize=3
        )
        if heading in lines:
            legend[line_label] = panel.axvline(lines[heading], color=LINE, linestyle="--", linewidth=1.2)
        if spread_label:
            legend[spread_label] = drawn.errorbar
        panel.set_yticks(rows, [bar.label for bar in bars])
        for row, bar in zip(rows, bars, strict=True):
            panel.text(bar.value * 0.02, row, f"{bar.value:.1f}", va="center", color="white", fontsize=9)
        panel.set_title(heading, loc="left", fontsize=11, color=INK)
        panel.set_xlabel(unit, color=MUTED)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(left=False, colors=INK)
        panel.set_ylim(len(bars) - 0.5, -0.5)
    if legend:
        figure.legend(legend.values(), legend, ncols=2, frameon=False, fontsize=9, loc="outside upper right")
    with replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix.removeprefix(".") or "png")


def _same_labels(groups: Mapping[str, Sequence[Bar]]) -> bool:
    return len({tuple(bar.label for bar in bars) for bars in groups.values()}) == 1
