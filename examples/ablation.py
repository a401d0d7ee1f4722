"""Run the four rows of the paper's Table 3 with several seeds, and compare them with the untrained model.

python examples/ablation.py --data DIR|CSV [--seeds 3] [--config FILE.toml] [--output FOLDER]

All rows use the same settings (those of --config, or the defaults) except for method and seed. FOLDER gets
ablation.json, ablation.png and the runs. The same command continues an ablation that was stopped: finished stages are
not trained again. Keys of --config that the method of a row does not read are ignored for that row. The table [data] is
always ignored.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from scing_cli.commands.console import Terminal
from scing_cli.core.artifacts import Run, open_run, write_json
from scing_cli.core.datasets import read_data
from scing_cli.core.encoders import hub
from scing_cli.core.errors import ScingError
from scing_cli.core.figures.bar_chart import Bar, bar_chart
from scing_cli.core.methods.prompts_file import load_texts
from scing_cli.core.runtime import choose_device, device_name
from scing_cli.core.settings import PromptSettings, VisualSettings, build_settings, read_config, saved_settings, unread
from scing_cli.core.workflows.evaluate.evaluate_data import evaluate
from scing_cli.core.workflows.shared.model import ModelChoice
from scing_cli.core.workflows.train.prompts_stage import train_prompts
from scing_cli.core.workflows.train.visual_stage import train_visual

ROWS: Mapping[str, Mapping[str, Any]] = {
    "CLIP-ReID": {"method": "clip-reid"},
    "+ meta-net (CoCoOp)": {"method": "cocoop"},
    "+ SVIP": {"method": "scing", "consistency": False},
    "+ SVIP + PDCA (SCING)": {"method": "scing"},
}
FIGURES = ("mAP", "rank1")
LOGGED = {
    "train-prompts": ("contrast", "gradient_contrast", "gradient_consistency", "visual_spread", "views_cosine"),
    "train-visual": ("identity", "triplet", "active_share"),
}


def main() -> None:
    given = _arguments()
    tables = read_config(given.config)
    terminal = Terminal(as_json=False)
    plain = evaluate(_plain_model(tables), data=given.data, reporter=terminal).scores
    zero_shot = {name: getattr(plain, name) for name in FIGURES}
    labels = given.rows or list(ROWS)
    results: dict[str, list[dict[str, Any]]] = {label: [] for label in labels}
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        for label in labels:
            results[label].append(_one(given, tables, label, seed, terminal))
    report = {
        "data": str(given.data),
        "zero-shot": zero_shot,
        "rows": {label: _summary(runs) for label, runs in results.items()},
        "machine": _machine(),
        "minutes": round(sum(run["seconds"] for runs in results.values() for run in runs) / 60, 1),
    }
    write_json(given.output / "ablation.json", report)
    _print(report, terminal)
    _draw(report, given.output / "ablation.png")
    terminal.say(f"{given.output}: ablation.json, ablation.png, and a folder for each run")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--output", type=Path, default=Path("ablation"))
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", help=f"some of: {', '.join(ROWS)}")
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error(f"--seeds {given.seeds}: must be at least 1.")
    return given


def _plain_model(tables: Mapping[str, Mapping[str, Any]]) -> ModelChoice:
    settings = build_settings(PromptSettings, tables["train-prompts"], {})
    pretrained = settings.pretrained or hub.default_tag(settings.model)
    pixels = {"statistics": settings.statistics, "interpolation": settings.interpolation}
    return ModelChoice(None, settings.model, pretrained, settings.stride, **pixels)


def _one(
    given: argparse.Namespace, tables: Mapping[str, Mapping[str, Any]], label: str, seed: int, terminal: Terminal
) -> dict[str, Any]:
    """Train one row with one seed, unless its run is finished, and evaluate it."""
    row = ROWS[label]
    prompts, visual = _settings(tables, row, seed)
    name = row["method"] + ("" if row.get("consistency", True) else "-no-consistency")
    folder = given.output / f"{name}-seed-{seed}"
    terminal.note(f"{label}, seed {seed}: {folder}")
    saved = {"train-prompts": saved_settings(prompts), "train-visual": saved_settings(visual)}
    if folder.exists():
        check_folder(folder, given.data, saved)
    if not folder.exists():
        train_prompts(given.data, prompts, run=folder, reporter=terminal)
    if not open_run(folder).has("visual"):
        train_visual(visual, run=folder, reporter=terminal)
    scores = evaluate(ModelChoice(run=folder), reporter=terminal).scores
    figures = {name: getattr(scores, name) for name in FIGURES}
    return {"seed": seed, **figures, **_training_log(open_run(folder))}


def check_folder(folder: Path, data: Path, expected: Mapping[str, Any]) -> None:
    """Remove a run whose stage 1 was stopped; refuse a run with other data or other settings."""
    run = open_run(folder)
    if any(expected[stage] != settings for stage, settings in run.info["settings"].items()):
        raise ScingError(f"{folder} was trained with other settings.", "Name another folder.")
    if run.info["data"]["fingerprint"] != read_data(data).manifest.fingerprint():
        raise ScingError(
            f"{folder} was trained on other data than those that are in {data} now.", "Name another folder."
        )
    if not run.has("prompts"):
        shutil.rmtree(folder)


def _settings(
    tables: Mapping[str, Mapping[str, Any]], row: Mapping[str, Any], seed: int
) -> tuple[PromptSettings, VisualSettings]:
    ignored = unread(row["method"]) | (set() if row.get("consistency", True) else {"views", "consistency_target"})
    table = {name: value for name, value in tables["train-prompts"].items() if name.replace("-", "_") not in ignored}
    seeded = {"seed": seed}
    prompts = build_settings(PromptSettings, table, {**row, **seeded})
    return prompts, build_settings(VisualSettings, tables["train-visual"], seeded)


def _training_log(run: Run) -> dict[str, Any]:
    """Return the seconds of both stages, the last logged values of each, and the mean cosine of the identity texts."""
    rows = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    last = {row["stage"]: row for row in rows}
    found = {name: last[stage][name] for stage, names in LOGGED.items() for name in names if name in last[stage]}
    texts = functional.normalize(load_texts(run.stage("prompts")).vectors, dim=1)
    cosines = (texts @ texts.T)[~torch.eye(len(texts), dtype=torch.bool)]
    logs = {**found, "text_cosine": float(cosines.mean())}
    return {"seconds": round(sum(row["seconds"] for row in rows)), "logs": logs}


def _summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation of each figure over the seeds of a row, and its runs."""
    means = {name: statistics.mean(run[name] for run in runs) for name in FIGURES}
    spreads = {name: statistics.stdev(run[name] for run in runs) if len(runs) > 1 else None for name in FIGURES}
    logs = {name: statistics.mean(run["logs"][name] for run in runs) for name in runs[0]["logs"]}
    return {"mean": means, "spread": spreads, "logs": logs, "runs": list(runs)}


