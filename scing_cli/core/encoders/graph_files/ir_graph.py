"""Reads the inputs and metadata of an OpenVINO IR, and refuses what could load or run anything else.

The form is described at https://docs.openvino.ai, "OpenVINO IR format". The weights are in a `.bin` next to the `.xml`.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from collections.abc import Mapping
from pathlib import Path

from scing_cli.core.encoders.graph_files.graph_facts import KEY, GraphFacts, GraphInput, refusal
from scing_cli.core.errors import spelled

LARGEST = 2**26  # bytes of the .xml; its size grows with the layers, not with the weights
STANDARD = re.compile(r"opset\d{1,2}")
STATEFUL = ("Loop", "TensorIterator", "ReadValue", "Assign")  # may run for ever, or depend on former images
_EXPORT = "Convert the encoder again with standard operations: openvino.convert_model, openvino.save_model."
_DAMAGED = "Copy the file again, or convert the encoder again: openvino.convert_model, openvino.save_model."


def read_ir(content: bytes, weights_size: int, source: Path) -> GraphFacts:
    """Check an IR, and return its facts.

    Args:
        content: The whole `.xml`.
        weights_size: Size of its `.bin`, in bytes.
        source: The `.xml`, for messages.

    Raises:
        WeightsError: If it is not an IR, or has operations that are not standard, loops, states, entities, or weights
            outside its `.bin`.
    """
    if len(content) > LARGEST:
        raise refusal(source, f"it has more than {LARGEST:,} bytes", _DAMAGED)
    reader = _Reader(source, weights_size)
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(content, True)
    except (xml.parsers.expat.ExpatError, ValueError, LookupError) as error:
        raise refusal(source, f"it is not an OpenVINO IR, or it is damaged ({error})", _DAMAGED) from error
    if not reader.is_net or not reader.layers:
        raise refusal(source, "it is not an OpenVINO IR: it has no layers", _DAMAGED)
    return GraphFacts(tuple(reader.inputs), reader.statement)


class _Reader:
    """Receives the elements of an `.xml`.

    Args:
        source: The file, for messages.
        weights_size: Size of its `.bin`.
    """

    def __init__(self, source: Path, weights_size: int) -> None:
        self.source = source
        self.weights_size = weights_size
        self.place: list[str] = []
        self.is_net = False
        self.layers = 0
        self.inputs: list[GraphInput] = []
        self.statement: str | None = None
        self._kind: list[tuple[str, str]] = []  # type and name of the layers around the place

    def doctype(self, *_: object) -> None:
        raise refusal(self.source, "it declares a document type, which an IR does not have", _EXPORT)

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        self.place.append(tag)
        if len(self.place) == 1:
            self.is_net = tag == "net"
        if tag == "layer":
            self.layer(values)
        elif tag == "data" and self._kind:
            self.data(*self._kind[-1], values)
        elif self.place == ["net", "rt_info", KEY] or (
            self.place == ["net", "rt_info", "framework", KEY] and self.statement is None  # converted from ONNX
        ):
            self.statement = values.get("value")

    def end(self, tag: str) -> None:
        self.place.pop()
        if tag == "layer":
            self._kind.pop()

    def layer(self, values: Mapping[str, str]) -> None:
        self.layers += 1
        kind, version = values.get("type", ""), values.get("version", "")
        if not STANDARD.fullmatch(version):
            raise refusal(
                self.source, f"its operation {spelled(kind)} is not of a standard set ({spelled(version)})", _EXPORT
            )
        if kind in STATEFUL:
            raise refusal(self.source, f"it has the operation {kind}: it may run without end, or keep a state", _EXPORT)
        self._kind.append((kind, values.get("name", "")))

    def data(self, kind: str, name: str, values: Mapping[str, str]) -> None:
        """Read the attributes of a layer."""
        if kind == "Const":
            start, size = (int(values.get(key, "0")) for key in ("offset", "size"))
            if min(start, size) < 0 or start + size > self.weights_size:
                reason = f"the weights {spelled(name)} are not in its .bin, which is cut short or of another model"
                raise refusal(self.source, reason, "Copy the .bin again.")
        elif kind == "Parameter" and self.place == ["net", "layers", "layer", "data"]:
            self.inputs.append(GraphInput(name, values.get("element_type", "unknown"), _shape(values.get("shape"))))


def _shape(text: str | None) -> tuple[int | None, ...] | None:
    """Return the sides of `1,3,256,128`; None for `?`, `-1` and ranges such as `1..8`; None for `...`."""
    if text is None or "..." in text:
        return None
    return tuple(int(side) if side.strip().isdecimal() else None for side in text.split(",")) if text else ()
