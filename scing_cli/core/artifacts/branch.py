"""A second run from the stage 1 of another: the same prompts, an image encoder of its own."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts.json_files import write_json
from scing_cli.core.artifacts.run import BRANCHED, Run, check_free, now, open_run
from scing_cli.core.errors import RunError, spelled

SHARED = ("manifest.csv", "metrics.jsonl", "left-out.train-prompts.csv")


def branch_run(run: Run, name: str) -> Run:
    """Create a run next to another one, with a copy of its stage 1; open it if it is there already.

    Args:
        run: A run with prompts.
        name: The name of the new folder, in the folder of `run`.

    Raises:
        RunError: If the name is not valid, or the folder has other files.
    """
    if name in {"", ".", ".."} or set(name) & {"/", os.sep, "\0"}:
        raise RunError(f"--as {spelled(name)}: give the name of a folder.", f"It is created in {run.path.parent}.")
    target = run.path.parent / name
    if target.exists() and target.samefile(run.path):
        raise RunError(f"--as {spelled(name)} is the run itself.", "Give another name, or leave --as out.")
    if (target / "run.json").is_file():
        opened = open_run(target)
        if (opened.info.get("made"), opened.info["identities"]) != (run.info["made"], run.info["identities"]):
            raise RunError(f"{target} is a run with another stage 1 than {run.path}.", "Give another name with --as.")
        return opened
    check_free(target)
    info = {key: value for key, value in run.info.items() if key != "self_digest"}
    settings = {stage: values for stage, values in run.info["settings"].items() if stage != "train-visual"}
    return _write(run, target, {**info, "settings": settings, BRANCHED: {"from": run.path.name, "made": now()}})


def _write(run: Run, target: Path, info: dict[str, Any]) -> Run:
    """Write the new run next to its place, and rename it."""
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.part"
    try:
        shutil.copytree(run.stage("prompts"), temporary / run.stage("prompts").name)
        for file in SHARED:
            if (run.path / file).is_file():
                shutil.copy2(run.path / file, temporary / file)
        write_json(temporary / "run.json", info)
        if target.is_dir():  # it has no files but hidden ones: those of a process that was killed
            shutil.rmtree(target)
        temporary.rename(target)
    except OSError as error:
        raise RunError(f"Cannot write {target}: {error.strerror}.", "Choose another name: --as.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_run(target)
