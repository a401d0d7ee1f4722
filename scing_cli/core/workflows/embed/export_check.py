"""What a format can hold, and whether a written export computes the same as its encoder.

Legend: B images, D width of a descriptor.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scing_cli.core.batches import Pixels, normalise
from scing_cli.core.embeddings import Vectors
from scing_cli.core.encoders.geometry import DESCRIPTORS, Geometry
from scing_cli.core.errors import ScingError, SettingError, counted
from scing_cli.core.runtime import Silent
from scing_cli.core.spectra import in_words
from scing_cli.core.workflows.embed.export_place import ONNX, TRANSFORMERS

if TYPE_CHECKING:
    from scing_cli.core.encoders.spectral import AnyImageEncoder

LEAST_COSINE = 0.9999  # smallest cosine similarity of a written export's vectors to the encoder's
LARGEST_ONNX = 2**31 - 2**20  # bytes of weights: a file of Protocol Buffers has at most 2 GB
Named = Mapping[str, Vectors]  # unit vectors (B, D) by kind of descriptor


def check_packages() -> None:
    """Check that an ONNX file can be written and run, without importing anything.

    Raises:
        ScingError: If a package is missing; the message names the command that installs it.
    """
    missing = [] if _installed("onnx") else ["onnx"]
    if not _installed("openvino") and not _installed("onnxruntime"):
        missing.append("onnxruntime")
    if missing:
        raise ScingError(
            f"--export to ONNX needs {' and '.join(missing)}.",
            "Install it: pip install '.[onnx]'. Or export a folder, which needs no other package: --export NAME",
        )


def check_holds(
    chosen: str, geometry: Geometry, *, cameras: bool, prompts: bool, kind: str, spectra: tuple[str, ...] = ()
) -> None:
    """Check that a format can hold an encoder.

    Args:
        chosen: The format.
        geometry: The encoder's geometry.
        cameras: Whether the encoder has camera vectors.
        prompts: Whether the encoder has deep prompts.
        kind: The descriptor.
        spectra: The spectra that the encoder reads; none for one of ordinary images.

    Raises:
        SettingError: If it cannot; the message says what and names a format that can.
    """
    if spectra:
        raise SettingError(
            f"--export: {chosen} cannot hold an encoder of {in_words(spectra)} images, since its only input is one "
            "image.",
            "Use the run itself (embed, search, evaluate), or export an encoder of the visible images alone.",
        )
    if cameras:
        raise SettingError(
            f"--export: {chosen} cannot hold the camera vectors of this encoder, since its only input is an image.",
            "Export an encoder that was trained without --camera-embedding.",
        )
    if chosen == ONNX:
        return
    if prompts:
        raise _cannot(chosen, "the deep prompts of this encoder", "ONNX: --export NAME.onnx")
    height, width = geometry.height, geometry.width
    if geometry.stride != geometry.patch:
        raise _cannot(chosen, f"patches that overlap (--stride {geometry.stride})", "ONNX: --export NAME.onnx")
    if kind != "projected":
        raise _cannot(chosen, f"--descriptor {kind}: it computes the projection alone", "ONNX: --export NAME.onnx")
    if chosen == TRANSFORMERS and height != width:
        other = "ONNX (--export NAME.onnx) or open_clip's folder (--export-format open_clip)"
        raise _cannot(chosen, f"images of {height}x{width} pixels: its CLIP takes square ones", other)


def _cannot(chosen: str, what: str, other: str) -> SettingError:
    return SettingError(f"--export-format {chosen} cannot hold {what}.", f"Use {other}.")


def check_size(encoder: AnyImageEncoder) -> None:
    """Check that an encoder's weights fit into one ONNX file.

    Raises:
        SettingError: If they do not.
    """
    size = 4 * sum(value.numel() for value in encoder.state_dict().values())
    if size > LARGEST_ONNX:
        raise SettingError(
            f"The encoder has {size / 2**30:.1f} GB of weights; an ONNX file holds less than 2 GB.",
            "Export a folder: --export NAME",
        )


def encoder_vectors(encoder: AnyImageEncoder, pixels: Pixels) -> Named:
    """Return both descriptors of images, computed by an encoder on the CPU in float32.

    Args:
        encoder: The encoder, on the CPU.
        pixels: Shape (B, 3, H, W), uint8, of the encoder's size.
    """
    import torch

    from scing_cli.core.encoders.image import descriptor

    normal = normalise(torch.from_numpy(pixels), encoder.geometry.mean, encoder.geometry.std)
    with torch.no_grad():
        features = encoder(normal)
    return {kind: descriptor(features, kind).numpy() for kind in DESCRIPTORS}


def onnx_vectors(file: Path, pixels: Pixels, geometry: Geometry, kind: str) -> Named:
    """Return the output of an ONNX file that `onnx_tower` built, computed by OpenVINO or else by onnxruntime."""
    normal = normalise(pixels, geometry.mean, geometry.std)
    run = _openvino if _installed("openvino") else _onnxruntime
    return {kind: run(file)(normal)}


def folder_vectors(folder: Path, pixels: Pixels) -> Named:
    """Return both descriptors as a model folder gives them that is read as `--model` reads it."""
    from scing_cli.core.encoders.clip import load_image_tower

    return encoder_vectors(load_image_tower(str(folder), reporter=Silent()).image, pixels)


def check_parity(expected: Named, found: Named) -> float:
    """Return the smallest cosine of vectors that should be equal.

    Raises:
        ScingError: If it is below `LEAST_COSINE`, or a vector is not finite.
    """
    cosines = [(expected[kind].astype(np.float64) * vectors).sum(axis=1) for kind, vectors in found.items()]
    least = float(min(each.min() for each in cosines))
    if not least >= LEAST_COSINE:  # in this form, NaN is refused as well
        raise ScingError(
            f"Nothing was exported: on {counted(len(cosines[0]), 'image')}, the smallest cosine of the export's "
            f"vectors to the encoder's is {least:.6f}; at least {LEAST_COSINE} is required.",
            "Try another format (--export-format), and report it.",
        )
    return min(least, 1.0)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _openvino(file: Path) -> Callable[[Vectors], Vectors]:
    from scing_cli.core.encoders.onnx_tower import INPUT, OUTPUT
    from scing_cli.core.encoders.openvino_runtime import openvino_core

    compiled = openvino_core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda normal: np.array(compiled({INPUT: normal})[OUTPUT], np.float32)


def _onnxruntime(file: Path) -> Callable[[Vectors], Vectors]:
    import onnxruntime

    from scing_cli.core.encoders.onnx_tower import INPUT, OUTPUT

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda normal: np.asarray(session.run([OUTPUT], {INPUT: normal})[0], np.float32)
