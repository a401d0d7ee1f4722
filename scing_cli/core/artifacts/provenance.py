"""Which run a stage belongs to: what its stamp says, held against the run.json beside its folder.

A copy of a run stays that run, wherever it lies; trained again with other settings, its stage is another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts.checksum import content_digest
from scing_cli.core.artifacts.files import read_json
from scing_cli.core.artifacts.run import STAGES, STAMP
from scing_cli.core.errors import RunError

MARK = "run"


def run_id(folder: Path) -> dict[str, str]:
    """Return the entry of a stage's stamp that names its run: by the time it was made and the stage's settings.

    Args:
        folder: The run's `prompts` or `visual`; of a folder that lies in no run, such as a dry run's, no entry.

    Raises:
        RunError: If the run.json beside it is damaged.
    """
    source = folder.parent / "run.json"
    if folder.name not in STAGES or not source.is_file():
        return {}
    info = read_json(source)
    return {MARK: content_digest([info.get("made"), info.get("settings", {}).get(STAGES[folder.name])])}


def check_provenance(folder: Path, stamp: Mapping[str, Any], *, remedy: str) -> None:
    """Check that a stage is of the run that it lies in; one that lies in none may be read alone.

    Raises:
        RunError: If it is another run's, or the run.json beside it is.
    """
    mark = run_id(folder)
    if mark and stamp.get(MARK) != mark[MARK]:
        raise RunError(
            f"{folder / STAMP} and {folder.parent / 'run.json'} are not of one run: one of them was replaced.", remedy
        )
