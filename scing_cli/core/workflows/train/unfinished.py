"""A training that was interrupted, and which one a command goes on with.

`state/STAGE.json` in the run folder is there from a training's start to its end. It says what the training stands on
(`facts`: another start with the same facts is the same training), what was given, and on which machine it began.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from scing_cli.core.artifacts import (
    RUNS,
    STAGES,
    Run,
    check_free,
    fresh_folders,
    read_json,
    text_digest,
    versions,
)
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import default_threads
from scing_cli.core.settings import Schedule, build_settings
from scing_cli.core.workflows.train.run_lock import RunLockedError, is_locked, lock_run

Kind = TypeVar("Kind", bound=Schedule)
Found = TypeVar("Found")
ANEW = "To begin anew instead: --no-resume."


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A training that has begun and not ended.

    Args:
        folder: The run folder.
        stage: `prompts` or `visual`.
        facts: What it stands on, JSON-ready; `settings` is among them.
        given: What the user gave: the settings that are not defaults, and where data and weights lie.
        machine: Where it began: device, precision, threads, versions, and when the images were written.
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

    def device(self, given: str) -> str:
        """Return where it computed, unless the user says otherwise now."""
        return given if given != "auto" else str(self.given.get("device", given))

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
    content = read_json(file, remedy=ANEW)
    facts, given, machine = (content.get(name) for name in ("facts", "given", "machine"))
    if not _has_settings(facts) or not _has_settings(given) or not isinstance(machine, dict):
        raise RunError(f"{file} does not describe a training.", ANEW)
    return Unfinished(folder, stage, facts, given, machine)


def choose_unfinished(folder: Path | None, stage: str, *, warn: Callable[[str], object] = str) -> Unfinished:
    """Return the unfinished training of a stage in a run, or in the newest run of `runs/` that has one.

    Args:
        folder: The run; None for one that is not being trained, and not damaged.
        stage: `prompts` or `visual`.
        warn: Told of damaged ones.

    Raises:
        RunError: If there is none.
    """
    if folder is not None:
        found = read_unfinished(folder, stage)
    else:
        found = next((one for one in _all_unfinished(stage, warn) if not is_locked(one.folder)), None)
    if found is None:
        place = str(folder) if folder is not None else f"./{RUNS}"
        what = f"--resume: there is no unfinished {STAGES[stage]} in {place}."
        raise RunError(what, "Leave --resume out to begin one.")
    return found


def find_same(stage: str, facts: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folders in `runs/` with an unfinished training of these facts, the last begun first."""
    return (one.folder for one in _all_unfinished(stage) if not _other_facts(one, facts))


@contextlib.contextmanager
def lock_prompts_run(run: Path | None, name: str, facts: Mapping[str, Any], *, resume: bool | None) -> Iterator[Path]:
    """Hold the folder of a first stage: that of the same training if it is unfinished, else a free one.

    Args:
        run: The folder that was named; None for one in `runs/`.
        name: Of the data.
        facts: What is known before a model is loaded.
        resume: False to begin anew.

    Raises:
        RunLockedError: If another process is training in the named folder.
        RunError: If it holds anything else.
    """
    if run is not None:
        with lock_run(run):
            _check_place(run, facts, resume=resume)
            yield run
        return
    same = find_same("prompts", facts) if resume is not False else ()
    fresh = ((folder, True) for folder in fresh_folders(name))
    candidates = itertools.chain(((folder, False) for folder in same), fresh)
    with contextlib.ExitStack() as held:
        yield next(folder for folder, new in candidates if _taken(folder, facts, held, fresh=new, resume=resume))


def _taken(
    folder: Path, facts: Mapping[str, Any], held: contextlib.ExitStack, *, fresh: bool, resume: bool | None
) -> bool:
    """Hold a folder if it still is what it was found to be."""
    with contextlib.ExitStack() as attempt:
        try:
            attempt.enter_context(lock_run(folder))
            _check_place(folder, facts, resume=resume)
        except RunLockedError:
            return False
        except RunError:
            if fresh:
                raise
            return False
        held.push(attempt.pop_all())
    return True


def _check_place(folder: Path, facts: Mapping[str, Any], *, resume: bool | None) -> None:
    begun = state_file(folder, "prompts").exists() and not Run(folder, {}).has("prompts")
    if resume is False and begun:
        return
    earlier = read_unfinished(folder, "prompts") if resume is not False else None
    if earlier is None:
        check_free(folder)
    else:
        check_same(earlier, facts, resume=resume)


def check_same(earlier: Unfinished, facts: Mapping[str, Any], *, resume: bool | None) -> None:
    """Check that a start is that of an unfinished training.

    Raises:
        RunError: Naming what differs.
    """
    if other := _other_facts(earlier, facts):
        what = f"{earlier.folder} holds an unfinished {STAGES[earlier.stage]} that differs: {other}."
        way = "Bring back what differs" if resume else "Go on as it began (--resume), or name another folder (--run)"
        raise RunError(what, f"{way}. {ANEW}")


def machine_of(device: str, precision: str, part: Manifest) -> dict[str, Any]:
    """Return what a training's numbers may depend on beside its settings; of the images, when they were written."""
    states = [file.stat() for file in part.files() if file.exists()]
    images = text_digest("\n".join(f"{state.st_size} {state.st_mtime_ns}" for state in states))
    threads = default_threads()
    return {"device": device, "precision": precision, "threads": threads, "versions": versions(), "images": images}


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


def _all_unfinished(stage: str, warn: Callable[[str], object] = str) -> Iterator[Unfinished]:
    """Yield the unfinished trainings of a stage in `runs/`, the last begun first; damaged ones are passed over."""
    begun = []
    for file in RUNS.glob(f"*/state/{STAGES[stage]}.json"):
        with contextlib.suppress(OSError):  # it may end meanwhile
            begun.append((file.stat().st_mtime_ns, file.parent.parent))
    for _, folder in sorted(begun, reverse=True):
        try:
            found = read_unfinished(folder, stage)
        except RunError as error:
            warn(f"{error.what} It is passed over.")
        else:
            if found is not None:
                yield found


def _other_facts(earlier: Unfinished, facts: Mapping[str, Any]) -> str:
    """Return in words where facts differ, as far as they are known."""
    return differences(earlier.facts, {**earlier.facts, **facts})
