"""Opens an image encoder that is a graph file, and turns pixels into vectors with it.

Legend: B batch, H x W pixels, D width of the vectors.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from scing_cli.core.artifacts import checked_once
from scing_cli.core.batches import Pixels, normalise
from scing_cli.core.encoders.graph_files.engines import (
    Array,
    Engine,
    OnnxRuntimeEngine,
    OpenVinoEngine,
    onnxruntime_installed,
    output_index,
)
from scing_cli.core.encoders.graph_files.graph_facts import GraphError, ImageInput, image_input, refusal
from scing_cli.core.encoders.graph_files.ir_graph import read_ir
from scing_cli.core.encoders.graph_files.onnx_graph import read_onnx
from scing_cli.core.encoders.graph_files.pooling import Floats, pool
from scing_cli.core.encoders.graph_files.preparation import Preparation, prepare
from scing_cli.core.encoders.local_copies import refuse_outside
from scing_cli.core.encoders.openvino_model import openvino_installed
from scing_cli.core.errors import ScingError, WeightsError, spelled
from scing_cli.core.paths import check_local
from scing_cli.core.safe_reading import check_ordinary, read_limited

LARGEST = 2**31 - 1  # bytes: protobuf's own limit
FORM = 1  # grows whenever the same file gives other vectors than before
LONGEST_REASON = 300  # characters
AT_ONCE = 16  # images per batch: larger batches are not faster
MOST_ALONE, MOST_PROBED = 16, 256  # images that a probe encodes alone; the same with repeats in fixed batches
SAME = 1e-6  # largest difference between unit vectors that are the same number for number
APART = MappingProxyType({"fp32": 1e-3, "bf16": 2e-2})  # largest difference between unit vectors of the same image
_ONE_BY_ONE = "Export it with a free batch size (dynamic_axes of torch.onnx.export), or for batches of one image."
_AGAIN = "Export the encoder again; see models.md of the guide."
Tag = TypeVar("Tag")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class GraphFile:
    """A graph file that was read and checked, but not yet given to an engine.

    Args:
        path: The `.onnx` or `.xml` file, absolute.
        content: Its bytes.
        weights: The bytes of the `.bin` of an IR.
        image: Its input.
        preparation: How pixels are prepared for it.
        digest: SHA-256 of all that its vectors depend on.
    """

    path: Path
    content: bytes
    weights: bytes | None
    image: ImageInput
    preparation: Preparation
    digest: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.preparation.geometry.height, self.preparation.geometry.width

    def described(self) -> str:
        """Return one line about the file, with what is assumed about its pixels."""
        assumed = self.preparation.assumed
        words = f"; not stated, so assumed: {', '.join(assumed)}" if assumed else ""
        height, width = self.size
        return f"{self.path.name}: {height}x{width} pixels{words}."


def open_graph_file(path: Path, *, statistics: str = "auto", interpolation: str = "auto") -> GraphFile:
    """Read and check a graph file; nothing in it runs.

    Args:
        path: An `.onnx` file, or the `.xml` of an IR with its `.bin` next to it.
        statistics: `auto` for what the file states, else ImageNet's; or a name of `GRAPH_STATISTICS`.
        interpolation: `auto` for what the file states, else bilinear; or a name of `INTERPOLATIONS`.

    Raises:
        SettingError: If an option is unknown.
        WeightsError: If the file is missing, damaged, too large or refused, or is not an image encoder.
    """
    path = check_local(path).absolute()
    content = _read(path, "Give the path of the file: --model FILE.onnx or FILE.xml.")
    weights = None
    if path.suffix.lower() == ".xml":
        refuse_outside(path.with_suffix(".bin"), path.parent, path.resolve().parent)
        weights = _read(path.with_suffix(".bin"), f"The weights of {path.name} belong next to it: copy them too.")
        facts = read_ir(content, len(weights), path)
    else:
        facts = read_onnx(content, path)
    image = image_input(facts, path)
    preparation = prepare(facts, image, path, statistics=statistics, interpolation=interpolation)
    digest = hashlib.sha256(json.dumps([FORM, preparation.facts()], sort_keys=True).encode())
    for part in (content, weights or b""):
        digest.update(hashlib.sha256(part).digest())
    return GraphFile(path, content, weights, image, preparation, digest.hexdigest())


def _read(path: Path, remedy: str) -> bytes:
    try:
        check_ordinary(path)
        if (size := path.stat().st_size) > LARGEST:
            raise WeightsError(f"{spelled(path)} has {size:,} bytes; at most {LARGEST:,} are read.", _AGAIN)
        return read_limited(path, LARGEST)
    except FileNotFoundError:
        raise WeightsError(f"{spelled(path)} does not exist.", remedy) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{spelled(path)} cannot be read: {error}.", remedy) from error


class GraphEncoder:
    """A graph that turns pixels into vectors; `load_graph_encoder` opens one.

    `engine` is the name of the library that runs it, `width` is D.

    Args:
        file: The file.
        engine: The graph, ready to run.
        precision: `fp32` or `bf16`.
    """

    def __init__(self, file: GraphFile, engine: Engine, precision: str) -> None:
        self.file = file
        self.engine = engine.name
        self.precision = precision
        self._run = engine
        self._batch = file.image.batch or AT_ONCE
        self.width = self._probed()

    def stream(self, batches: Iterable[tuple[Tag, Pixels]]) -> Iterator[tuple[Tag, Floats]]:
        """Encode batches and yield the results in the same order.

        Args:
            batches: A tag, which is returned with the result; pixels, (B, 3, H, W), uint8, RGB.

        Yields:
            The batch's tag, and its vectors: (B, D) float32, not of unit length.
        """
        done: list[Floats] = []
        for (tag, count, last), outputs in self._run.stream(self._jobs(batches)):
            done.append(self._vectors(outputs)[:count])
            if last:
                yield tag, np.concatenate(done)
                done = []

    def _jobs(self, batches: Iterable[tuple[Tag, Pixels]]) -> Iterator[tuple[tuple[Tag, int, bool], Array]]:
        """Cut batches into parts that the graph takes; a part that is too small repeats its last image."""
        for tag, pixels in batches:
            for start in range(0, len(pixels), self._batch):
                part = pixels[start : start + self._batch]
                count = len(part)
                if self.file.image.batch is not None and count < self._batch:
                    part = np.concatenate([part, np.repeat(part[-1:], self._batch - count, axis=0)])
                yield (tag, count, start + self._batch >= len(pixels)), self._prepared(part)

    def _prepared(self, pixels: Pixels) -> Array:
        how, image = self.file.preparation, self.file.image
        values: Array = pixels if how.raw else normalise(pixels, how.geometry.mean, how.geometry.std)
        if how.bgr:
            values = values[:, ::-1]
        if image.channels_last:
            values = values.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(values, np.float16 if image.element == "f16" else None)

    def _vectors(self, outputs: list[Array]) -> Floats:
        chosen = output_index(self._run.outputs, [each.shape for each in outputs], self.file.preparation.output)
        return pool(outputs[chosen], self.file.size, channels_last=self.file.image.channels_last)

    def _encode(self, pixels: Pixels) -> Floats:
        ((_, vectors),) = self.stream([(None, pixels)])
        if len(vectors) != len(pixels):
            raise GraphError(f"it gives {len(vectors)} vectors for {len(pixels)} images", _ONE_BY_ONE)
        return vectors

    def _probed(self) -> int:
        """Return D, after checking with drawn images that the vectors can be used."""
        vectors = self._encode(_drawn(1, self.file.size))
        if not np.isfinite(vectors).all():
            raise GraphError("it gives numbers that are not finite", _AGAIN)
        fact = f"batches of {self._batch} of {self.file.digest} by {self.engine} {self.precision}"
        if not checked_once(self.file.path, fact, self._is_steady):
            raise GraphError(
                f"it gives other vectors for {self._batch} images at once than for each alone", _ONE_BY_ONE
            )
        return int(vectors.shape[1])

    def _is_steady(self) -> bool:
        """Return whether a whole batch of images gets the same vectors as each alone.

        Raises:
            GraphError: If a batch does not run, or different images get the same vector.
        """
        images = _drawn(max(self._batch, 2), self.file.size)
        try:
            together = self._encode(images)
        except GraphError:
            raise
        except Exception as error:
            raise GraphError(
                f"it takes one image, but not {self._batch} at once ({_reason(error)})", _ONE_BY_ONE
            ) from error
        most = min(MOST_ALONE, max(2, MOST_PROBED // (self.file.image.batch or 1)))
        rows = np.unique(np.linspace(0, len(images) - 1, most).astype(int))
        apart = np.concatenate([self._encode(images[row : row + 1]) for row in rows])
        _check_telling(np.concatenate([together, apart]))
        return bool(np.abs(unit_length(together[rows]) - unit_length(apart)).max() <= APART[self.precision])


def _drawn(count: int, size: tuple[int, int]) -> Pixels:
    """Return (count, 3, H, W) images for a probe: noise, and the last of several is a pattern of bright colours."""
    images = np.random.default_rng(0).integers(0, 256, (count, 3, *size), np.uint8)
    if count > 1:
        rows, columns = np.indices(size)
        images[-1, 0] = 255 * rows // size[0]
        images[-1, 1] = 255 * columns // size[1]
        images[-1, 2] = 255 * (rows * 4 // size[0] % 2)
    return images


def _check_telling(vectors: Floats) -> None:
    """Check the vectors of clearly different images, (B, D).

    Raises:
        GraphError: If they are not finite, zero, or all the same.
    """
    if not np.isfinite(vectors).all():
        raise GraphError("it gives numbers that are not finite", _AGAIN)
    if not vectors.any():
        raise GraphError("it gives zero for every image", _AGAIN)
    unit = unit_length(vectors)
    if np.abs(unit - unit[0]).max() <= SAME:
        raise GraphError("it gives the same vector for different images", _AGAIN)


def load_graph_encoder(file: GraphFile, *, precision: str = "fp32") -> GraphEncoder:
    """Give a graph to OpenVINO, or where that is not installed, to ONNX Runtime.

    Raises:
        WeightsError: If neither is installed, the engine cannot run the graph, its output is not one vector per
            image, the vectors are not finite, zero or all the same, or they depend on the other images of a batch.
    """
    try:
        return GraphEncoder(file, _engine(file, precision), precision)
    except GraphError as fault:
        raise refusal(file.path, fault.reason, fault.remedy) from fault
    except ScingError:
        raise
    except Exception as error:  # the engines have no common class of errors
        raise refusal(file.path, f"it does not run ({_reason(error)})", _AGAIN) from error


def _engine(file: GraphFile, precision: str) -> Engine:
    if openvino_installed():
        return OpenVinoEngine(file.content, file.weights, file.image, file.size, precision)
    if file.weights is not None:
        raise refusal(file.path, "an IR needs OpenVINO, which is not installed", "Use the encoder as ONNX.")
    if not onnxruntime_installed():
        remedy = "Install one of them: pip install openvino, or pip install 'scing-cli[onnx]'."
        raise refusal(file.path, "it needs OpenVINO or ONNX Runtime", remedy)
    if precision != "fp32":
        raise refusal(file.path, f"ONNX Runtime computes in fp32, not in {precision}", "Leave --precision out.")
    return OnnxRuntimeEngine(file.content)


def _reason(error: Exception) -> str:
    """Return the line of an engine's error that says most; it may quote names from the file."""
    lines = [line.strip(" -.") for line in str(error).splitlines() if line.strip() and "://" not in line]
    return spelled(lines[-1][:LONGEST_REASON]) if lines else type(error).__name__


def unit_length(vectors: npt.NDArray[np.float32]) -> Floats:
    """Scale vectors, (B, D), to unit length; a vector of zeros stays as it is."""
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    result: Floats = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result
