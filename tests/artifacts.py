"""Helpers that change files with a checksum and write a valid checksum again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import Run, read_json, run_id, with_checksum, write_json

Change = Callable[[dict[str, Any]], object]


def edit_json(file: Path, change: Change) -> dict[str, Any]:
    """Change what a with_checksum JSON file holds; return it.

    >>> edit_json(run / "run.json", lambda info: info.pop("versions"))  # doctest: +SKIP
    """
    content = read_json(file)
    change(content)
    write_json(file, content)
    return content


def run_info(identities: Sequence[str]) -> dict[str, Any]:
    """Return what run.json has to say of a run at least."""
    sizes = {"height": 32, "width": 16, "patch": 8, "stride": 8}
    geometry = {**sizes, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    return {
        "data": {"root": "/data", "name": "d", "fingerprint": "f"},
        "identities": list(identities),
        "model": {"model": "m", "pretrained": "random", "digest": "d", "geometry": geometry},
        "settings": {},
    }


def write_sealed(file: Path, content: Mapping[str, Any]) -> None:
    """Write an object with its seal, even one that is no strict JSON (NaN)."""
    file.write_text(json.dumps(with_checksum(content)), encoding="utf-8")


def edit_run(folder: Path, change: Change) -> dict[str, Any]:
    """Change a run's run.json, as if it had been made so: its stages still belong to it."""
    content = edit_json(folder / "run.json", change)
    for stage in (Run(folder, {}).stage("prompts"), Run(folder, {}).stage("visual")):
        if (stage / "stamp.json").exists():
            edit_json(stage / "stamp.json", lambda stamp, stage=stage: stamp.update(run_id(stage)))
    return content
