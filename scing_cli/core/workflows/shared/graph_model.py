"""Opens an encoder that is a graph file (ONNX or OpenVINO IR) as a command's model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.core.devices import cpu_has_bf16
from scing_cli.core.embeddings.graph_embedder import GraphEmbedder
from scing_cli.core.encoders.graph_files.graph_encoder import GraphFile, load_graph_encoder, open_graph_file
from scing_cli.core.errors import INDEX_AGAIN, IndexFileError, ScingError, SettingError, spelled
from scing_cli.core.index import GalleryLocation
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import RELATIVE_FILE, ModelChoice, OpenedModel

if TYPE_CHECKING:
    from scing_cli.core.encoders.spectral import AnyImageEncoder

REMEDY = (
    f"Give the file that made it, where it is now: scing search --model FILE. Or embed the gallery again: {INDEX_AGAIN}"
)


def open_graph_model(choice: ModelChoice, reporter: Reporter) -> OpenedModel:
    """Open the file that the user chose; the reporter says what is assumed about its pixels.

    Raises:
        SettingError: If an option is unknown.
        WeightsError: If the file cannot be used.
    """
    options = {"statistics": choice.statistics, "interpolation": choice.interpolation}
    file = open_graph_file(Path(choice.model or ""), **options)
    reporter.note(file.described())
    return _opened(file, options)


def reopen_graph_model(where: Mapping[str, Any], digest: str, source: GalleryLocation) -> OpenedModel:
    """Open the file that made an index: where it lies seen from the index, else where it lay.

    Args:
        where: The index's `Stamp.model`.
        digest: Its model's digest.
        source: The index.

    Raises:
        IndexFileError: If no such file can be used, or it has changed.
    """
    options = {key: str(where.get(key) or "auto") for key in ("statistics", "interpolation")}
    paths = [Path(where["model"])]
    if isinstance(relative := where.get(RELATIVE_FILE), str):
        paths.insert(0, Path(os.path.normpath(source.local.parent.resolve() / relative)))
    faults = []
    for path in dict.fromkeys(paths):
        try:
            file = open_graph_file(path, **options)
        except ScingError as error:
            faults.append(error.what)
            continue
        if file.digest == digest:
            return _opened(file, options)
        faults.append(
            f"{spelled(path)} is another model (visual {file.digest[:8]}…, not {digest[:8]}…): the file, or the .json "
            "next to it, has changed."
        )
    raise IndexFileError(f"{source} was not made by the model that was found: {' '.join(faults)}", REMEDY)


def _opened(file: GraphFile, options: Mapping[str, str]) -> OpenedModel:
    where = {"model": str(file.path), **options}

    def no_tower() -> AnyImageEncoder:
        raise SettingError(
            f"{file.path} is a finished graph: saliency maps and everything else that needs a CLIP's tower cannot be "
            "computed.",
            "Use a run or a plain CLIP.",
        )

    def engine(machine: Machine) -> GraphEmbedder:
        encoder = load_graph_encoder(file, precision=_precision(machine))
        return GraphEmbedder(encoder, batch_size=machine.batch_size, workers=machine.threads())

    return OpenedModel(file.digest, where, None, (), (), no_tower, engine)


def _precision(machine: Machine) -> str:
    """Return the precision of a graph: float32 unless the user chose bf16.

    Raises:
        SettingError: If the user chose a GPU, or bf16 on a processor without it.
    """
    if machine.device not in {"auto", "cpu"}:
        raise SettingError(
            f"--device {machine.device}: an encoder as ONNX or OpenVINO IR runs on the CPU.", "Leave --device out."
        )
    if machine.precision == "bf16" and not cpu_has_bf16():
        raise SettingError("--precision bf16: this processor does not have it.", "Leave --precision out.")
    return "bf16" if machine.precision == "bf16" else "fp32"
