"""Charts of a report: CMC curve, scores of same- and different-identity pairs, ROC curve, training losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.figures.report.svg import FIRST, INK, SECOND, new_chart, page_svg

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
LOWEST_RATE = 1e-6  # left end of the ROC curve
HEADROOM = 0.09  # height for the name of each threshold, as a share of the tallest bar


def cmc_chart(cmc: FloatArray) -> str:
    """Draw the share of queries (percent) with a true hit at rank k or before, k = 1 .. len(cmc)."""
    figure, axes = new_chart(label="CMC curve", x="rank", y="queries found, percent")
    ranks = np.arange(1, len(cmc) + 1)
    axes.plot(ranks, cmc, color=FIRST, linewidth=2)
    axes.plot(ranks[:1], cmc[:1], "o", color=FIRST, markersize=5)
    axes.annotate(
        f"rank-1 {cmc[0]:.1f}", (1, float(cmc[0])), (8, -4), textcoords="offset points", color=INK, fontsize=9
    )
    axes.set_xlim(0, len(cmc))
    axes.set_xticks(range(1, len(cmc) + 1) if len(cmc) < 10 else [1, *range(10, len(cmc) + 1, 10)])
    axes.set_ylim(max(0.0, float(cmc[0]) - 15), 101)
    return page_svg(figure)


def score_chart(edges: FloatArray, same: IntArray, different: IntArray, thresholds: Mapping[str, float]) -> str:
    """Draw histograms of the scores of same- and different-identity pairs, each as shares of its own total.

    Args:
        edges: Shape (B + 1,), edges of the bins (cosines).
        same: Shape (B,), number of same-identity pairs in each bin.
        different: Shape (B,), number of different-identity pairs in each bin.
        thresholds: Scores to mark, by name.
    """
    figure, axes = new_chart(
        label="Scores of same- and different-identity pairs", x="score (cosine)", y="share of pairs"
    )
    for counts, colour, name in ((different, SECOND, "different identity"), (same, FIRST, "same identity")):
        if counts.sum():
            axes.stairs(counts / counts.sum(), edges, fill=True, color=colour, alpha=0.45, label=name)
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * (1 + HEADROOM * len(thresholds)))
    for number, (name, score) in enumerate(thresholds.items()):
        axes.axvline(score, color=INK, linewidth=1, linestyle="--")
        height = top * (1 + HEADROOM * (len(thresholds) - number))  # one below the other, so that names do not overlap
        axes.text(score, height, f" {name}", color=INK, fontsize=8, va="top")
    filled = np.flatnonzero(same + different)
    if len(filled):
        axes.set_xlim(edges[filled[0]] - 0.02, min(edges[filled[-1] + 1] + 0.02, 1.02))
    _legend(axes)
    return page_svg(figure)


def roc_chart(false_match: FloatArray, true_match: FloatArray, marks: Mapping[str, tuple[float, float]]) -> str:
    """Draw the true-match rate against the false-match rate, on a logarithmic axis, with some named points.

    A point with a false-match rate of 0 is marked at the left end of the axis.
    """
    figure, axes = new_chart(label="ROC curve", x="false-match rate", y="true-match rate")
    seen = false_match > 0
    axes.semilogx(false_match[seen], true_match[seen], color=FIRST, linewidth=2)
    lowest = max(float(false_match[seen].min()) if seen.any() else 0.0, LOWEST_RATE)
    for name, (across, up) in marks.items():
        axes.plot([max(across, lowest)], [up], "o", color=FIRST, markersize=5)
        axes.annotate(name, (max(across, lowest), up), (6, -10), textcoords="offset points", color=INK, fontsize=8)
    axes.set_xlim(min(lowest, 0.1), 1)
    axes.set_ylim(0, 1.02)
    return page_svg(figure)


def training_chart(stage: str, rows: Sequence[Mapping[str, Any]], terms: Sequence[str]) -> str:
    """Draw a stage's loss terms over its epochs.

    Args:
        stage: Name of the stage.
        rows: One per epoch, with `epoch` and the loss terms.
        terms: Names of the terms to draw, at most four.
    """
    figure, axes = new_chart(label=f"Losses of {stage}", x="epoch", y="loss")
    styles = ((FIRST, "-"), (SECOND, "-"), (FIRST, "--"), (SECOND, "--"))
    epochs, mark = [row["epoch"] for row in rows], "o" if len(rows) == 1 else ""
    for term, (colour, line) in zip(terms, styles, strict=False):
        losses = [row[term] for row in rows]
        axes.plot(epochs, losses, line + mark, color=colour, linewidth=2, label=term.replace("_", " "))
    _whole_numbers(axes)
    if len(rows) == 1:
        axes.set_xticks(epochs)
    _legend(axes)
    return page_svg(figure)


def _whole_numbers(axes: Any) -> None:
    """Put the ticks of the horizontal axis on whole numbers."""
    axes.xaxis.get_major_locator().set_params(integer=True)


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
