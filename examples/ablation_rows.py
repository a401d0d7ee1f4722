"""Train rows of an ablation with several seeds, and tune the rate of each on people who are held out.

A row differs from the others in settings of one or both stages. Rows with the same stage 1 share it. What is finished
is not trained again, and what was interrupted resumes.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from scing_cli.core.artifacts import Run, open_run, write_json
from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.hold_out import divide_people
from scing_cli.core.errors import ScingError
from scing_cli.core.manifest import with_own_paths, write_manifest
from scing_cli.core.methods.prompts_file import load_texts
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.settings import PromptSettings, VisualSettings, build_settings, saved_settings, unread
from scing_cli.core.threads import default_workers
from scing_cli.core.workflows.evaluate.evaluate_data import evaluate_on
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model_choice import ModelChoice
from scing_cli.core.workflows.train.prompts_stage import train_prompts
from scing_cli.core.workflows.train.unfinished import read_unfinished
from scing_cli.core.workflows.train.visual_stage import train_visual

Tables = Mapping[str, Mapping[str, Any]]
FIGURES = ("mAP", "rank1")
FACTORS = (0.5, 1.0, 2.0)  # of the rate of stage 2, for tuning
TUNING_SEED = 1000  # no seed of a table
OF_PDCA = {"views", "consistency_target"}
LOGGED = {
    "train-prompts": (
        "contrast",
        "gradient_contrast",
        "gradient_consistency",
        "visual_spread",
        "alpha_over_images",
        "alpha_over_channels",
        "views_cosine",
    ),
    "train-visual": ("identity", "triplet", "prototype", "active_share"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table.

    Args:
        label: Its name in the table.
        prompts: Settings of stage 1 in which it differs from the common ones.
        visual: The same of stage 2.
    """

    label: str
    prompts: Mapping[str, Any]
    visual: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_SVIP, _SCING = {"method": "scing", "consistency": False}, {"method": "scing"}
_CAMERAS = {"prototype_weight": 2.0, "prototype_cameras": True}
ROWS: Mapping[str, Row] = {
    "clip-reid": Row("CLIP-ReID", {"method": "clip-reid"}),
    "cocoop": Row("+ meta-net (CoCoOp)", {"method": "cocoop"}),
    "svip": Row("+ SVIP", _SVIP),
    "svip-unit": Row("+ SVIP, V at unit length (R19)", {**_SVIP, "condition": "unit"}),
    "svip-token": Row("+ SVIP, token gate (R2)", {**_SVIP, "gate": "token"}),
    "scing": Row("+ SVIP + PDCA (SCING)", _SCING),
    "scing-both": Row("SCING, PDCA to images too (R20)", {**_SCING, "consistency_target": "both"}),
    "svip-all": Row("+ SVIP, encoder learns (R22)", {**_SVIP, "stage1_learns": "all"}),
    "scing-all": Row("SCING, encoder learns (R22)", {**_SCING, "stage1_learns": "all"}),
    "centroids": Row("SCING + centroids (ours)", _SCING, {"prototype_weight": 1.0}),
    "camera-centroids": Row("SCING + camera centroids (ours)", _SCING, _CAMERAS),
    "camera-centroids-pdca": Row(
        "SCING + camera centroids + view consistency (ours)", _SCING, {**_CAMERAS, "view_weight": 1.0}
    ),
}
PAPER = ("clip-reid", "cocoop", "svip", "scing")  # the rows of Table 3


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training of a row, and its evaluations.

    Args:
        row: A key of `ROWS`.
        seed: Of both stages.
        rate: The learning rate of stage 2; None for that of the tables.
        tables: The common settings, by stage and option name.
        folder: Gets the runs.
        data: To train and to evaluate on.
        also: Further data to evaluate on.
    """

    row: str
    seed: int
    rate: float | None
    tables: Tables
    folder: Path
    data: Path
    also: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The name of the run."""
        return f"{self.row}-seed-{self.seed}" + ("" if self.rate is None else f"-lr-{self.rate:g}")

    @property
    def stage1(self) -> Path:
        """The run of stage 1, which rows with the same settings share."""
        owner = next(key for key, row in ROWS.items() if row.prompts == ROWS[self.row].prompts)
        return self.folder / f"{owner}-seed-{self.seed}-stage-1"

    def settings(self) -> tuple[PromptSettings, VisualSettings]:
        """Return the settings of both stages; keys of the tables that the row does not read are ignored."""
        row = ROWS[self.row]
        ignored = unread(row.prompts["method"]) | (OF_PDCA if not row.prompts.get("consistency", True) else set())
        rate = {} if self.rate is None else {"lr": self.rate}
        visual = build_settings(VisualSettings, self.tables["train-visual"], {**row.visual, **rate, "seed": self.seed})
        learnt = dict(row.prompts)
        if learnt.get("stage1_learns") == "all":  # the encoder learns at stage 2's common rate
            ignored |= {"views"}
            rate_of_prompts = build_settings(PromptSettings, self.tables["train-prompts"], {}).lr
            learnt["encoder_lr_factor"] = _common_rate(self.tables) / rate_of_prompts
        table = {name: value for name, value in self.tables["train-prompts"].items() if _key(name) not in ignored}
        return build_settings(PromptSettings, table, {**learnt, "seed": self.seed}), visual


