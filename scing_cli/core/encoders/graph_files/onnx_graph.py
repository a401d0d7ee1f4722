"""Reads an ONNX file's inputs and metadata, and refuses what could load or run anything else.

The field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). A field that occurs
more than once is checked each time, because parsers join or replace such fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.encoders.graph_files.graph_facts import KEY, GraphFacts, GraphInput, refusal
from scing_cli.core.encoders.graph_files.protobuf import FieldReader, as_bytes, as_number, as_text
from scing_cli.core.errors import WeightsError, spelled

DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
LOOPS = ("Loop", "Scan", "SequenceMap")  # may run for ever
DEEPEST = 8  # graphs inside graphs
_MODEL_GRAPH, _MODEL_METADATA, _MODEL_TRAINING, _MODEL_FUNCTIONS, _MODEL_OPSETS = 7, 14, 20, 25, 8
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 8, 13, 14
_ELEMENTS = {1: "f32", 2: "u8", 3: "i8", 6: "i32", 7: "i64", 8: "string", 9: "bool", 10: "f16", 11: "f64", 16: "bf16"}
_EXPORT = "Export the encoder again with standard operators (torch.onnx.export writes them)."
_DAMAGED = "Copy the file again, or export the encoder again: torch.onnx.export(model, image, FILE)."
_ONE_FILE = "Save the model as one file: onnx.save(onnx.load(FILE), NEW_FILE)."


def read_onnx(content: bytes, source: Path) -> GraphFacts:
    """Check an ONNX file, and return its facts.

    Args:
        content: The whole file.
        source: The file, for messages.

    Raises:
        WeightsError: If it is not an ONNX file, or has external data, operators that are not standard, loops or
            training instructions.
    """
    try:
        return _Checker(source).model(memoryview(content))
    except ValueError as error:
        raise refusal(source, f"it is not an ONNX file, or it is damaged ({error})", _DAMAGED) from error


@dataclasses.dataclass
class _Checker:
    """Walks through a model.

    Args:
        source: The file, for messages.
        reader: Reads all its messages.
    """

    source: Path
    reader: FieldReader = dataclasses.field(default_factory=FieldReader)

    def model(self, message: memoryview) -> GraphFacts:
        inputs: list[GraphInput] = []
        outputs, opsets, statement = 0, 0, None
        for number, value in self.reader.fields(message):
            if number == _MODEL_GRAPH:
                found, count = self.graph(as_bytes(value))
                inputs += found
                outputs += count
            elif number == _MODEL_OPSETS:
                opsets += 1
            elif number == _MODEL_METADATA:
                entry = dict(self.reader.fields(as_bytes(value)))
                if 1 in entry and 2 in entry and as_text(entry[1]) == KEY:
                    statement = as_text(entry[2])
            elif number == _MODEL_FUNCTIONS:
                raise refusal(self.source, "it defines functions of its own", _EXPORT)
            elif number == _MODEL_TRAINING:
                raise refusal(self.source, "it holds instructions for training", _EXPORT)
        if not (outputs and opsets):
            raise ValueError("it has no graph with outputs")
        return GraphFacts(tuple(inputs), statement)

    def graph(self, message: memoryview, depth: int = 0) -> tuple[list[GraphInput], int]:
        """Check a graph; return the inputs that are not weights, and the number of outputs."""
        if depth > DEEPEST:
            raise refusal(self.source, f"it has graphs inside graphs, more than {DEEPEST} deep", _EXPORT)
        inputs: list[GraphInput] = []
        weights, outputs = set(), 0
        for number, value in self.reader.fields(message):
            if number == _GRAPH_NODE:
                self.node(as_bytes(value), depth)
            elif number == _GRAPH_TENSOR:
                weights.add(self.tensor(as_bytes(value)))
            elif number == _GRAPH_SPARSE:
                weights.update(self.sparse(as_bytes(value)))
            elif number == _GRAPH_INPUT:
                inputs.append(self.input(as_bytes(value)))
            elif number == _GRAPH_OUTPUT:
                outputs += 1
        return [each for each in inputs if each.name not in weights], outputs

    def node(self, message: memoryview, depth: int) -> None:
        for number, value in self.reader.fields(message):
            if number == _NODE_DOMAIN and (domain := as_text(value)) not in DOMAINS:
                raise refusal(self.source, f"it has operators of the domain {spelled(domain)}", _EXPORT)
            if number == _NODE_OPERATOR and (operator := as_text(value)) in LOOPS:
                raise refusal(self.source, f"it has the operator {operator}, which may run without end", _EXPORT)
            if number == _NODE_ATTRIBUTE:
                self.attribute(as_bytes(value), depth)

    def attribute(self, message: memoryview, depth: int) -> None:
        for number, value in self.reader.fields(message):
            if number in _ATTRIBUTE_TENSORS:
                self.tensor(as_bytes(value))
            elif number in _ATTRIBUTE_SPARSE:
                list(self.sparse(as_bytes(value)))
            elif number in _ATTRIBUTE_GRAPHS:
                self.graph(as_bytes(value), depth + 1)

    def sparse(self, message: memoryview) -> Iterator[str]:
        for number, value in self.reader.fields(message):
            if number in {1, 2}:  # values and indices
                yield self.tensor(as_bytes(value))

    def tensor(self, message: memoryview) -> str:
        """Check that a tensor's numbers are in this file, and return its name."""
        name = ""
        for number, value in self.reader.fields(message):
            if number == _TENSOR_NAME:
                name = as_text(value)
            if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
                raise self.external(name)
        return name

    def external(self, name: str) -> WeightsError:
        which = f" (tensor {spelled(name[:80])})" if name else ""
        return refusal(self.source, f"some of its weights are in another file{which}", _ONE_FILE)

    def input(self, message: memoryview) -> GraphInput:
        """Read a ValueInfoProto."""
        name, element, shape = "", "unknown", None
        for number, value in self.reader.fields(message):
            if number == 1:
                name = as_text(value)
            elif number == 2:
                for tensor in self.reader.messages(as_bytes(value), 1):
                    element, shape = self.tensor_type(tensor)
        return GraphInput(name, element, shape)

    def tensor_type(self, message: memoryview) -> tuple[str, tuple[int | None, ...] | None]:
        element, shape = "unknown", None
        for number, value in self.reader.fields(message):
            if number == 1:
                element = _ELEMENTS.get(as_number(value), f"type {as_number(value)}")
            elif number == 2:
                shape = tuple(self.side(each) for each in self.reader.messages(as_bytes(value), 1))
        return element, shape

    def side(self, message: memoryview) -> int | None:
        """Read a dimension; None if it is free: a name, or nothing."""
        for number, value in self.reader.fields(message):
            if number == 1 and as_number(value) > 0:
                return as_number(value)
        return None
