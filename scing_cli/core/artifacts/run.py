"""A run folder: what both stages wrote, and whether stage n fits stage n-1.

`run.json` says what the run is (settings, data, identity map, versions, seed, time made); `manifest.csv` its rows,
relative to the data root; `prompts/` and `visual/` hold weights with a stamp each; `metrics.jsonl` the course of
training. A stage is complete when its stamp is there: the stamp is written last.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from scing_cli import __version__
from scing_cli.core.artifacts.checksum import FORMAT
from scing_cli.core.artifacts.files import read_json, write_json
from scing_cli.core.errors import RunError

RUNS = Path("runs")
STAGES = {"prompts": "train-prompts", "visual": "train-visual"}
STAMP = "stamp.json"
REPORT_KIND = "scing evaluation report"
PARTS = {"made": str, "data": dict, "identities": list, "model": dict, "settings": dict}
VISUAL_REMEDY = "Copy the folder again whole, or make it anew with scing train-visual."


@dataclasses.dataclass(frozen=True)
class Run:
    """An opened run folder.

    Args:
        path: The folder.
        info: What run.json holds.
    """

    path: Path
    info: Mapping[str, Any]

    @property
    def prompts(self) -> Path:
        """Where stage 1 leaves the prompts and w_k."""
        return self.path / "prompts"

    @property
    def visual(self) -> Path:
        """Where stage 2 leaves the image encoder."""
        return self.path / "visual"

    @property
    def inference(self) -> Path:
        """Where the image encoder's inference copy lies, if there is one."""
        return self.visual / "inference"

    @property
    def manifest(self) -> Path:
        """The rows the run was trained on."""
        return self.path / "manifest.csv"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: the course of both stages."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """What the last report of an evaluation says; its thresholds are for searches."""
        return self.path / "report.json"

    @property
    def identities(self) -> tuple[str, ...]:
        """The identity map: place k in it is class k."""
        return tuple(self.info["identities"])

    def has(self, stage: str) -> bool:
        """Tell whether `prompts` or `visual` is complete."""
        return (self.path / stage / STAMP).is_file()

    def visual_stamp(self) -> dict[str, Any]:
        """Return what the trained image encoder says of itself; `digest` and `model` are among it.

        Raises:
            RunError: If it is missing or damaged.
        """
        stamp = read_json(self.visual / STAMP, remedy=VISUAL_REMEDY)
        model = stamp.get("model")
        if not isinstance(stamp.get("digest"), str) or not isinstance(model, dict) or not _names(model.get("cameras")):
            raise RunError(f"{self.visual / STAMP} is no whole stamp.", VISUAL_REMEDY)
        return stamp

    def need(self, stage: str) -> None:
        """Check that a stage is complete.

        Raises:
            RunError: Naming the command that makes it.
        """
        if not self.has(stage):
            noun = "prompts" if stage == "prompts" else "trained image encoder"
            extra = " --data DIR" if stage == "prompts" else ""
            remedy = f"Make it first: scing {STAGES[stage]}{extra} --run {self.path}"
            if (self.path / "state" / f"{STAGES[stage]}.json").exists():
                remedy = f"It is unfinished there; go on with: scing {STAGES[stage]} --resume --run {self.path}"
            elif stage == "prompts" and self.path.joinpath("run.json").exists():
                remedy = "Start stage 1 anew in another folder: scing train-prompts --data DIR"
            raise RunError(f"{self.path} has no {noun}.", remedy)


def _names(value: object) -> bool:
    """Tell whether it is a list of names, or none."""
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def check_free(folder: Path) -> None:
    """Check that a run may be made there: asked before the work starts.

    Raises:
        RunError: If the folder already holds anything but hidden files, which a start that was killed leaves.
    """
    if folder.exists() and (not folder.is_dir() or any(not file.name.startswith(".") for file in _files(folder))):
        raise RunError(f"{folder} is not empty; a run is never overwritten.", "Name another folder with --run.")


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if not file.is_dir())


def create_run(folder: Path, info: Mapping[str, Any]) -> Run:
    """Make a run folder where missing, and write its run.json.

    Raises:
        RunError: If it has one already.
    """
    if (folder / "run.json").exists():
        raise RunError(f"{folder} is a run already; a run is never overwritten.", "Name another folder with --run.")
    folder.mkdir(parents=True, exist_ok=True)
    full = {"format": FORMAT, "made": _now().isoformat(), "versions": versions(), **info}
    write_json(folder / "run.json", full)
    return Run(folder, full)


def update_run(run: Run, changes: Mapping[str, Any]) -> Run:
    """Write run.json again with some entries replaced."""
    info = {**run.info, **changes}
    write_json(run.path / "run.json", info)
    return Run(run.path, info)


def fresh_folders(name: str) -> Iterator[Path]:
    """Yield folders in `runs/` that do not exist yet, named by the data and the time."""
    stem = f"{name}-{_now():%Y%m%d-%H%M%S}"
    candidates = (RUNS / (f"{stem}-{count}" if count else stem) for count in itertools.count())
    return (folder for folder in candidates if not folder.exists())


def open_run(folder: Path) -> Run:
    """Open a run folder.

    Raises:
        RunError: If it is none, or of a newer format.
    """
    if not (folder / "run.json").is_file():
        raise RunError(
            f"{folder} is no run: it has no run.json.",
            "Runs are made by: scing train-prompts --data DIR [--run FOLDER]",
        )
    info = read_json(folder / "run.json", remedy="Restore it from a copy, take another run, or train anew.")
    lacking = [name for name, kind in PARTS.items() if not isinstance(info.get(name), kind)]
    if lacking:
        raise RunError(f"{folder / 'run.json'} lacks {', '.join(lacking)}.", "Take another run, or train anew.")
    return Run(folder, info)


def choose_run(folder: Path | None, *, stage: str, warn: Callable[[str], object] = str) -> Run:
    """Return the named run, or the newest in `runs/` whose `stage` is complete.

    Args:
        folder: The named one; None for the newest.
        stage: `prompts` or `visual`.
        warn: Told of damaged runs, which are passed over.

    Raises:
        RunError: If there is none; the message names the command that makes one.
    """
    if folder is not None:
        run = open_run(folder)
        run.need(stage)
        return run
    found = [path.parent for path in sorted(RUNS.glob("*/run.json"))]
    complete = [one for place in found if (one := _readable(place, warn)) is not None and one.has(stage)]
    if not complete:
        noun = "prompts" if stage == "prompts" else "a trained image encoder"
        command = "scing train-prompts --data DIR" if stage == "prompts" or not found else "scing train-visual"
        raise RunError(f"No run in ./{RUNS} has {noun}.", f"Make one with: {command}, or name a run with --run FOLDER.")
    return max(complete, key=lambda run: str(run.info["made"]))


def _readable(folder: Path, warn: Callable[[str], object]) -> Run | None:
    """Open a run, or tell of one that is damaged: it must not stand in the way of the others."""
    try:
        return open_run(folder)
    except RunError as error:
        warn(f"{error.what} It is passed over.")
        return None


def versions() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    names = ("torch", "open_clip_torch", "openvino", "faiss-cpu", "numpy", "pillow")
    return {"scing-cli": __version__, "python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    """Return the version of a distribution; another build of it, such as faiss-gpu, may stand in its place."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