def _print(report: Mapping[str, Any], terminal: Terminal) -> None:
    rows = [("zero-shot", *(f"{report['zero-shot'][name]:.2f}" for name in FIGURES))]
    for label, row in report["rows"].items():
        rows.append((label, *(_figure(row, name) for name in FIGURES)))
    seeds = len(next(iter(report["rows"].values()))["runs"])
    name = Path(report["data"]).name
    title = f"{name}: mean ± deviation over {seeds} seeds" if seeds > 1 else f"{name}: one seed, no deviation"
    terminal.table(title, ("", "mAP", "rank-1"), rows, words=("",))
    names = list(dict.fromkeys(name for row in report["rows"].values() for name in row["logs"]))
    logs = [
        (
            name.replace("_", " "),
            *(f"{row['logs'][name]:.3g}" if name in row["logs"] else "" for row in report["rows"].values()),
        )
        for name in names
    ]
    terminal.table("Last epochs, means", ("", *report["rows"]), logs, words=("",))


def _figure(row: Mapping[str, Any], name: str) -> str:
    spread = row["spread"][name]
    return f"{row['mean'][name]:.2f}" + ("" if spread is None else f" ± {spread:.2f}")


def _draw(report: Mapping[str, Any], target: Path) -> None:
    groups = {
        heading: [Bar(label, row["mean"][name], row["spread"][name] or 0.0) for label, row in report["rows"].items()]
        for name, heading in zip(FIGURES, ("mAP", "rank-1"), strict=True)
    }
    lines = dict(zip(groups, (report["zero-shot"][name] for name in FIGURES), strict=True))
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
