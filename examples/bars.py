"""Draw results of `scing evaluate --json` as bars, a panel for each data set and figure (the paper's Figure 2).

python examples/bars.py bars.png "CLIP-ReID=clip-market.json" "CLIP-ReID=clip-duke.json" "SCING=scing-market.json" ...

Files with the same label are one method on several data sets. A line in a panel is the file with the label zero-shot,
if there is one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scing_cli.core.errors import ScingError
from scing_cli.core.figures import check_picture
from scing_cli.core.figures.bar_chart import Bar, bar_chart

FIGURES = {"mAP": "mAP", "rank1": "rank-1"}
ZERO_SHOT = "zero-shot"


def main(target: Path, entries: Sequence[str]) -> None:
    check_picture(target, option=str(target))
    labels, results = _read(entries)
    data = list(dict.fromkeys(name for name, _ in results))
    groups: dict[str, list[Bar]] = {}
    lines: dict[str, float] = {}
    for name in data:
        for figure, heading in FIGURES.items():
            panel = f"{name}: {heading}"
            found = {label: results[name, label][figure] for label in labels if (name, label) in results}
            if ZERO_SHOT in found:
                lines[panel] = found.pop(ZERO_SHOT)
            if not found:
                raise ScingError(f"{name} has no file but that of {ZERO_SHOT}.", "Name the file of a run on it.")
            groups[panel] = [Bar(label, value) for label, value in found.items()]
    bar_chart(target, groups, lines=lines, line_label=ZERO_SHOT, spread_label="", unit="percent")
    print(f"Picture: {target}")


def _read(entries: Sequence[str]) -> tuple[list[str], Mapping[tuple[str, str], Mapping[str, float]]]:
    """Return the labels in their order, and the scores by data set and label."""
    results: dict[tuple[str, str], Mapping[str, float]] = {}
    labels: dict[str, None] = {}
    for entry in entries:
        label, _, file = entry.rpartition("=")
        try:
            scores = json.loads(Path(file).read_text(encoding="utf-8"))
            key = (str(scores["data"]), label or Path(file).stem)
            results_of = {figure: float(scores[figure]) for figure in FIGURES}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ScingError(
                f"{file} is no result of scing evaluate --json ({error}).", "Name another file."
            ) from error
        if key in results:
            raise ScingError(f"{file} is a second result of {key[1]} on {key[0]}.", "Give it another label.")
        results[key] = results_of
        labels[key[1]] = None
    return list(labels), results


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    try:
        main(Path(sys.argv[1]), sys.argv[2:])
    except ScingError as error:
        sys.exit(f"Error: {error}")
