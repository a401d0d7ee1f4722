"""Compare text-to-image retrieval without training, after `direct` and after `prompt-decoupling`, on drawn people.

python examples/text_to_image.py [--seeds 3] [--identities 512] [--config FILE.toml] [--output FOLDER]

Three worlds per seed: captions in usual words, in words that scing-tiny has not met, and the same with occluded images.
All rows read images with the model, stride, statistics and interpolation of --config. Both trainings have its table
[train-visual], and prompt-decoupling its whole [train-prompts]. FOLDER gets text_to_image.json, the data and the runs.
The same command continues a comparison that was stopped: finished rows are not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scing_cli.core.artifacts import open_run, write_json
from scing_cli.core.errors import ScingError

WORLDS: Mapping[str, tuple[str, ...]] = {
    "usual": ("--wording", "usual"),
    "unmet": ("--wording", "unmet"),
    "unmet-occluded": ("--wording", "unmet", "--occluded-queries", "--occluded-training", "0.5"),
}
ROWS = ("zero-shot", "direct", "prompt-decoupling")
READING = ("model", "pretrained", "stride", "statistics", "interpolation")  # settings of how images are read
FIGURES = {"rank1": "R@1", "mAP": "mAP"}


def main() -> None:
    given = _arguments()
    made = {"config": tomllib.loads(given.config.read_text(encoding="utf-8"))}
    made |= {name: getattr(given, name) for name in ("identities", "test_identities", "prompt_epochs", "visual_epochs")}
    given.model = _plain_model(made["config"].get("train-prompts", {}))
    target = given.output / "text_to_image.json"
    report = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {"made": made, "rows": {}}
    if report["made"] != made:
        raise ScingError(f"{target} was made with other options.", "Name another folder with --output.")
    for seed in range(given.seeds):
        for world in given.worlds:
            for row in ROWS:
                name = f"{world}-{row}-{seed}"
                if name not in report["rows"]:
                    print(f"{row}, {world}, seed {seed}", file=sys.stderr)
                    report["rows"][name] = _one(given, world, row, seed)
                    write_json(target, report)
    _print(report["rows"], given.worlds, given.seeds)
    print(f"{target}: all figures, and the seconds that each row took")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--identities", type=int, default=512, help="people to train on")
    parser.add_argument("--test-identities", type=int, default=48, help="other people, to test with")
    parser.add_argument(
        "--worlds",
        nargs="+",
        choices=WORLDS,
        default=list(WORLDS),
        metavar="WORLD",
        help=f"some of: {', '.join(WORLDS)}",
    )
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "configs" / "text-tiny.toml")
    parser.add_argument("--prompt-epochs", type=int, help="epochs of stage 1, instead of those of --config")
    parser.add_argument("--visual-epochs", type=int, help="epochs of stage 2, instead of those of --config")
    parser.add_argument("--output", type=Path, default=Path("text-to-image"))
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error(f"--seeds {given.seeds}: must be at least 1.")
    return given


def _plain_model(table: Mapping[str, Any]) -> list[str]:
    """Return the options of `evaluate` for the model of a settings file before training.

    Raises:
        ScingError: If it sets the size of images, which `evaluate` cannot change, or has no model.
    """
    if "image-size" in table:
        raise ScingError(
            "--config sets image-size: the size cannot be set for the row without training.", "Leave it out."
        )
    if "model" not in table:
        raise ScingError("--config has no model in [train-prompts].", 'Add one, such as model = "scing-tiny".')
    return [text for name in READING if name in table for text in (f"--{name}", str(table[name]))]


def _one(given: argparse.Namespace, world: str, row: str, seed: int) -> dict[str, float]:
    """Return the figures of one row of one world; draw its data and train its run, unless they are there."""
    data, started = given.output / f"{world}-{seed}", time.monotonic()
    if not data.exists():
        numbers = ("--identities", given.identities, "--test-identities", given.test_identities, "--seed", seed)
        manifest = data.with_name(f"{data.name}.csv")
        _scing("prepare", data, "--synthetic", *WORLDS[world], *numbers, "--output", manifest)
    model = (*given.model, "--data", data)
    if row != "zero-shot":
        run = given.output / "runs" / f"{world}-{row}-{seed}"
        _train(given, data, row, run, seed)
        model = ("--run", run)
    scores = _scing("evaluate", *model, "--queries", "text")
    return {name: scores[name] for name in FIGURES} | {"seconds": round(time.monotonic() - started)}


def _train(given: argparse.Namespace, data: Path, method: str, run: Path, seed: int) -> None:
    """Train what is not trained yet of one run."""
    trains_prompts = method != "direct"
    epochs = ("--epochs", given.prompt_epochs) if trains_prompts and given.prompt_epochs else ()
    if not (run.exists() and open_run(run).has("prompts")):
        place = ("--data", data, "--run", run)
        _scing("train-prompts", "--method", method, *place, "--seed", seed, "--config", given.config, *epochs)
    if not open_run(run).has("visual"):
        epochs = ("--epochs", given.visual_epochs) if given.visual_epochs else ()
        _scing("train-visual", "--run", run, "--seed", seed, "--config", given.config, *epochs)


def _scing(*words: object) -> dict[str, Any]:
    """Run a command of `scing` and return its result."""
    command = [sys.executable, "-m", "scing_cli", *map(str, words), "--json"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        raise ScingError(f"scing {words[0]} failed (exit code {done.returncode}).", "Its message is above.")
    return dict(json.loads(done.stdout))


def _print(rows: Mapping[str, Mapping[str, float]], worlds: Sequence[str], seeds: int) -> None:
    spread = f"mean ± deviation over {seeds} seeds" if seeds > 1 else "one seed, no deviation"
    table = Table("world", "", title=f"Captions to images: {spread}")
    for heading in FIGURES.values():
        table.add_column(heading, justify="right")
    for world in worlds:
        for row in ROWS:
            found = [rows[f"{world}-{row}-{seed}"] for seed in range(seeds)]
            table.add_row(world, row, *(_figure([one[name] for one in found]) for name in FIGURES))
    Console().print(table)


def _figure(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


if __name__ == "__main__":
    try:
        main()
    except ScingError as error:
        sys.exit(f"Error: {error}")
