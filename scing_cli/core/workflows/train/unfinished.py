"""Find the unfinished training that a command should resume.

`state/STAGE.json` is in the run folder from the start to the end of a training. It stores the `facts` (settings, data,
model: a start with the same facts resumes the training), the given arguments, and the machine of the start.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from scing_cli.core.artifacts import (
    RUNS,
    STAGES,
    Run,
    check_content,
    check_free,
    fresh_folders,
    open_run,
    read_json,
    text_digest,
    versions,
)
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.manifest import Manifest
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.settings import METHODS, Schedule, build_settings, saved_settings, with_effect
from scing_cli.core.threads import default_threads
from scing_cli.core.workflows.train.run_lock import RunLockedError, is_locked, lock_run

Kind = TypeVar("Kind", bound=Schedule)
Found = TypeVar("Found")
START_OVER = "To start over instead: --no-resume."


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A training that has started and not ended.

    Args:
        folder: The run folder.
        stage: `prompts` or `visual`.
        facts: Settings, data and model, JSON-ready.
        given: Arguments of the user: the settings that were given, and the paths of data and weights.
        machine: Device, precision, threads and versions at the start, and a digest of the images' sizes and times.
    """

    folder: Path
    stage: str
    facts: Mapping[str, Any]
    given: Mapping[str, Any]
    machine: Mapping[str, Any]

    def settings(self, kind: type[Kind], given: Mapping[str, Any]) -> Kind:
        """Return the settings of the training.

        Args:
            kind: The settings class of its stage.
            given: Settings that the resuming command gives, by option name.

        Raises:
            SettingError: If one of them differs.
            RunError: If those of the start are damaged.
        """
        fixed = {} if self.stage == "prompts" else {"method": open_run(self.folder).prompt_settings()["method"]}
        try:
            begun = self._begun(kind, fixed)
            settings = build_settings(kind, begun, fixed)
        except SettingError as error:
            what = f"{state_file(self.folder, self.stage)} has settings that cannot be used: {error.what}"
            raise RunError(what, START_OVER) from error
        changed = build_settings(kind, begun, {**given, **fixed})
        if changed != settings:
            other = differences(saved_settings(settings), saved_settings(changed))
            raise SettingError(
                f"--resume: the unfinished {STAGES[self.stage]} in {self.folder} has other settings: {other}.",
                "Leave them out, or start over with --no-resume.",
            )
        return settings

    def _begun(self, kind: type[Kind], fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that were given at the start, and the defaults of that time that have changed since."""
        given = self.given["settings"]
        now = saved_settings(build_settings(kind, given, fixed))
        then = with_effect(f"train-{self.stage}", {**now, **fixed}["method"], self.facts["settings"])
        told = {"method", *(name.replace("_", "-") for name in given)}
        others = {name: then[name] for name in now.keys() & then.keys() - told if then[name] != now[name]}
        return {**given, **others}

    def data(self) -> dict[str, Any]:
        """Return the settings `[data]` of stage 1."""
        return {name: self.given[name] for name in ("path", "layout", "include-val") if name in self.given}

    def device(self, given: str) -> str:
        """Return the given device; for `auto`, the device option of the start."""
        return given if given != "auto" else str(self.given.get("device", given))

    def moved(self, name: str, kind: Callable[[str], Found]) -> Found | None:
        """Return the value of `--data` or `--pretrained` at the start of stage 2, if given."""
        value = self.given.get(name)
        return kind(value) if isinstance(value, str) else None


def state_folder(folder: Path) -> Path:
    """Return the folder with the state of a run's unfinished training."""
    return folder / "state"


def read_unfinished(folder: Path, stage: str) -> Unfinished | None:
    """Return a run's unfinished training of a stage; None if there is none.

    Raises:
        RunError: If its file is damaged.
    """
    file = state_file(folder, stage)
    if not file.is_file():
        return None
    content = read_json(file, remedy=START_OVER)
    check_content("unfinished training", content, file, remedy=START_OVER)
    return Unfinished(folder, stage, content["facts"], content["given"], content["machine"])


def choose_unfinished(
    folder: Path | None, stage: str, *, source: Path | None = None, warn: Callable[[str], object] = str
) -> Unfinished:
    """Return the unfinished training of a stage in a run, or the newest one in `runs/`.

    Args:
        folder: The run; None to search `runs/` for a training that is neither damaged nor running.
        stage: `prompts` or `visual`.
        source: The run whose stage 1 the training uses, if it is another one.
        warn: Called with a message about each damaged one.

    Raises:
        RunError: If there is no such training, or the run's method has no such stage.
    """
    if folder is not None:
        found = read_unfinished(folder, stage)
    else:
        candidates = all_unfinished(stage, warn)
        found = next((training for training in candidates if not is_locked(training.folder)), None)
    if found is None:
        for path in (folder, source) if stage == "visual" else ():
            if path is not None and (path / "run.json").is_file():
                check_stage2(open_run(path))
        where = str(folder) if folder is not None else f"./{RUNS}"
        what = f"--resume: there is no unfinished {STAGES[stage]} in {where}."
        raise RunError(what, "Leave --resume out to start one.")
    return found


def check_stage2(run: Run) -> None:
    """Check that the method of a run has a stage 2.

    Raises:
        RunError: If it has none.
    """
    method = run.prompt_settings()["method"]
    if method in METHODS and not METHODS[method].has_stage2:
        raise RunError(
            f"{run.path} is of --method {method}, which has one stage, and train-prompts has trained it.",
            f"Use it as it is: scing embed --run {shlex.quote(str(run.path))}. Or name a run of another method: --run",
        )


def find_same(stage: str, facts: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folders in `runs/` with an unfinished training of the same facts, newest first."""
    return (training.folder for training in all_unfinished(stage) if not _other_facts(training, facts))


@contextlib.contextmanager
def lock_prompts_run(run: Path | None, name: str, facts: Mapping[str, Any], *, resume: bool | None) -> Iterator[Path]:
    """Lock the run folder of stage 1: the one of the same training if it is unfinished, else a new one.

    Args:
        run: The named folder; None to choose one in `runs/`.
        name: Name of the data set.
        facts: The facts that are known before the model is loaded.
        resume: False to start over.

    Raises:
        RunLockedError: If another process is training in the named folder.
        RunError: If the named folder has other files.
    """
    if run is not None:
        with lock_run(run):
            _check_folder(run, facts, resume=resume)
            yield run
        return
    same = find_same("prompts", facts) if resume is not False else ()
    new = ((folder, True) for folder in fresh_folders(name))
    candidates = itertools.chain(((folder, False) for folder in same), new)
    with contextlib.ExitStack() as locks:
        yield next(folder for folder, is_new in candidates if _lock(folder, facts, locks, new=is_new, resume=resume))


def _lock(
    folder: Path, facts: Mapping[str, Any], locks: contextlib.ExitStack, *, new: bool, resume: bool | None
) -> bool:
    """Lock a folder, and add the lock to `locks`; return False if another process has changed or locked it."""
    with contextlib.ExitStack() as attempt:
        try:
            attempt.enter_context(lock_run(folder))
            _check_folder(folder, facts, resume=resume)
        except RunLockedError:
            return False
        except RunError:
            if new:
                raise
            return False
        locks.push(attempt.pop_all())
    return True


def _check_folder(folder: Path, facts: Mapping[str, Any], *, resume: bool | None) -> None:
    unfinished = state_file(folder, "prompts").exists() and not Run(folder, {}).has("prompts")
    if resume is False and unfinished:
        return
    earlier = read_unfinished(folder, "prompts") if resume is not False else None
    if earlier is None:
        check_free(folder)
    else:
        check_same(earlier, facts, resume=resume)


def check_same(earlier: Unfinished, facts: Mapping[str, Any], *, resume: bool | None) -> None:
    """Check that facts are those of an unfinished training.

    Raises:
        RunError: If they are not; the message names the differences.
    """
    if other := _other_facts(earlier, facts):
        what = f"{earlier.folder} has an unfinished {STAGES[earlier.stage]} that differs: {other}."
        way = (
            "Restore what differs" if resume else "Resume it as it started (--resume), or choose another folder (--run)"
        )
        raise RunError(what, f"{way}. {START_OVER}")


def machine_of(device: str, precision: str, part: Manifest, group: ProcessGroup = ALONE) -> dict[str, Any]:
    """Return what the result of a training may depend on in addition to its facts."""
    # sizes and times instead of contents: reading all images would take too long
    files = [part.root / path for row in part for path in dict.fromkeys(path for path, _ in row.images.values())]
    states = [file.stat() for file in files if file.exists()]
    images = text_digest("\n".join(f"{state.st_size} {state.st_mtime_ns}" for state in states))
    machine = {"device": device, "precision": precision, "threads": default_threads(), "versions": versions()}
    processes = {"processes": group.size, **({"gradients": "bf16"} if group.compress else {})}
    return {**machine, "images": images, **(processes if group.size > 1 else {})}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the differences of JSON-ready facts in words.

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
    """Return the file that exists while the training of a stage is unfinished."""
    return state_folder(folder) / f"{STAGES[stage]}.json"


def all_unfinished(stage: str, warn: Callable[[str], object] = str) -> Iterator[Unfinished]:
    """Yield the unfinished trainings of a stage in `runs/`, newest first, without damaged ones."""
    files = []
    for file in RUNS.glob(f"*/state/{STAGES[stage]}.json"):
        with contextlib.suppress(OSError):  # the training may end at this moment
            files.append((file.stat().st_mtime_ns, file.parent.parent))
    for _, folder in sorted(files, reverse=True):
        try:
            found = read_unfinished(folder, stage)
        except RunError as error:
            warn(f"{error.what} It is skipped.")
        else:
            if found is not None:
                yield found


def _other_facts(earlier: Unfinished, facts: Mapping[str, Any]) -> str:
    """Return the differences of those facts that are given."""
    return differences(earlier.facts, {**earlier.facts, **facts})
