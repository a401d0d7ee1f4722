"""The inference copy of an image tower: what a search loads in a fraction of a second, and torch is not needed for.

A folder of three files: `encoder.xml` and `encoder.bin` as OpenVINO reads them (weights in float16), and `stamp.json`
with the tower's digest and geometry, the digests of both files, and how near its vectors came to the tower's own when
it was made (see `make_openvino_model`). OpenVINO runs it in bf16 where the processor has bf16 products and the model
was tried in bf16.

Legend: B batch, H x W' pixels, W width of the tower, D width of the joint embedding.
"""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from scing_cli.core.artifacts import FORMAT, STAMP, checked_once, file_digest, read_json, write_json
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.runtime import cpu_has_bf16, default_threads

GRAPH, WEIGHTS = "encoder.xml", "encoder.bin"
REMEDY = "scing embed makes it anew; until then torch is used, which takes longer to start."
Floats = npt.NDArray[np.float32]
Tag = TypeVar("Tag")


class OpenVinoFeatures(NamedTuple):
    """What the copy says of a batch, as `image.ImageFeatures` has it, without what only training reads.

    Args:
        cls: Shape (B, W): the class token after the last layer norm.
        projected: Shape (B, D): the same, projected into the joint space; not of unit length.
    """

    cls: Floats
    projected: Floats


class OpenVinoModel:
    """An image tower that OpenVINO runs on the CPU; `load_openvino_model` reads one.

    Args:
        compiled: The graph, compiled.
        stamp: What lies beside it.
        precision: Of its products: `bf16` or `fp32`.
        in_flight: How many batches it may be given at a time.
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
        """Encode batches, some at a time, in their order.

        Args:
            batches: Whatever belongs to a batch; its normalised pixels, (B, 3, H, W'); places of its cameras' vectors,
                (B,), -1 for none, or None where no camera is known.

        Yields:
            What belongs to the batch, and its features.
        """
        idle = [self._compiled.create_infer_request() for _ in range(self._in_flight)]
        running: deque[tuple[Tag, Any]] = deque()
        for tag, pixels, cameras in batches:
            if not idle:
                yield _finished(running, idle)
            request = idle.pop()
            request.start_async(self._inputs(pixels, cameras))
            running.append((tag, request))
        while running:
            yield _finished(running, idle)

    def _inputs(self, pixels: Floats, cameras: npt.NDArray[np.int64] | None) -> dict[str, Any]:
        if not self.cameras:
            return {"pixels": pixels}
        none = len(self.cameras)  # the place of a vector of zeros
        places = np.full(len(pixels), none) if cameras is None else np.where(cameras < 0, none, cameras)
        return {"pixels": pixels, "cameras": places.astype(np.int64)}


def openvino_serves_here() -> bool:
    """Tell whether OpenVINO is installed; it is not loaded for that."""
    return importlib.util.find_spec("openvino") is not None


def write_openvino_model(folder: Path, state: Mapping[str, Floats], facts: Mapping[str, Any]) -> None:
    """Write a tower's graph, and its stamp last.

    Args:
        folder: An empty one.
        state: The tower's weights.
        facts: Of the stamp: `digest`, `geometry`, `model` (the tower's sizes) and `embed_dim`.
    """
    from scing_cli.core.encoders.openvino_graph import image_graph
    from scing_cli.core.encoders.openvino_runtime import openvino

    graph = image_graph(state, Geometry.from_dict(facts["geometry"]), facts["model"])
    openvino.save_model(graph, folder / GRAPH, compress_to_fp16=True)
    own = {"format": FORMAT, **facts, "openvino": str(openvino.get_version()), "precision": _precision()}
    write_json(folder / STAMP, own | {"files": {name: file_digest(folder / name) for name in (GRAPH, WEIGHTS)}})


def read_stamp(folder: Path) -> dict[str, Any] | None:
    """Return the stamp of a copy; None where there is none.

    Raises:
        RunError: If it cannot be read, is of a newer format, or was changed.
    """
    if not (folder / STAMP).exists():
        return None
    return read_json(folder / STAMP, remedy=REMEDY)


def has_openvino_model(folder: Path, digest: str) -> bool:
    """Tell whether the copy of a tower lies in a folder, by its stamp alone."""
    try:
        stamp = read_stamp(folder)
    except RunError:
        return False
    return stamp is not None and stamp.get("digest") == digest


def remember_openvino_model(folder: Path) -> None:
    """Remember that a copy's files are whole: they were checked under another name."""
    stamp = read_stamp(folder) or {"files": {}}
    for name, expected in stamp["files"].items():
        checked_once(folder / name, expected, lambda: True)


def load_openvino_model(folder: Path, digest: str, *, in_flight: int = 1) -> OpenVinoModel | None:
    """Load the copy of a tower.

    Args:
        folder: Where it lies.
        digest: Of the tower; another tower's copy does not count.
        in_flight: How many batches it shall take at a time.

    Returns:
        The copy; None where there is none of this tower, or no OpenVINO.

    Raises:
        RunError: If it is damaged.
    """
    if not openvino_serves_here():
        return None
    stamp = read_stamp(folder)
    if stamp is None or stamp.get("digest") != digest:
        return None
    try:
        for name in (GRAPH, WEIGHTS):
            file, expected = folder / name, str(stamp["files"][name])
            if not checked_once(file, expected, lambda: file_digest(file) == expected):  # noqa: B023
                raise RunError(f"{file} is not what {STAMP} beside it was written for: the digests differ.", REMEDY)
        return _compiled(folder, stamp, in_flight)
    except (OSError, ImportError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SettingError) as error:
        raise RunError(f"The inference copy of {folder / STAMP} cannot be used: {brief(error)}.", REMEDY) from error


def _compiled(folder: Path, stamp: Mapping[str, Any], in_flight: int) -> OpenVinoModel:
    from scing_cli.core.encoders.openvino_runtime import openvino

    precision = _precision() if stamp["precision"] == "bf16" else "fp32"  # never one that it was not tried in
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": default_threads(),
        "NUM_STREAMS": str(in_flight),
    }
    compiled = openvino.Core().compile_model(folder / GRAPH, "CPU", settings)
    return OpenVinoModel(compiled, stamp, precision=precision, in_flight=in_flight)


def _finished(running: deque[tuple[Tag, Any]], idle: list[Any]) -> tuple[Tag, OpenVinoFeatures]:
    """Wait for the batch that was given first; its request is idle then."""
    tag, request = running.popleft()
    request.wait()
    cls, projected = (np.array(request.get_tensor(name).data, np.float32) for name in ("cls", "projected"))
    idle.append(request)
    return tag, OpenVinoFeatures(cls, projected)


def brief(error: BaseException) -> str:
    """Return an error in one line; of OpenVINO's, which tell a line for each of its files, the last one."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    chosen = lines[-1:] if isinstance(error, RuntimeError) else lines[:1]
    return "".join(chosen) or type(error).__name__


def _precision() -> str:
    """Return what the copy's products are in on this machine."""
    return "bf16" if cpu_has_bf16() else "fp32"
