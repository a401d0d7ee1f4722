"""The provenance of a stage: its stamp names the run, and is compared with the run.json next to the stage's folder.

A copied run keeps its identity, wherever it is. A stage that was trained again with other settings belongs to another
run.
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
