"""A run folder: the files of both training stages.

`run.json` describes the run (settings, data, identity map, versions, seed, creation time). `manifest.csv` lists its
rows, relative to the data root. `prompts/` and `visual/` contain the weights, each with a stamp. `metrics.jsonl`
records the training metrics. The stamp is written last: a stage is complete if its stamp exists, and it names the run,
because folders are copied: a stage that was trained again with other settings belongs to another run.
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
from scing_cli.core.artifacts.json_files import FORMAT, check_content, content_digest, read_json, write_json
from scing_cli.core.errors import RunError

RUNS = Path("runs")
BRANCHED = "branched"
"""Entry of run.json in a run that was made from another one's stage 1: the name of that run, and the time."""
STAGES = {"prompts": "train-prompts", "visual": "train-visual"}
STAMP = "stamp.json"
MARK = "run"  # the stamp's entry that identifies its run
REPORT_KIND = "scing evaluation report"
PARTS = {"made": str, "data": dict, "identities": list, "model": dict, "settings": dict}
RUN_REMEDY = "Restore it from a copy, choose another run, or train again."
VISUAL_REMEDY = "Copy the whole folder again, or train again with scing train-visual."


@dataclasses.dataclass(frozen=True)
class Run:
    """An opened run folder.

    Args:
        path: The folder.
        info: The content of run.json.
    """

    path: Path
    info: Mapping[str, Any]

    def stage(self, name: str) -> Path:
        """Return the folder of a stage: `prompts` for the result of stage 1, `visual` for the encoders of stage 2."""
        return self.path / name

    @property
    def inference(self) -> Path:
        """The folder of the image encoder's OpenVINO model; it need not exist."""
        return self.stage("visual") / "inference"

    @property
    def text_inference(self) -> Path:
        """The folder of the OpenVINO model of a text encoder that stage 2 trained; it need not exist."""
        return self.stage("visual") / "inference-text"

    @property
    def encoders(self) -> dict[str, str]:
        """The digests of the trained encoders: `image` and, where stage 2 trained it too, `text`.

        Raises:
            RunError: If the stamp of stage 2 is missing or damaged.
        """
        stamp = self.visual_stamp()
        text = stamp.get("text")
        return {"image": str(stamp["digest"]), **({"text": str(text["digest"])} if text else {})}

    @property
    def manifest(self) -> Path:
        """The CSV of the rows that the run was trained on."""
        return self.path / "manifest.csv"

    @property
    def metrics(self) -> Path:
        """The metrics of both stages, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """The latest evaluation report; searches use its thresholds."""
        return self.path / "report.json"

    def left_out(self, stage: str) -> Path:
        """Return the list of the images that a stage's training left out; it exists only if there are any."""
        return self.path / f"left-out.{STAGES[stage]}.csv"

    @property
    def identities(self) -> tuple[str, ...]:
        """The identity map: entry k is the identity of class k."""
        return tuple(self.info["identities"])

    def prompt_settings(self) -> Mapping[str, Any]:
        """Return the settings of stage 1, keyed by option name.

        Raises:
            RunError: If run.json does not have them.
        """
        settings: Mapping[str, Any] = self.info["settings"].get(STAGES["prompts"], {})
        lacking = [name for name in ("method", "stride", "statistics", "seed") if name not in settings]
        if lacking:
            where = f"{self.path / 'run.json'} lacks {', '.join(f'settings.train-prompts.{name}' for name in lacking)}."
            raise RunError(where, RUN_REMEDY)
        return settings

    def has(self, stage: str) -> bool:
        """Return whether the stage `prompts` or `visual` is complete."""
        return (self.stage(stage) / STAMP).is_file()

    def visual_stamp(self) -> dict[str, Any]:
        """Return the stamp of the trained image encoder; it contains at least `digest` and `model`.

        Raises:
            RunError: If it is missing or damaged.
        """
        stamp = read_json(source := self.stage("visual") / STAMP, remedy=VISUAL_REMEDY)
        check_content("visual stamp", stamp, source, remedy=VISUAL_REMEDY)
        return stamp

    def need(self, stage: str) -> None:
        """Check that a stage is complete.

        Raises:
            RunError: If it is not; the message names the command that trains it.
        """
        if not self.has(stage):
            noun = "prompts" if stage == "prompts" else "trained image encoder"
            extra = " --data DIR" if stage == "prompts" else ""
            remedy = f"Train it first: scing {STAGES[stage]}{extra} --run {self.path}"
            if (self.path / "state" / f"{STAGES[stage]}.json").exists():
                remedy = f"It is unfinished there; resume it with: scing {STAGES[stage]} --resume --run {self.path}"
            elif stage == "prompts" and self.path.joinpath("run.json").exists():
                remedy = "Train stage 1 again in another folder: scing train-prompts --data DIR"
            raise RunError(f"{self.path} has no {noun}.", remedy)


def check_free(folder: Path) -> None:
    """Check that a folder can become a run, before any work starts.

    Raises:
        RunError: If the folder contains anything but hidden files.
    """
    # A process that was killed at its start leaves hidden files behind.
    if folder.exists() and (not folder.is_dir() or any(not file.name.startswith(".") for file in _files(folder))):
        raise RunError(f"{folder} is not empty; a run is never overwritten.", "Choose another folder with --run.")


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if not file.is_dir())


