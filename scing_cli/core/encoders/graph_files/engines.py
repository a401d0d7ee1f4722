"""Runs a graph on the CPU: with OpenVINO, or where it is not installed, an ONNX graph with ONNX Runtime.

Both read the bytes that were checked, not the file again.
"""

from __future__ import annotations

import abc
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scing_cli.core.encoders.graph_files.graph_facts import GraphError, ImageInput
from scing_cli.core.encoders.openvino_model import in_order
from scing_cli.core.errors import spelled
from scing_cli.core.threads import default_threads

Array = npt.NDArray[Any]
Tag = TypeVar("Tag")
IN_FLIGHT = 2  # batches that OpenVINO processes at the same time
OUTPUT_REMEDY = 'Write the name of the output with the vectors into the .json next to it: {"output": "NAME"}.'
ONLY_ERRORS = 3  # ONNX Runtime's level of messages


class Engine(abc.ABC):
    """A graph that is ready to run; `name` is the library, `outputs` has the names of each output."""

    name: str
    outputs: tuple[tuple[str, ...], ...]

    @abc.abstractmethod
    def stream(self, batches: Iterable[tuple[Tag, Array]]) -> Iterator[tuple[Tag, list[Array]]]:
        """Run batches of prepared pixels and yield all outputs of each, in the same order.

        Args:
            batches: A tag, which is returned with the result; the input.
        """


class OpenVinoEngine(Engine):
    """Runs a graph with OpenVINO.

    Args:
        content: The ONNX file, or the `.xml` of an IR.
        weights: The `.bin` of an IR.
        image: Its input.
        size: Height and width, for an input that leaves them free.
        precision: `fp32` or `bf16`.
    """

    name = "openvino"

    def __init__(
        self, content: bytes, weights: bytes | None, image: ImageInput, size: tuple[int, int], precision: str
    ) -> None:
        from scing_cli.core.encoders.openvino_runtime import openvino_core

        core = openvino_core()
        graph = core.read_model(content, weights) if weights is not None else core.read_model(content)
        if image.height is None or image.width is None:
            batch = -1 if image.batch is None else image.batch
            graph.reshape([batch, *size, 3] if image.channels_last else [batch, 3, *size])
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": default_threads(),
            "NUM_STREAMS": str(IN_FLIGHT),
        }
        self._compiled = core.compile_model(graph, "CPU", settings)
        self.outputs = tuple(_names(output) for output in self._compiled.outputs)

    def stream(self, batches: Iterable[tuple[Tag, Array]]) -> Iterator[tuple[Tag, list[Array]]]:
        """Run batches as `Engine.stream` describes."""
        return in_order(self._compiled, IN_FLIGHT, ((tag, [batch]) for tag, batch in batches), self._read)

    def _read(self, request: Any) -> list[Array]:
        return [np.array(request.get_output_tensor(number).data) for number in range(len(self.outputs))]


def _names(output: Any) -> tuple[str, ...]:
    return tuple(sorted(output.get_names())) or (str(output.get_node().get_friendly_name()),)


class OnnxRuntimeEngine(Engine):
    """Runs an ONNX graph with ONNX Runtime.

    Args:
        content: The ONNX file.
    """

    name = "onnxruntime"

    def __init__(self, content: bytes) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = default_threads()
        options.log_severity_level = ONLY_ERRORS
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.outputs = tuple((output.name,) for output in self._session.get_outputs())

    def stream(self, batches: Iterable[tuple[Tag, Array]]) -> Iterator[tuple[Tag, list[Array]]]:
        """Run batches as `Engine.stream` describes."""
        for tag, batch in batches:
            yield tag, self._session.run(None, {self._input: batch})


def onnxruntime_installed() -> bool:
    """Return whether ONNX Runtime is installed, without importing it."""
    return importlib.util.find_spec("onnxruntime") is not None


def output_index(outputs: Sequence[Sequence[str]], shapes: Sequence[tuple[int, ...]], wanted: str | None) -> int:
    """Return the output that holds the vectors: the wanted one, the only one, or the only one of two dimensions.

    Args:
        outputs: The names of each output.
        shapes: The shape of each output.
        wanted: A name; None if none is stated.

    Raises:
        GraphError: If there is no such output.

    >>> output_index([["map"], ["vector"]], [(1, 8, 4, 2), (1, 8)], None)
    1
    """
    listed = ", ".join(f"'{spelled(names[0])}' {shape}" for names, shape in zip(outputs, shapes, strict=True))
    named = [number for number, names in enumerate(outputs) if wanted in names]
    if wanted is not None and not named:
        raise GraphError(f"it has no output '{spelled(wanted)}'; it has {listed}", OUTPUT_REMEDY)
    flat = [number for number, shape in enumerate(shapes) if len(shape) == 2]
    chosen = named or ([0] if len(outputs) == 1 else flat)
    if len(chosen) != 1:
        raise GraphError(f"it has several outputs, and nothing states which one to use: {listed}", OUTPUT_REMEDY)
    return chosen[0]
