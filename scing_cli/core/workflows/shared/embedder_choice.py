"""Which embedder a command uses for a model: its inference copy where that serves, else torch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scing_cli.core.embeddings import Embedder
from scing_cli.core.embeddings.openvino_embedder import IN_FLIGHT, OpenVinoEmbedder, make_openvino_model
from scing_cli.core.encoders.descriptors import check_descriptor
from scing_cli.core.encoders.openvino_model import has_openvino_model, load_openvino_model, openvino_serves_here
from scing_cli.core.errors import RunError
from scing_cli.core.runtime import Reporter, cpu_has_bf16, may_have_gpu
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import OpenedModel

FEW_PHOTOS = 16  # photos, for which no GPU is woken


@dataclasses.dataclass(frozen=True)
class Crops:
    """Images on which a new inference copy is tried.

    Args:
        files: Some.
        cameras: Theirs, for a model that knows cameras.
    """

    files: Sequence[Path]
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
    """Return the model's inference copy as an embedder, or the model itself with torch.

    The copy runs on the CPU, in bf16 where that has bf16 products. It is not for `--precision fp32` or a GPU; where
    `--device auto` may find one, it serves a few photos, for which loading torch would take longer than all the rest.

    Args:
        model: The model.
        machine: The user's wishes.
        kind: `projected` or `concat`.
        crops: Where there is no copy, one is made and tried on these, for later searches too; None to make none.
        count: How many images there will be, if that is known.
        reporter: Is told what stands in the way of a copy, and that one is made.
    """
    check_descriptor(kind)
    serves = openvino_serves(machine, count=count)
    copied = _copied(model, machine, kind, count, reporter) if serves else None
    wanted = copied is None and (serves or not any(has_openvino_model(place, model.digest) for place in model.copies))
    if wanted and crops is not None and _make(model, machine, crops, reporter) and serves:
        copied = _copied(model, machine, kind, count, reporter)
    return copied or machine.embedder(model.encoder, kind=kind)


def choose_in_background(
    model: OpenedModel, machine: Machine, *, kind: str, count: int, reporter: Reporter
) -> Callable[[], Embedder]:
    """Begin to load the inference copy, if it serves, on a thread: OpenVINO makes it ready without Python's lock.

    Args:
        model: As for `choose_embedder`, and so are the others; no copy is made.
        machine: See there.
        kind: See there.
        count: See there.
        reporter: See there; may be told from the thread.

    Returns:
        What waits for the copy and returns the embedder.
    """
    check_descriptor(kind)
    if not openvino_serves(machine, count=count):
        return lambda: machine.embedder(model.encoder, kind=kind)
    pool = ThreadPoolExecutor(1)
    loading = pool.submit(_copied, model, machine, kind, count, reporter)
    pool.shutdown(wait=False)

    def finish() -> Embedder:
        copied = loading.result()
        if copied is None:
            reporter.note(
                f"{model.label()} has no inference copy that serves: torch starts, which takes longer. "
                "scing embed makes one."
            )
        return copied or machine.embedder(model.encoder, kind=kind)

    return finish


def openvino_serves(machine: Machine, *, count: int | None = None) -> bool:
    """Tell whether an inference copy does what the user asked of the machine; see `choose_embedder`."""
    if not openvino_serves_here() or machine.device not in {"auto", "cpu"} or machine.precision not in {"auto", "bf16"}:
        return False
    if machine.precision == "bf16" and not cpu_has_bf16():
        return False
    if machine.device == "cpu" or not may_have_gpu() or (count is not None and count <= FEW_PHOTOS):
        return True
    return machine.place().type == "cpu"


def _copied(
    model: OpenedModel, machine: Machine, kind: str, count: int | None, reporter: Reporter
) -> OpenVinoEmbedder | None:
    """Return the first copy that is whole; where none is, the reporter is warned of those that are not."""
    faults = []
    for place in model.copies:
        try:
            copy = load_openvino_model(place, model.digest, in_flight=1 if count == 1 else IN_FLIGHT)
        except RunError as error:
            faults.append(str(error).replace("\n", " "))
            continue
        if copy is not None:
            return OpenVinoEmbedder(copy, kind=kind, batch_size=machine.batch_size, workers=machine.threads())
    for fault in faults:
        reporter.warn(fault)
    return None


def _writable(place: Path) -> bool:
    """Tell whether a folder may be put there, in place of one that may be there."""
    return os.access(place.parent, os.W_OK) and (not place.exists() or os.access(place, os.W_OK))


def _make(model: OpenedModel, machine: Machine, crops: Crops, reporter: Reporter) -> bool:
    place = next(filter(_writable, model.copies), model.copies[-1])
    made = make_openvino_model(
        place,
        model.encoder,
        model.digest,
        crops.files,
        cameras=crops.cameras,
        workers=machine.threads(),
        reporter=reporter,
    )
    if made:
        reporter.note(f"Inference copy, for searches that start without torch: {place}")
    return made