def create_run(folder: Path, info: Mapping[str, Any]) -> Run:
    """Create a run folder if it is missing, and write its run.json.

    Raises:
        RunError: If the folder already has a run.json.
    """
    if (folder / "run.json").exists():
        raise RunError(f"{folder} already is a run; a run is never overwritten.", "Choose another folder with --run.")
    folder.mkdir(parents=True, exist_ok=True)
    full = {"format": FORMAT, "made": now(), "versions": versions(), **info}
    write_json(folder / "run.json", full)
    return Run(folder, full)


def update_run(run: Run, changes: Mapping[str, Any]) -> Run:
    """Write run.json again with some entries replaced."""
    info = {**run.info, **changes}
    write_json(run.path / "run.json", info)
    return Run(run.path, info)


def fresh_folders(name: str) -> Iterator[Path]:
    """Yield folders in `runs/` that do not exist yet, named after the data and the time."""
    stem = f"{name}-{_now():%Y%m%d-%H%M%S}"
    # A second run in the same second gets the suffix -1.
    candidates = (RUNS / (f"{stem}-{count}" if count else stem) for count in itertools.count())
    return (folder for folder in candidates if not folder.exists())


def open_run(folder: Path) -> Run:
    """Open a run folder.

    Raises:
        RunError: If it is not a run, or its format is newer.
    """
    if not (folder / "run.json").is_file():
        raise RunError(
            f"{folder} is not a run: it has no run.json.",
            "Create a run with: scing train-prompts --data DIR [--run FOLDER]",
        )
    info = read_json(folder / "run.json", remedy=RUN_REMEDY)
    missing = [name for name, kind in PARTS.items() if not isinstance(info.get(name), kind)]
    if missing:
        raise RunError(f"{folder / 'run.json'} lacks {', '.join(missing)}.", "Choose another run, or train again.")
    check_content("run", info, folder / "run.json", remedy=RUN_REMEDY)
    return Run(folder, info)


def choose_run(folder: Path | None, *, stage: str, warn: Callable[[str], object] = str) -> Run:
    """Return the given run, or the newest one in `runs/` whose `stage` is complete.

    Args:
        folder: The run's folder; None for the newest run.
        stage: `prompts` or `visual`.
        warn: Called with a message for each damaged run, which is skipped.

    Raises:
        RunError: If there is no such run; the message names the command that creates one.
    """
    if folder is not None:
        run = open_run(folder)
        run.need(stage)
        return run
    found = [path.parent for path in sorted(RUNS.glob("*/run.json"))]
    readable = [each for path in found if (each := _readable(path, warn)) is not None]
    complete = [each for each in readable if each.has(stage)]
    if not complete:
        noun = "prompts" if stage == "prompts" else "a trained image encoder"
        command = "scing train-prompts --data DIR" if stage == "prompts" or not found else "scing train-visual"
        plain = ", or a model without training with --model" if stage == "visual" else ""
        raise RunError(
            f"No run in ./{RUNS} has {noun}.",
            f"Create one with: {command}, or choose a run with --run FOLDER{plain}.",
        )
    return max(complete, key=_made)


def _made(run: Run) -> str:
    """Return when a run folder was made, as an ISO 8601 time in UTC: the order of the texts is the order of time."""
    branched = run.info.get(BRANCHED)
    return str(branched.get("made") if isinstance(branched, dict) else run.info["made"])


def _readable(folder: Path, warn: Callable[[str], object]) -> Run | None:
    """Return the run of a folder, or warn and return None if it is damaged: other runs can still be used."""
    try:
        return open_run(folder)
    except RunError as error:
        warn(f"{error.what} This run is skipped.")
        return None


def versions() -> dict[str, str]:
    """Return the versions of Python and of all packages that may affect results."""
    names = ("torch", "open_clip_torch", "openvino", "faiss-cpu", "numpy", "pillow")
    return {"scing-cli": __version__, "python": platform.python_version()} | {name: _version(name) for name in names}


def _version(name: str) -> str:
    """Return the version of a distribution; "unknown" if another build, such as faiss-gpu, is installed instead."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def now() -> str:
    """Return the present time as an ISO 8601 text in UTC."""
    return _now().isoformat()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def run_id(folder: Path) -> dict[str, str]:
    """Return the stamp entry that identifies the run of a stage, by its creation time and the stage's settings.

    Args:
        folder: The run's `prompts` or `visual`. For a folder outside a run, such as a dry run's, the entry is empty.

    Raises:
        RunError: If the run.json next to the folder is damaged.
    """
    source = folder.parent / "run.json"
    if folder.name not in STAGES or not source.is_file():
        return {}
    info = read_json(source)
    settings = info.get("settings")
    stage = settings.get(STAGES[folder.name]) if isinstance(settings, dict) else None
    return {MARK: content_digest([info.get("made"), stage])}


def check_provenance(folder: Path, stamp: Mapping[str, Any], *, remedy: str) -> None:
    """Check that a stage belongs to the run that contains it; a stage outside a run is accepted.

    Raises:
        RunError: If the stage or the run.json next to it belongs to another run.
    """
    mark = run_id(folder)
    if mark and stamp.get(MARK) != mark[MARK]:
        raise RunError(
            f"{folder / STAMP} and {folder.parent / 'run.json'} belong to different runs: one of them was replaced.",
            remedy,
        )
