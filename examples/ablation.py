"""Train rows of an ablation with several seeds, and compare them with each other and with the untrained model.

python examples/ablation.py --data DIR|CSV [--also DIR|CSV ...] [--rows all] [--seeds 3] [--tune 0.125] [--jobs 2]

Without --rows: the four rows of the paper's Table 3. All rows have the settings of --config, or the defaults, and
differ in what their name says. --also evaluates the same runs on further data, such as the same people without
occlusion. --tune holds out a share of the training people, tries three rates of stage 2 for every row on them, and
trains each row with its best one; queries and gallery have no part in it. FOLDER gets ablation.json, ablation.png and
the runs. The same command continues an ablation that was stopped. Keys of --config that a row does not read are ignored
for that row. The table [data] is always ignored.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ablation_rows import FIGURES, PAPER, ROWS, Cell, Tables, run_cells, tuned_rates

from scing_cli.commands.console import Terminal
from scing_cli.core.artifacts import write_json
from scing_cli.core.devices import choose_device, device_name
from scing_cli.core.encoders import hub
from scing_cli.core.errors import ScingError
from scing_cli.core.figures.bar_chart import Bar, bar_chart
from scing_cli.core.settings import PromptSettings, build_settings, read_config
from scing_cli.core.workflows.evaluate.evaluate_data import evaluate_on
from scing_cli.core.workflows.shared.model import ModelChoice

NAMES = {"mAP": "mAP", "rank1": "rank-1"}
Report = Mapping[str, Any]


def main() -> None:
    given = _arguments()
    tables = read_config(given.config)
    terminal = Terminal(as_json=False)
    data = [given.data, *given.also]
    plain = evaluate_on(_plain_model(tables), data, reporter=terminal)
    zero_shot = {
        path.name: {name: getattr(report.scores, name) for name in FIGURES}
        for path, report in zip(data, plain, strict=True)
    }
    tuned = _tune(given, tables, terminal) if given.tune is not None else {}
    best = {row: max(found, key=found.__getitem__) for row, found in tuned.items()}
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    cells = [
        Cell(row, seed, best.get(row), tables, given.output, given.data, tuple(given.also))
        for seed in seeds
        for row in given.rows
    ]
    results = run_cells(cells, jobs=given.jobs, reporter=terminal)
    runs = {row: [one for cell, one in zip(cells, results, strict=True) if cell.row == row] for row in given.rows}
    report = {
        "data": [str(path) for path in data],
        "zero-shot": zero_shot,
        "tuned": tuned,
        "rows": {ROWS[row].label: _summary(found) for row, found in runs.items()},
        "machine": _machine(),
        "minutes": round(sum(one["seconds"] for one in results) / 60, 1),
    }
    write_json(given.output / "ablation.json", report)
    _print(report, terminal)
    _draw(report, given.output / "ablation.png")
    terminal.say(f"{given.output}: ablation.json, ablation.png, and a folder for each run")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--also", type=Path, nargs="+", default=[], help="further data to evaluate on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--output", type=Path, default=Path("ablation"))
    parser.add_argument("--rows", nargs="+", metavar="ROW", default=list(PAPER), help=f"all, or: {', '.join(ROWS)}")
    parser.add_argument("--tune", type=float, metavar="SHARE", help="hold out this share of the training people")
    parser.add_argument("--jobs", type=int, default=1, help="processes that train at the same time")
    given = parser.parse_args()
    if given.rows == ["all"]:
        given.rows = list(ROWS)
    for option in ("seeds", "jobs"):
        if getattr(given, option) < 1:
            parser.error(f"--{option} {getattr(given, option)}: must be at least 1.")
    if unknown := [row for row in given.rows if row not in ROWS]:
        parser.error(f"--rows {' '.join(unknown)}: known are all, {', '.join(ROWS)}.")
    names = [path.name for path in (given.data, *given.also)]
    if len({*names}) < len(names):
        parser.error(f"--also: two data sets have the same name ({', '.join(names)}).")
    return given


def _plain_model(tables: Tables) -> ModelChoice:
    settings = build_settings(PromptSettings, tables["train-prompts"], {})
    pretrained = settings.pretrained or hub.default_tag(settings.model)
    pixels = {"statistics": settings.statistics, "interpolation": settings.interpolation}
    return ModelChoice(None, settings.model, pretrained, settings.stride, **pixels)


def _tune(given: argparse.Namespace, tables: Tables, terminal: Terminal) -> dict[str, dict[float, float]]:
    return tuned_rates(
        given.rows,
        tables,
        given.data,
        share=given.tune,
        folder=given.output / "tuning",
        jobs=given.jobs,
        reporter=terminal,
    )


def _summary(runs: Sequence[Report]) -> dict[str, Any]:
    """Return mean and standard deviation of each figure over the seeds of a row, and its runs."""
    means: dict[str, dict[str, float]] = {}
    spreads: dict[str, dict[str, float | None]] = {}
    for data in runs[0]["scores"]:
        values = {name: [run["scores"][data][name] for run in runs] for name in FIGURES}
        means[data] = {name: statistics.mean(found) for name, found in values.items()}
        spreads[data] = {name: statistics.stdev(found) if len(found) > 1 else None for name, found in values.items()}
    logs = {name: statistics.mean(run["logs"][name] for run in runs) for name in runs[0]["logs"]}
    seconds = statistics.mean(run["seconds"] for run in runs)
    return {"lr": runs[0]["lr"], "mean": means, "spread": spreads, "seconds": seconds, "logs": logs, "runs": list(runs)}


def _print(report: Report, terminal: Terminal) -> None:
    if report["tuned"]:
        _print_rates(report["tuned"], terminal)
    seeds = len(next(iter(report["rows"].values()))["runs"])
    for data, untrained in report["zero-shot"].items():
        rows = [("zero-shot", *(f"{untrained[name]:.2f}" for name in FIGURES), "")]
        for label, row in report["rows"].items():
            rows.append((label, *(_figure(row, data, name) for name in FIGURES), f"{row['seconds']:,.0f}"))
        title = f"{data}: mean ± deviation over {seeds} seeds" if seeds > 1 else f"{data}: one seed, no deviation"
        terminal.table(title, ("", *NAMES.values(), "seconds"), rows, words=("",))
    names = list(dict.fromkeys(name for row in report["rows"].values() for name in row["logs"]))
    labels = [str(number) for number in range(1, len(report["rows"]) + 1)] if len(report["rows"]) > len(PAPER) else None
    logs = [
        (
            name.replace("_", " "),
            *(f"{row['logs'][name]:.3g}" if name in row["logs"] else "" for row in report["rows"].values()),
        )
        for name in names
    ]
    title = "Last epochs, means" + (", by number of the row above, after zero-shot" if labels else "")
    terminal.table(title, ("", *(labels or report["rows"])), logs, words=("",))


def _print_rates(tuned: Mapping[str, Mapping[float, float]], terminal: Terminal) -> None:
    rates = list(next(iter(tuned.values())))
    rows = []
    for row, found in tuned.items():
        best = max(found, key=found.__getitem__)
        edge = {rates[0]: "smallest tried", rates[-1]: "largest tried"}.get(best, "")
        rows.append((ROWS[row].label, *(f"{found[rate]:.2f}" for rate in rates), f"{best:g}", edge))
    terminal.table("mAP of held-out people, by rate of stage 2", ("", *map("{:g}".format, rates), "best", ""), rows)


def _figure(row: Report, data: str, name: str) -> str:
    spread = row["spread"][data][name]
    return f"{row['mean'][data][name]:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


def _draw(report: Report, target: Path) -> None:
    groups, lines = {}, {}
    for data, untrained in report["zero-shot"].items():
        for name, heading in NAMES.items():
            panel = heading if len(report["zero-shot"]) == 1 else f"{data}: {heading}"
            lines[panel] = untrained[name]
            groups[panel] = [
                Bar(label, row["mean"][data][name], row["spread"][data][name] or 0.0)
                for label, row in report["rows"].items()
            ]
    bar_chart(target, groups, lines=lines, line_label="zero-shot", spread_label="± one deviation", unit="percent")


def _machine() -> dict[str, Any]:
    return {
        "device": device_name(choose_device("auto")),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    try:
        main()
    except ScingError as error:
        sys.exit(f"Error: {error}")