def _key(name: str) -> str:
    return name.replace("-", "_")


def _common_rate(tables: Tables) -> float:
    return build_settings(VisualSettings, tables["train-visual"], {}).lr


def run_cells(cells: Sequence[Cell], *, jobs: int, reporter: Reporter) -> list[dict[str, Any]]:
    """Train and evaluate what is not finished; return the results in the order of the cells.

    Args:
        cells: All of them.
        jobs: Processes that train at the same time; with more than one, each has its share of the cores.
        reporter: Shows progress; of single trainings if there is one process.
    """
    groups: dict[Path, list[int]] = {}
    for number, cell in enumerate(cells):
        groups.setdefault(cell.stage1, []).append(number)
    results: dict[int, dict[str, Any]] = {}
    for number, result in _done(cells, list(groups.values()), jobs, reporter):
        results[number] = result
        cell = cells[number]
        score = result["scores"][cell.data.name]
        found = f"mAP {score['mAP']:.2f}, rank-1 {score['rank1']:.2f}"
        reporter.note(f"{len(results)} of {len(cells)}: {ROWS[cell.row].label}, {cell.name}: {found}")
    return [results[number] for number in range(len(cells))]


def _done(
    cells: Sequence[Cell], groups: Sequence[Sequence[int]], jobs: int, reporter: Reporter
) -> Iterator[tuple[int, dict[str, Any]]]:
    if jobs == 1:
        for group in groups:
            for number in group:
                yield number, run_cell(cells[number], reporter)
        return
    threads = max(1, default_workers() // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(threads,)) as pool:
        futures = {pool.submit(_run_group, [cells[number] for number in group]): group for group in groups}
        for future in as_completed(futures):
            yield from zip(futures[future], future.result(), strict=True)


def _start(threads: int) -> None:
    torch.set_num_threads(threads)


def _run_group(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    return [run_cell(cell, Silent()) for cell in cells]


def run_cell(cell: Cell, reporter: Reporter) -> dict[str, Any]:
    """Train one cell and evaluate it, unless that is finished.

    Returns:
        Seed and rate, `scores` by the name of the data, the seconds of both trainings, and the last logged figures.

    Raises:
        ScingError: If its folder has a run with other settings or of other data.
    """
    prompts, visual = cell.settings()
    machine = Machine(workers=torch.get_num_threads())
    fingerprint = _fingerprint(cell.data)
    if cell.stage1.exists():
        _check(cell.stage1, fingerprint, "train-prompts", saved_settings(prompts))
    if not (cell.stage1.exists() and open_run(cell.stage1).has("prompts")):
        train_prompts(cell.data, prompts, run=cell.stage1, machine=machine, reporter=reporter)
    run = cell.folder / cell.name
    if run.exists():
        _check(run, fingerprint, "train-visual", saved_settings(visual))
    if not (run.exists() and open_run(run).has("visual")):
        train_visual(visual, run=cell.stage1, name=cell.name, machine=machine, reporter=reporter)
    return _scores(cell, open_run(run), visual, machine, reporter)


def _fingerprint(data: Path) -> str:
    return with_own_paths(read_data(data).manifest).fingerprint()  # as a training reads it


def _check(folder: Path, fingerprint: str, stage: str, expected: Mapping[str, Any]) -> None:
    """Refuse a run with other data or other settings; remove one whose stage 1 was stopped before its first save."""
    run = open_run(folder)
    if run.info["settings"].get(stage, expected) != expected:
        raise ScingError(f"{folder} was trained with other settings.", "Name another folder: --output FOLDER.")
    if run.info["data"]["fingerprint"] != fingerprint:
        raise ScingError(
            f"{folder} was trained on other data than those that are there now.",
            "Name another folder: --output FOLDER.",
        )
    if not run.has("prompts") and read_unfinished(folder, "prompts") is None:
        shutil.rmtree(folder)


def _scores(cell: Cell, run: Run, visual: VisualSettings, machine: Machine, reporter: Reporter) -> dict[str, Any]:
    """Evaluate a finished run on all data, or read the scores of before."""
    target = cell.folder / "scores" / f"{cell.name}.json"
    data = {path.name: path for path in (cell.data, *cell.also)}
    facts = {
        "digest": run.visual_stamp()["digest"],
        "data": {name: _fingerprint(path) for name, path in data.items()},
    }
    if target.exists() and (saved := json.loads(target.read_text(encoding="utf-8")))["facts"] == facts:
        return dict(saved["result"])
    found = evaluate_on(ModelChoice(run=run.path), list(data.values()), machine=machine, reporter=reporter)
    scores = {
        name: {figure: getattr(report.scores, figure) for figure in FIGURES}
        for name, report in zip(data, found, strict=True)
    }
    result = {"seed": cell.seed, "lr": visual.lr, "scores": scores, **_training_log(run)}
    write_json(target, {"facts": facts, "result": result})
    return result


def _training_log(run: Run) -> dict[str, Any]:
    """Return the seconds of both stages, the last logged values of each, and the mean cosine of the identity texts."""
    rows = [json.loads(line) for line in run.metrics.read_text(encoding="utf-8").splitlines()]
    last = {row["stage"]: row for row in rows}
    found = {name: last[stage][name] for stage, names in LOGGED.items() for name in names if name in last[stage]}
    texts = functional.normalize(load_texts(run.stage("prompts")).vectors, dim=1)
    cosines = (texts @ texts.T)[~torch.eye(len(texts), dtype=torch.bool)]
    logs = {**found, "text_cosine": float(cosines.mean())}
    return {"seconds": round(sum(row["seconds"] for row in rows)), "logs": logs}


def tuned_rates(
    rows: Sequence[str],
    tables: Tables,
    data: Path,
    *,
    share: float,
    folder: Path,
    jobs: int,
    reporter: Reporter,
) -> dict[str, dict[float, float]]:
    """Return the mAP of each row at three rates of stage 2, on people of the training part who are held out.

    The queries and the gallery of the data are not read.

    Args:
        rows: Keys of `ROWS`.
        tables: The common settings; the rates are half, once and twice theirs.
        data: The data set.
        share: The share of the training people to hold out.
        folder: Gets the held-out data and the runs.
        jobs: Processes that train at the same time.
        reporter: Shows progress.
    """
    source = read_data(data).manifest
    part = source.part("train")
    unsplit = tuple(dataclasses.replace(row, split="") for row in part)
    held = divide_people(dataclasses.replace(part, samples=unsplit), share, seed=TUNING_SEED)
    target = folder / "held-out.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(held.manifest, target)
    reporter.note(f"{target}: {held.trained} people to train on, {held.tested} held out with {held.queries} queries.")
    rate = _common_rate(tables)
    tried = [(key, rate * factor) for key in rows for factor in FACTORS]
    cells = [Cell(key, TUNING_SEED, one, tables, folder, target) for key, one in tried]
    found: dict[str, dict[float, float]] = {key: {} for key in rows}
    for (key, one), result in zip(tried, run_cells(cells, jobs=jobs, reporter=reporter), strict=True):
        found[key][one] = result["scores"][target.name]["mAP"]
    return found
