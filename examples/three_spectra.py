"""Compare methods on drawn people at night: mAP and rank-1, and what their training costs.

python examples/three_spectra.py [--seeds 3] [--identities 64] [--batch-size 64] [--output FOLDER]

The rows are the untrained model and `dmpt`, each with three spectra and with the visible images alone, and `clip-reid`
and `scing` with three spectra. Each seed has a data set of its own, from `scing prepare --synthetic --spectra
rgb,nir,tir --night`, which all its rows share. Settings are those of --config for `dmpt` and of --peer-config for the
others, which differ in stage 1 alone; batches have the same size. Trained parameters are those of all stages, with the
heads of the losses. Peak memory is the largest resident set of a training process; seconds per step are those of the
slower stage.
FOLDER gets three_spectra.json, the data and the runs. The same command continues a comparison that was stopped:
finished stages are not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from scing_cli.core.artifacts import open_run, write_json
from scing_cli.core.errors import ScingError
from scing_cli.core.spectra import SPECTRA
from scing_cli.core.synthetic import OBSERVATIONS

WIDTH = 150  # of a table without broken lines
CONFIGS = Path(__file__).parent / "configs"


class Row(NamedTuple):
    """One row of the table: a method, and the spectra that its model reads."""

    method: str
    spectra: str

    @property
    def name(self) -> str:
        """The name of its runs."""
        return f"{self.method}-{self.spectra.replace(',', '-')}"


ALL = ",".join(SPECTRA)
UNTRAINED = "untrained"
PAIRS = ((UNTRAINED, ALL), (UNTRAINED, "rgb"), ("dmpt", ALL), ("dmpt", "rgb"), ("clip-reid", ALL), ("scing", ALL))
ROWS = {row.name: row for row in (Row(*pair) for pair in PAIRS)}
STAGES: Mapping[str, str] = {"prompts": "train-prompts", "visual": "train-visual"}
FIGURES = ("mAP", "rank1")
NAMES = ("mAP", "R-1")  # of the columns that a row without training has
Found = Mapping[str, Any]
COLUMNS: Mapping[str, tuple[Callable[[Found], float], str]] = {
    "mAP": (lambda row: float(row["mAP"]), ".2f"),
    "R-1": (lambda row: float(row["rank1"]), ".2f"),
    "trained parameters": (lambda row: sum(stage["trained"] for stage in row["stages"].values()), ",.0f"),
    "peak memory, MiB": (lambda row: max(stage["peak"] for stage in row["stages"].values()) / 2**20, ",.0f"),
    "s / step, slower stage": (lambda row: max(stage["per_step"] for stage in row["stages"].values()), ".3f"),
    "training, minutes": (lambda row: sum(stage["seconds"] for stage in row["stages"].values()) / 60, ".1f"),
}


def main() -> None:
    given = _arguments()
    made: dict[str, Any] = {
        name: getattr(given, name) for name in ("identities", "test_identities", "batch_size", "epochs")
    }
    made |= {
        name: tomllib.loads(getattr(given, name).read_text(encoding="utf-8")) for name in ("config", "peer_config")
    }
    target = given.output / "three_spectra.json"
    fresh: dict[str, Any] = {"made": made, "machine": f"{platform.machine()}, {os.cpu_count()} processors", "rows": {}}
    report: dict[str, Any] = json.loads(target.read_text(encoding="utf-8")) if target.exists() else fresh
    if report["made"] != made:
        raise ScingError(f"{target} was made with other options.", "Name another folder with --output.")
    for seed in range(given.seeds):
        for name in given.rows:
            row, found = ROWS[name], report["rows"].setdefault(f"{name}-{seed}", {"stages": {}})
            for stage in _stages(row):
                if stage not in found["stages"]:
                    print(f"{row.method}, {row.spectra}, seed {seed}: {STAGES[stage]}", file=sys.stderr)
                    found["stages"][stage] = _train(given, row, stage, seed)
                    write_json(target, report)
            if "mAP" not in found:
                scores = _scing("evaluate", *_model(given, row, seed))[0]
                found |= {name: scores[name] for name in FIGURES}
                write_json(target, report)
    _print(report["rows"], given.rows, given.seeds)
    print(f"{target}: all figures, stage by stage")


def _stages(row: Row) -> tuple[str, ...]:
    if row.method == UNTRAINED:
        return ()
    return ("prompts",) if row.method == "dmpt" else tuple(STAGES)


def _model(given: argparse.Namespace, row: Row, seed: int) -> tuple[object, ...]:
    """Return the options of `scing evaluate` for the model of a row."""
    if row.method != UNTRAINED:
        return "--run", _run(given, row, seed)
    table = tomllib.loads(given.config.read_text(encoding="utf-8"))["train-prompts"]
    weights = ("--pretrained", table["pretrained"]) if "pretrained" in table else ()
    return "--data", _draw(given, seed), "--model", table["model"], *weights, "--spectra", row.spectra


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--identities", type=int, default=64, help="people to train on")
    parser.add_argument("--test-identities", type=int, default=48, help="other people, to test with")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=f"some of: {', '.join(ROWS)}"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="observations in a batch, for all rows")
    parser.add_argument("--epochs", type=int, help="epochs of every stage, instead of those of the settings files")
    parser.add_argument("--config", type=Path, default=CONFIGS / "dmpt-tiny.toml", help="settings of dmpt")
    parser.add_argument("--peer-config", type=Path, default=CONFIGS / "scing-tiny.toml", help="settings of the others")
    parser.add_argument("--output", type=Path, default=Path("three-spectra"))
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error(f"--seeds {given.seeds}: must be at least 1.")
    return given


def _draw(given: argparse.Namespace, seed: int) -> Path:
    """Return the list of observations of a seed's data set; draw it unless it is there."""
    folder: Path = given.output / f"night-{seed}"
    if not folder.exists():
        kind = ("--synthetic", "--spectra", ALL, "--night", "--seed", seed)
        numbers = ("--identities", given.identities, "--test-identities", given.test_identities)
        _scing("prepare", folder, *kind, *numbers, "--output", folder.with_suffix(".csv"))
    return folder / OBSERVATIONS


