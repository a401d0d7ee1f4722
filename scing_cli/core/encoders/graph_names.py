"""Names of encoders as graph files: ONNX or OpenVINO IR."""

from __future__ import annotations

from scing_cli.core.errors import WeightsError, spelled

GRAPH_SUFFIXES = (".onnx", ".xml")


def is_graph_file(name: str) -> bool:
    """Return whether `--model` names an encoder as ONNX or OpenVINO IR."""
    return name.lower().endswith(GRAPH_SUFFIXES)


def refuse_graph_file(name: str) -> None:
    """Refuse an encoder as ONNX or OpenVINO IR where a CLIP is needed.

    Raises:
        WeightsError: If the name is that of such a file.
    """
    if is_graph_file(name):
        raise WeightsError(
            f"{spelled(name)} is an encoder as ONNX or OpenVINO IR: a finished graph, which cannot be trained and has "
            "no text encoder.",
            "Use it with embed, evaluate and search: --model FILE, without --pretrained. Train from a CLIP.",
        )
