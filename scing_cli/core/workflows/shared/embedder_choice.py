"""Chooses the embedder of a model: its OpenVINO model if that can be used, else torch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from scing_cli.core.devices import cpu_has_bf16, may_have_gpu
from scing_cli.core.embeddings import Embedder
from scing_cli.core.embeddings.openvino_embedder import (
    IN_FLIGHT,
    OpenVinoEmbedder,
    make_openvino_model,
    no_openvino,
)
from scing_cli.core.encoders.geometry import check_descriptor
from scing_cli.core.encoders.openvino_model import has_openvino_model, load_openvino_model, openvino_installed
from scing_cli.core.errors import RunError
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import OpenedModel

FEW_PHOTOS = 16  # up to so many photos OpenVINO is used even if there may be a GPU


@dataclasses.dataclass(frozen=True)
class Crops:
    """Images with which a new OpenVINO model is checked.

    Args:
        files: The images.
        cameras: Cameras of the images, for a model with camera vectors.
    """

    files: Sequence[Source]
    cameras: Sequence[str] | None = None


def choose_embedder(
    model: OpenedModel,
    machine: Machine,
    *,
    kind: str,
    crops: Crops | None = None,
    count: int | None = None,
    reporter: Reporter,
) -> Embedder:
    """Return the model's own embedder; for a tower one with its OpenVINO model if `can_use_openvino`, else with torch.

    Args:
        model: The model.
        machine: Device, precision and workers that the user chose.
        kind: `projected` or `concat`.
        crops: Images to check a new OpenVINO model with, which is made if there is none; None to make none.
        count: Number of images to embed, if known.
        reporter: Shows why an OpenVINO model cannot be used, and where a new one was saved.
    """
    check_descriptor(kind)
    if model.spectra and can_use_openvino(machine, count=count):
        reporter.note(f"{no_openvino(model.spectra)} torch embeds.")
    if model.engine is not None or model.spectra:
        return model.embedder(machine, kind=kind)
    usable = can_use_openvino(machine, count=count)
    embedder = _load(model, machine, kind, count, reporter) if usable else None
    # A model that exists but could not be loaded is made again. If this command cannot use one, later searches can.
    missing = embedder is None and (
        usable or not any(has_openvino_model(folder, model.digest) for folder in model.openvino_folders)
    )
    if missing and crops is not None and _make(model, machine, crops, reporter) and usable:
        embedder = _load(model, machine, kind, count, reporter)
    return embedder or model.embedder(machine, kind=kind)


def choose_in_background(
    model: OpenedModel, machine: Machine, *, kind: str, count: int, reporter: Reporter
) -> Callable[[], Embedder]:
    """Start to load the OpenVINO model, or the model's own embedder, in a thread, if it can be used; none is made.

    Args:
        model: As for `choose_embedder`.
        machine: As for `choose_embedder`.
        kind: As for `choose_embedder`.
        count: As for `choose_embedder`.
        reporter: As for `choose_embedder`; the thread may call it.

    Returns:
        A function that waits for the thread and returns the embedder.
    """
    check_descriptor(kind)
    own = model.engine is not None
    if not own and (model.spectra or not can_use_openvino(machine, count=count)):
        return lambda: model.embedder(machine, kind=kind)
    pool = ThreadPoolExecutor(1)  # OpenVINO compiles its graph without the GIL
    loading: Future[Embedder | None] = (
        pool.submit(model.embedder, machine, kind=kind)
        if own
        else pool.submit(_load, model, machine, kind, count, reporter)
    )
    pool.shutdown(wait=False)

    def finish() -> Embedder:
        embedder = loading.result()
        if embedder is None:
            reporter.note(
                f"{model.label()} has no usable OpenVINO model: torch starts, which takes longer. "
                "scing embed makes one."
            )
        return embedder or model.embedder(machine, kind=kind)

    return finish


def can_use_openvino(machine: Machine, *, count: int | None = None) -> bool:
    """Return whether an OpenVINO model is compatible with the user's choice of device and precision.

    It runs on the CPU, in bf16 if the CPU supports it, so it is not used for `--precision fp32` or a GPU.
    """
    if not openvino_installed() or machine.device not in {"auto", "cpu"} or machine.precision not in {"auto", "bf16"}:
        return False
    if machine.precision == "bf16" and not cpu_has_bf16():
        return False
    # With `--device auto` and a few photos, loading torch would take longer than everything else.
    if machine.device == "cpu" or not may_have_gpu() or (count is not None and count <= FEW_PHOTOS):
        return True
    return machine.torch_device().type == "cpu"


def _load(
    model: OpenedModel, machine: Machine, kind: str, count: int | None, reporter: Reporter
) -> OpenVinoEmbedder | None:
    """Load the first valid OpenVINO model; if there is none, the reporter shows what is wrong with the others."""
    faults = []
    for folder in model.openvino_folders:
        try:
            loaded = load_openvino_model(folder, model.digest, in_flight=1 if count == 1 else IN_FLIGHT)
        except RunError as error:
            faults.append(str(error).replace("\n", " "))
            continue
        if loaded is not None:
            return OpenVinoEmbedder(loaded, kind=kind, batch_size=machine.batch_size, workers=machine.threads())
    for fault in faults:
        reporter.warn(fault)
    return None


def _writable(folder: Path) -> bool:
    """Return whether a folder can be created, or replaced if it exists."""
    return os.access(folder.parent, os.W_OK) and (not folder.exists() or os.access(folder, os.W_OK))


def _make(model: OpenedModel, machine: Machine, crops: Crops, reporter: Reporter) -> bool:
    """Make an OpenVINO model in the first writable folder and return whether it was saved."""
    folder = next(filter(_writable, model.openvino_folders), model.openvino_folders[-1])
    made = make_openvino_model(
        folder,
        model.encoder,
        model.digest,
        crops.files,
        cameras=crops.cameras,
        workers=machine.threads(),
        reporter=reporter,
    )
    if made:
        reporter.note(f"OpenVINO model, for searches that start without torch: {folder}")
    return made