def _run(given: argparse.Namespace, row: Row, seed: int) -> Path:
    return Path(given.output) / "runs" / f"{row.name}-{seed}"


def _train(given: argparse.Namespace, row: Row, stage: str, seed: int) -> dict[str, Any]:
    """Train one stage of a row and return what it cost; an interrupted stage continues.

    A stage that was finished without its figures being written is trained again.
    """
    data, run = _draw(given, seed), _run(given, row, seed)
    config = given.config if row.method == "dmpt" else given.peer_config
    words = ["--run", run, "--seed", seed, "--config", config, "--batch-size", given.batch_size]
    words += ["--epochs", given.epochs] if given.epochs else []
    if stage == "prompts":
        if run.exists() and open_run(run).has("prompts"):
            shutil.rmtree(run)
        words += ["--method", row.method, "--spectra", row.spectra, "--data", data]
    elif open_run(run).has("visual"):
        shutil.rmtree(open_run(run).stage("visual"))
    result, peak = _scing(STAGES[stage], *words)
    steps, seconds = result["steps"], result["seconds"]
    trained = sum(result["trainable"].values())
    return {"trained": trained, "peak": peak, "steps": steps, "seconds": seconds, "per_step": seconds / max(steps, 1)}


def _scing(*words: object) -> tuple[dict[str, Any], int]:
    """Run a command of `scing`; return its result, and the largest resident set of its process in bytes."""
    command = [sys.executable, "-m", "scing_cli", *map(str, words), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as child:
        text = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)  # unlike Popen.wait, it tells the memory of this process alone
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise ScingError(f"scing {words[0]} failed (exit code {child.returncode}).", "Its message is above.")
    return dict(json.loads(text)), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _print(rows: Mapping[str, Found], names: Sequence[str], seeds: int) -> None:
    spread = f"mean ± deviation over {seeds} seeds" if seeds > 1 else "one seed, no deviation"
    table = Table("method", "spectra", title=f"Drawn people at night: {spread}")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for name in names:
        row, found = ROWS[name], [rows[f"{name}-{seed}"] for seed in range(seeds)]
        columns = {name: own for name, own in COLUMNS.items() if name in NAMES or _stages(row)}
        figures = (_figure([value(one) for one in found], form) for value, form in columns.values())
        table.add_row(row.method, row.spectra, *figures)
    console = Console()
    Console(width=max(console.width, WIDTH)).print(table)


def _figure(values: list[float], form: str) -> str:
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {format(statistics.stdev(values), form)}" if len(set(values)) > 1 else mean


if __name__ == "__main__":
    try:
        main()
    except ScingError as error:
        sys.exit(f"Error: {error}")
