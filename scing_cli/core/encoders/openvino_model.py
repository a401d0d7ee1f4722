"""Saving, loading and running an image tower as an OpenVINO model, which loads in a fraction of a second without torch.

An OpenVINO model is a folder of three files. `encoder.xml` and `encoder.bin` are OpenVINO's own (weights in float16).
`stamp.json` has the tower's digest and geometry, the digests of both files, and the smallest cosine similarity between
its vectors and the tower's (see `make_openvino_model`). OpenVINO computes in bf16 if the processor supports it and the
model was checked in bf16.

Legend: B batch, H x W' pixels, W width of the tower, D width of the joint embedding.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from scing_cli.core.artifacts import FORMAT, STAMP, check_content, checked_once, file_digest, read_json, write_json
from scing_cli.core.devices import cpu_has_bf16
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.threads import default_threads

GRAPH, WEIGHTS = "encoder.xml", "encoder.bin"
REMEDY = "scing embed makes it again; until then torch is used, which takes longer to start."
Floats = npt.NDArray[np.float32]
Tag = TypeVar("Tag")
Made = TypeVar("Made")
Result = TypeVar("Result")


class OpenVinoFeatures(NamedTuple):
    """The model's output for a batch, like `image.ImageFeatures` without the field that only training uses.

    Args:
        cls: Shape (B, W): the class token after the last layer norm.
        projected: Shape (B, D): `cls` projected into the joint space; not of unit length.
    """

    cls: Floats
    projected: Floats


class OpenVinoModel:
    """An image tower that OpenVINO runs on the CPU; `load_openvino_model` reads one.

    Args:
        compiled: The compiled graph.
        stamp: The content of its stamp.
        precision: Precision of matrix products: `bf16` or `fp32`.
        in_flight: Maximum number of batches that are processed at the same time.
    """

    def __init__(self, compiled: Any, stamp: Mapping[str, Any], *, precision: str, in_flight: int) -> None:
        self.geometry = Geometry.from_dict(stamp["geometry"])
        self.embed_dim = int(stamp["embed_dim"])
        self.width = int(stamp["model"]["width"])
        self.cameras = tuple(map(str, stamp["model"].get("cameras", ())))
        self.precision = precision
        self._compiled = compiled
        self._in_flight = in_flight

    def stream(
        self, batches: Iterable[tuple[Tag, Floats, npt.NDArray[np.int64] | None]]
    ) -> Iterator[tuple[Tag, OpenVinoFeatures]]:
        """Encode batches and yield the results in the same order; several batches are processed at the same time.

        Args:
            batches: A tag, which is returned with the result; normalised pixels, (B, 3, H, W'); rows of the camera
                vectors, (B,), -1 for none, or None if no camera is known.

        Yields:
            The batch's tag, and its features.
        """
        jobs = ((tag, self._inputs(pixels, cameras)) for tag, pixels, cameras in batches)
        return in_order(self._compiled, self._in_flight, jobs, _features)

    def _inputs(self, pixels: Floats, cameras: npt.NDArray[np.int64] | None) -> dict[str, Any]:
        if not self.cameras:
            return {"pixels": pixels}
        none = len(self.cameras)  # the table's last row is a vector of zeros
        rows = np.full(len(pixels), none) if cameras is None else np.where(cameras < 0, none, cameras)
        return {"pixels": pixels, "cameras": rows.astype(np.int64)}


def openvino_installed() -> bool:
    """Return whether OpenVINO is installed, without importing it."""
    return importlib.util.find_spec("openvino") is not None


def write_openvino_model(folder: Path, state: Mapping[str, Floats], facts: Mapping[str, Any]) -> None:
    """Write a tower's graph, then its stamp.

    Args:
        folder: An empty folder.
        state: The tower's weights.
        facts: Fields of the stamp: `digest`, `geometry`, `model` (the tower's sizes) and `embed_dim`.
    """
    from scing_cli.core.encoders.openvino_graph import image_graph
    from scing_cli.core.encoders.openvino_runtime import openvino

    graph = image_graph(state, Geometry.from_dict(facts["geometry"]), facts["model"])
    openvino.save_model(graph, folder / GRAPH, compress_to_fp16=True)
    stamp = {"format": FORMAT, **facts, "openvino": str(openvino.get_version()), "precision": _precision()}
    write_json(folder / STAMP, stamp | {"files": {name: file_digest(folder / name) for name in (GRAPH, WEIGHTS)}})


def read_stamp(folder: Path, *, remedy: str = REMEDY) -> dict[str, Any] | None:
    """Return the stamp of an OpenVINO model; None if there is no stamp.

    Raises:
        RunError: If it cannot be read, has a newer format, or was changed.
    """
    if not (folder / STAMP).exists():
        return None
    return read_json(folder / STAMP, remedy=remedy)


def has_openvino_model(folder: Path, digest: str) -> bool:
    """Return whether the stamp in a folder is of this tower's OpenVINO model; the other files are not checked."""
    try:
        stamp = read_stamp(folder)
    except RunError:
        return False
    return stamp is not None and stamp.get("digest") == digest


def remember_openvino_model(folder: Path) -> None:
    """Record that a model's files are valid."""
    # They were checked in a temporary folder; the record of a check is by path.
    stamp = read_stamp(folder) or {"files": {}}
    for name, expected in stamp["files"].items():
        checked_once(folder / name, expected, lambda: True)


def load_openvino_model(folder: Path, digest: str, *, in_flight: int = 1) -> OpenVinoModel | None:
    """Load a tower's OpenVINO model.

    Args:
        folder: The model's folder.
        digest: The tower's digest; a model of another tower is ignored.
        in_flight: Maximum number of batches that are processed at the same time.

    Returns:
        The model; None if there is no model of this tower, or OpenVINO is not installed.

    Raises:
        RunError: If the model is damaged.
    """
    return open_stamped(folder, digest, "OpenVINO stamp", lambda stamp: _compiled(folder, stamp, in_flight))


def open_stamped(
    folder: Path, digest: str, kind: str, compile_graph: Callable[[Mapping[str, Any]], Made], *, remedy: str = REMEDY
) -> Made | None:
    """Compile the graph in a folder after its stamp and files were checked.

    Args:
        folder: The model's folder.
        digest: The digest that the stamp must have; a model of another digest is ignored.
        kind: The stamp's schema, a key of `schemas.KINDS`.
        compile_graph: Returns the model for the stamp.
        remedy: What to do if it is damaged.

    Returns:
        The model; None if there is none with this digest, or OpenVINO is not installed.

    Raises:
        RunError: If the model is damaged.
    """
    if not openvino_installed():
        return None
    stamp = read_stamp(folder, remedy=remedy)
    if stamp is None or stamp.get("digest") != digest:
        return None
    check_content(kind, stamp, folder / STAMP, remedy=remedy)
    try:
        for name in (GRAPH, WEIGHTS):
            file, expected = folder / name, str(stamp["files"][name])
            if not checked_once(file, expected, lambda: file_digest(file) == expected):  # noqa: B023
                raise RunError(f"{file} does not match {STAMP} next to it: the digests differ.", remedy)
        return compile_graph(stamp)
    except (OSError, ImportError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SettingError) as error:
        raise RunError(f"The OpenVINO model of {folder / STAMP} cannot be used: {brief(error)}.", remedy) from error


def _compiled(folder: Path, stamp: Mapping[str, Any], in_flight: int) -> OpenVinoModel:
    from scing_cli.core.encoders.openvino_runtime import openvino_core

    precision = (
        _precision() if stamp["precision"] == "bf16" else "fp32"
    )  # only a precision in which the model was checked
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": default_threads(),
        "NUM_STREAMS": str(in_flight),
    }
    compiled = openvino_core().compile_model(folder / GRAPH, "CPU", settings)
    return OpenVinoModel(compiled, stamp, precision=precision, in_flight=in_flight)


def in_order(
    compiled: Any, in_flight: int, jobs: Iterable[tuple[Tag, Any]], read: Callable[[Any], Result]
) -> Iterator[tuple[Tag, Result]]:
    """Run a compiled graph on several inputs at the same time, and yield the results in the order of the inputs.

    Args:
        compiled: The graph.
        in_flight: Maximum number of inputs that are processed at the same time.
        jobs: A tag, which is returned with the result; the inputs as OpenVINO takes them.
        read: Returns the result of a finished request; it must copy the data.
    """
    idle = [compiled.create_infer_request() for _ in range(in_flight)]
    running: deque[tuple[Tag, Any]] = deque()

    def finished() -> tuple[Tag, Result]:
        """Wait for the oldest running request, which is idle afterwards."""
        tag, request = running.popleft()
        request.wait()
        result = read(request)
        idle.append(request)
        return tag, result

    for tag, inputs in jobs:
        if not idle:
            yield finished()
        request = idle.pop()
        request.start_async(inputs)
        running.append((tag, request))
    while running:
        yield finished()


def _features(request: Any) -> OpenVinoFeatures:
    cls, projected = (np.array(request.get_tensor(name).data, np.float32) for name in ("cls", "projected"))
    return OpenVinoFeatures(cls, projected)


def brief(error: BaseException) -> str:
    """Return an error's message in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    # OpenVINO's errors have a line for each of its source files; the last line is the message.
    chosen = lines[-1:] if isinstance(error, RuntimeError) else lines[:1]
    return "".join(chosen) or type(error).__name__


def _precision() -> str:
    """Return the precision of matrix products on this machine."""
    return "bf16" if cpu_has_bf16() else "fp32"
