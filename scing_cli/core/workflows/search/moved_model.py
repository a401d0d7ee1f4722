"""Opens the model of an index at the place that `scing search --model` names, if it was moved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.encoders.graph_names import is_graph_file
from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.index import GalleryLocation, Stamp
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.model import FILES, OpenedModel, files_of_model, reopen_model


def open_moved(stamp: Stamp, place: Path, *, source: GalleryLocation, reporter: Reporter) -> OpenedModel:
    """Open the model that made an index at another place, and check its digest.

    Args:
        stamp: The index's.
        place: The file of an encoder as ONNX or OpenVINO IR; of a plain CLIP, its folder, weights file or JSON file.
        source: The index.
        reporter: Receives notes and warnings.

    Raises:
        SettingError: If the place does not exist, or the index was made by something else.
        IndexFileError: If there is another model at the place, or it cannot be used.
    """
    where = stamp.model
    _check_kind(where, place, source)
    if not place.exists():
        former = spelled(where[files_of_model(where)[-1]])
        raise SettingError(
            f"--model {spelled(place)} does not exist.",
            f"Name the model that made {source} where it is now; it was at {former}.",
        )
    moved = {key: value for key, value in where.items() if key not in FILES.values()}
    if is_graph_file(place.name):
        return reopen_model(
            {**moved, "model": str(place.absolute())}, stamp.model_digest, source=source, reporter=reporter
        )
    opened = reopen_model({**moved, **_places(where, place)}, stamp.model_digest, source=source, reporter=reporter)
    opened.load()  # an OpenVINO model in the cache would do without the files that were named
    return opened


def _check_kind(where: Mapping[str, Any], place: Path, source: GalleryLocation) -> None:
    """Raise if an index was made by another kind of model than the place can have."""
    made_by = str(where.get("run") or where.get("model"))
    by_graph = "run" not in where and is_graph_file(made_by)
    if "run" not in where and files_of_model(where) and by_graph == is_graph_file(place.name):
        return
    remedy = "Leave --model out."
    if "run" in where:
        remedy += " If the run was moved, give its folder: --run DIR."
    elif files_of_model(where):
        remedy += f" If {spelled(made_by)} was moved, name its new place."
    raise SettingError(
        f"--model {spelled(place)}: {source} was not made by the model that you name, but by {spelled(made_by)}.",
        remedy,
    )


def _places(where: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Return the JSON file and the weights of a plain CLIP that was moved to a place."""
    folder, files = place if place.is_dir() else place.parent, files_of_model(where)
    beside = {key: (folder / Path(where[key]).name).absolute() for key in files}
    if place.is_dir():
        found = {key: file.as_posix() for key, file in beside.items() if file.is_file()}
        if found:
            return found
        named = place.absolute().as_posix()  # its files have other names now
        return {"model": named, "pretrained": None} if "model" in files else {"pretrained": named}
    found = {key: file.as_posix() for key, file in beside.items() if file.is_file() and not Path(where[key]).is_file()}
    return {**found, "model" if place.suffix == ".json" else "pretrained": place.absolute().as_posix()}
