"""The run folder of a stage 1: its entries about the data, and whether it is new or unfinished."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import Run, create_run, open_run, update_run
from scing_cli.core.datasets import DataSet
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.sample import OBJECTS
from scing_cli.core.workflows.train.visual_choice import PLANNED


def given_as(paths: Sequence[Path]) -> dict[str, Any]:
    """Return the entries of run.json that say which data sets were named."""
    given = [str(path) for path in paths]
    return {"given": shlex.join(given), "sources": given} if len(given) > 1 else {"given": given[0]}


def objects_entry(source: DataSet) -> dict[str, str]:
    """Return the entry of run.json that says what the identities are; none for persons.

    Prompts follow the rows alone (`Manifest.objects`): those of VeRi-776, which has no such column, stay as they were.
    """
    objects = source.manifest.objects()
    objects = LAYOUTS[source.layout].objects if objects == OBJECTS[0] else objects
    return {} if objects == OBJECTS[0] else {"objects": objects}


def open_or_create(target: Path, info: Mapping[str, Any]) -> Run:
    """Create the run, or open an unfinished one; the data may have moved since then."""
    if not (target / "run.json").exists():
        return create_run(target, info)
    opened = open_run(target)
    changes = (
        {PLANNED: info[PLANNED]} if info.get(PLANNED, opened.info.get(PLANNED)) != opened.info.get(PLANNED) else {}
    )
    if opened.info["data"].get("root") != info["data"]["root"]:
        changes["data"] = info["data"]
    return update_run(opened, changes) if changes else opened
