"""A training that was interrupted: which one a command goes on with, and what holds it together while it runs.

`state/STAGE.json` in the run folder is there from a training's start to its end. It says what the training stands on
(`facts`: another start with the same facts is the same training), what was given, and on which machine it began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from scing_cli.core.artifacts import (
    RUNS,
    STAGES,
    check_free,
    fresh_folder,
    let_go,
    read_json,
    take_lock,
    versions,
)
from scing_cli.core.config import Schedule, build_settings
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.runtime import default_threads

Kind = TypeVar("Kind", bound=Schedule)
Found = TypeVar("Found")
LOCK = ".training.lock"
ANEW = "To begin anew instead: --no-resume."


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A training that has begun and not ended.

    Args:
        folder: The run folder.
        stage: `prompts` or `visual`.
        facts: What it stands on, JSON-ready; `settings` is among them.
        given: What the user gave: the settings that are not defaults, and where data and weights lie.
        machine: Where it began: device, precision, threads, versions.
    """

    folder: Path
    stage: str
    facts: Mapping[str, Any]
    given: Mapping[str, Any]
    machine: Mapping[str, Any]

    def settings(self, kind: type[Kind], given: Mapping[str, Any]) -> Kind:
        """Return its settings.

        Args:
            kind: Of which stage.
            given: Settings by option name that were given again.

        Raises:
            SettingError: If one of them differs.
        """
        own = build_settings(kind, self.given["settings"], {})
        wanted = build_settings(kind, self.given["settings"], given)
        if wanted != own:
            other = differences(
                own.model_dump(mode="json", by_alias=True), wanted.model_dump(mode="json", by_alias=True)
            )
            raise SettingError(
                f"--resume: the unfinished {STAGES[self.stage]} in {self.folder} has other settings: {other}.",
                "Leave them out, or begin anew with --no-resume.",
            )
        return own

    def data(self) -> dict[str, Any]:
        """Return where the data was, as the settings `[data]` of a first stage."""
        return {name: self.given[name] for name in ("path", "layout", "include-val") if name in self.given}

    def moved(self, name: str, kind: Callable[[str], Found]) -> Found | None:
        """Return where `data` or `pretrained` was said to have moved."""
        value = self.given.get(name)
        return kind(value) if isinstance(value, str) else None


def state_of(folder: Path) -> Path:
    """Return where a run keeps what an unfinished training needs."""
    return folder / "state"


def read_unfinished(folder: Path, stage: str) -> Unfinished | None:
    """Return a run's unfinished training of a stage; None where there is none.

    Raises:
        RunError: If its file is damaged.
    """
    file = state_file(folder, stage)
    if not file.is_file():
        return None
    remedy = f"Remove {file} to begin anew."
    content = read_json(file, remedy=remedy)
    facts, given, machine = (content.get(name) for name in ("facts", "given", "machine"))
    if not _has_settings(facts) or not _has_settings(given) or not isinstance(machine, dict):
        raise RunError(f"{file} does not describe a training.", remedy)
    return Unfinished(folder, stage, facts, given, machine)


def choose_unfinished(folder: Path | None, stage: str) -> Unfinished:
    """Return the unfinished training of a stage in a run, or in the newest run of `runs/` that has one.

    Raises:
        RunError: If there is none.
    """
    folders = [folder] if folder is not None else _newest_first(stage)
    for one in folders:
        found = read_unfinished(one, stage)
        if found is not None:
            return found
    place = str(folder) if folder is not None else f"./{RUNS}"
    raise RunError(f"--resume: there is no unfinished {STAGES[stage]} in {place}.", "Leave --resume out to begin one.")


def place_of_prompts(run: Path | None, name: str, facts: Mapping[str, Any], *, resume: bool | None) -> Path:
    """Return the folder of a first stage: that of the same training if it is unfinished, else a free one.

    Args:
        run: The folder that was named; None for one in `runs/`.
        name: Of the data.
        facts: What is known before a model is loaded.
        resume: False to begin anew.

    Raises:
        RunError: If the named folder holds anything else.
    """
    if resume is False:
        target = run or fresh_folder(name)
        check_free(target)
        return target
    if run is None:
        same = (one for one in _newest_first("prompts") if _same(one, facts) and not _is_held(one))
        return next(same, None) or fresh_folder(name)
    earlier = read_unfinished(run, "prompts")
    if earlier is None:
        check_free(run)
    else:
        check_same(earlier, facts, "Name another folder with --run, or go on as it began: --resume.")
    return run


def check_same(earlier: Unfinished, facts: Mapping[str, Any], remedy: str) -> None:
    """Check that a start is that of an unfinished training.

    Raises:
        RunError: Naming what differs.
    """
    other = differences(earlier.facts, {**earlier.facts, **facts})
    if other:
        raise RunError(f"{earlier.folder} holds an unfinished {STAGES[earlier.stage]} that differs: {other}.", remedy)


def machine_of(device: str, precision: str) -> dict[str, Any]:
    """Return what a training's numbers may depend on beside its settings."""
    return {"device": device, "precision": precision, "threads": default_threads(), "versions": versions()}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return in words where JSON-ready facts differ.

    >>> differences({"settings": {"lr": 0.1, "seed": 0}}, {"settings": {"lr": 0.2, "seed": 0}})
    'lr is 0.1 there, 0.2 here'
    """
    parts = []
    for name in {**one, **other}:
        there, here = one.get(name), other.get(name)
        if isinstance(there, dict) and isinstance(here, dict):
            parts.append(differences(there, here))
        elif there != here:
            parts.append(f"{name} is {_short(there)} there, {_short(here)} here")
    return "; ".join(filter(None, parts))


def _short(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else text[:12] + "…"


def state_file(folder: Path, stage: str) -> Path:
    """Return the file that is there while a training of a stage is unfinished."""
    return state_of(folder) / f"{STAGES[stage]}.json"


def _has_settings(content: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(content, dict) and isinstance(content.get("settings"), dict)


def _newest_first(stage: str) -> list[Path]:
    """Return the folders of `runs/` with an unfinished training of a stage, the last begun first."""
    files = RUNS.glob(f"*/state/{STAGES[stage]}.json")
    return [file.parent.parent for file in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True)]


def _same(folder: Path, facts: Mapping[str, Any]) -> bool:
    try:
        earlier = read_unfinished(folder, "prompts")
    except RunError:  # a damaged one must not stand in the way
        return False
    return earlier is not None and not differences(earlier.facts, {**earlier.facts, **facts})


def _is_held(folder: Path) -> bool:
    """Tell whether a process is training there."""
    try:
        handle = take_lock(folder / LOCK)
    except OSError:
        return True
    if handle is not None:
        let_go(folder / LOCK, handle)
    return handle is None
