"""Quality of both stages with and without a bank of views, on synthetic people with occluded queries, by seed.

python tests/benchmarks/views.py --folder DIR [--seeds 0 1 2] [--views fresh bank:8]

512 people to train on, half of their images occluded, 128 others to test, as in the guide's ablation; settings of
examples/configs/scing-tiny.toml. One JSON line per run: seconds of both stages, all that happens before their first step
included, mAP and rank-1; then one with means and standard deviations. DIR gets the world, the runs and their results;
what is finished there is not trained again, so that the same command goes on after a stop.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import measuring

from scing_cli.commands.console import Terminal
from scing_cli.core.artifacts import read_json, write_json
from scing_cli.core.errors import ScingError
from scing_cli.core.settings import PromptSettings, VisualSettings, build_settings, read_config, saved_settings
from scing_cli.core.synthetic import write_world
from scing_cli.core.workflows.evaluate.evaluate_data import evaluate
from scing_cli.core.workflows.shared.model import ModelChoice
from scing_cli.core.workflows.train.prompts_stage import train_prompts
from scing_cli.core.workflows.train.visual_stage import train_visual

EXAMPLES = Path(__file__).parents[2] / "examples"
MEASURED = ("stage1_seconds", "stage2_seconds", "mAP", "rank1")


def main() -> None:
    given = _arguments()
    terminal = Terminal(as_json=True)
    world = given.folder / f"world-{given.identities}-{given.test_identities}"
    if not world.exists():
        write_world(
            world,
            identities=given.identities,
            test_identities=given.test_identities,
            occluded_queries=True,
            occluded_training=0.5,
            reporter=terminal,
        )
    runs: dict[str, list[dict[str, Any]]] = {views: [] for views in given.views}
    for seed in given.seeds:
        for views in given.views:
            runs[views].append(one(given.folder, world, given.config, seed, views, terminal))
            print(json.dumps(runs[views][-1]), flush=True)
    means = {views: summary(results) for views, results in runs.items()}
    about = {"machine": measuring.machine(), "versions": measuring.versions()}
    print(json.dumps({"data": world.name, "seeds": given.seeds, "means": means, **about}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--views", nargs="+", default=["fresh", "bank:8"])
    parser.add_argument("--identities", type=int, default=512)
    parser.add_argument("--test-identities", type=int, default=128)
    parser.add_argument("--config", type=Path, default=EXAMPLES / "configs" / "scing-tiny.toml")
    return parser.parse_args()


def one(folder: Path, world: Path, config: Path, seed: int, views: str, terminal: Terminal) -> dict[str, Any]:
    """Return a run's line; train and evaluate it unless that is done."""
    sys.path.append(str(EXAMPLES))
    from ablation import check_folder

    tables = read_config(config)
    prompts = build_settings(PromptSettings, tables["train-prompts"], {"seed": seed, "views": views})
    visual = build_settings(VisualSettings, tables["train-visual"], {"seed": seed})
    run = folder / f"{views.replace(':', '-')}-seed-{seed}"
    result = run.with_suffix(".json")
    if run.exists():
        saved = {"train-prompts": saved_settings(prompts), "train-visual": saved_settings(visual)}
        check_folder(run, world, saved)
        if result.exists():
            return read_json(result)
    shutil.rmtree(run, ignore_errors=True)  # stopped: its seconds are not known
    terminal.note(f"--views {views}, seed {seed}: {run}")
    began = time.perf_counter()
    train_prompts(world, prompts, run=run, reporter=terminal)
    between = time.perf_counter()
    train_visual(visual, run=run, reporter=terminal)
    ended = time.perf_counter()
    scores = evaluate(ModelChoice(run=run), reporter=terminal).scores
    seconds = (round(between - began, 1), round(ended - between, 1))
    values = (*seconds, round(scores.mAP, 3), round(scores.rank1, 3))
    line = {"seed": seed, "views": views, **dict(zip(MEASURED, values, strict=True))}
    write_json(result, line)
    return line


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation of what is measured; a single run has no deviation."""
    found: dict[str, dict[str, float | None]] = {}
    for name in MEASURED:
        values = [float(result[name]) for result in results]
        deviation = round(statistics.stdev(values), 3) if len(values) > 1 else None
        found[name] = {"mean": round(statistics.mean(values), 3), "deviation": deviation}
    return found


if __name__ == "__main__":
    try:
        main()
    except ScingError as error:
        sys.exit(f"Error: {error}")
