"""Embedding with an image tower's inference copy, and making one: it must agree with the tower on real crops.

Shapes: B batch, D width of the descriptor.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scing_cli.core.artifacts import STAMP, write_json
from scing_cli.core.batches import Pixels, normalise
from scing_cli.core.embeddings import Embedder, Places, Vectors
from scing_cli.core.encoders.openvino_model import (
    OpenVinoFeatures,
    OpenVinoModel,
    brief,
    load_openvino_model,
    openvino_serves_here,
    read_stamp,
    remember_openvino_model,
    write_openvino_model,
)
from scing_cli.core.errors import RunError, ScingError
from scing_cli.core.runtime import Reporter, Silent

if TYPE_CHECKING:
    from scing_cli.core.encoders.image import ImageEncoder

LEAST_COSINE = 0.999
CROPS = 16  # that a new copy is tried on
AT_ONCE = 16  # images: more of them are not faster
IN_FLIGHT = 2  # batches: while one is encoded, the next is made ready
ABANDONED = 3600  # seconds


class OpenVinoEmbedder(Embedder):
    """An image tower's inference copy: on the CPU, without torch.

    Args:
        copy: The copy.
        kind: As for `Embedder`, and so are the others.
        batch_size: See there; at most `AT_ONCE` are taken at a time.
        workers: See there.
    """

    engine = "openvino"

    def __init__(self, copy: OpenVinoModel, *, kind: str, batch_size: int, workers: int) -> None:
        super().__init__(
            geometry=copy.geometry,
            cameras=copy.cameras,
            embed_dim=copy.embed_dim,
            tower_width=copy.width,
            kind=kind,
            precision=copy.precision,
            batch_size=min(batch_size, AT_ONCE),
            workers=workers,
        )
        self.copy = copy

    def stream(
        self, batches: Iterable[tuple[list[int], Pixels, Places | None]], *, unit: bool = True
    ) -> Iterator[tuple[list[int], Vectors]]:
        """Embed batches; see `Embedder.stream`."""
        mean, std = self.geometry.mean, self.geometry.std
        normal = ((rows, normalise(pixels, mean, std), cameras) for rows, pixels, cameras in batches)
        for rows, features in self.copy.stream(normal):
            yield rows, _descriptor(features, self.kind, unit=unit)


def make_openvino_model(
    folder: Path,
    encoder: ImageEncoder,
    digest: str,
    crops: Sequence[Path],
    *,
    cameras: Sequence[str] | None = None,
    workers: int = 1,
    reporter: Reporter,
) -> bool:
    """Make the inference copy of a tower, if it agrees with it; a former copy in the folder gives way.

    Both embed the crops, the tower in float32: each crop's two descriptors must have a cosine of `LEAST_COSINE` to the
    copy's. A copy that has not is not kept, and the reporter is warned.

    Args:
        folder: Where it shall lie; it appears whole or not at all.
        encoder: The tower, on any device.
        digest: By which it is known.
        crops: Images such as it is for; the first `CROPS` are taken.
        cameras: Their cameras, for a tower that knows some.
        workers: Threads that decode.
        reporter: Is warned where there can be no copy.

    Returns:
        Whether there is one now.
    """
    if not openvino_serves_here() or not crops:
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
            made = Path(place) / "copy"
            made.mkdir()
            _write(made, encoder, digest)
            least = _least_cosine(made, encoder, digest, crops[:CROPS], cameras=cameras, workers=workers)
            if not least >= LEAST_COSINE:
                reporter.warn(
                    f"The inference copy was not kept: its vectors have a cosine of {least:.4f} to the model's own, "
                    f"{LEAST_COSINE} is the least. torch embeds instead."
                )
                return False
            write_json(made / STAMP, {**(read_stamp(made) or {}), "least_cosine": least, "crops": len(crops[:CROPS])})
            _put(made, folder)
            remember_openvino_model(folder)
    except (OSError, RuntimeError, ImportError, ScingError) as error:
        if _is_whole(folder, digest):  # another process was quicker
            return True
        reporter.warn(f"No inference copy was made in {folder} ({brief(error)}): torch embeds instead.")
        return False
    return True


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        return load_openvino_model(folder, digest) is not None
    except RunError:
        return False


def _sweep(folder: Path) -> None:
    """Remove what makers that were killed have left beside a copy."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        with contextlib.suppress(FileNotFoundError):  # another maker's, which has just ended
            if time.time() - left.stat().st_mtime > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def _put(made: Path, folder: Path) -> None:
    """Move a copy to its place; a former one is moved aside, and goes with the temporary folder."""
    if folder.exists():
        folder.rename(made.with_name("former"))
    made.rename(folder)


def _write(folder: Path, encoder: ImageEncoder, digest: str) -> None:
    facts = {
        "digest": digest,
        "geometry": encoder.geometry.as_dict(),
        "model": encoder.config,
        "embed_dim": encoder.embed_dim,
    }
    state = {name: value.detach().float().cpu().numpy() for name, value in encoder.state_dict().items()}
    write_openvino_model(folder, state, facts)


def _least_cosine(
    folder: Path,
    encoder: ImageEncoder,
    digest: str,
    crops: Sequence[Path],
    *,
    cameras: Sequence[str] | None,
    workers: int,
) -> float:
    """Embed crops with a copy and with its tower, in float32; return the least cosine of either descriptor."""
    from scing_cli.core.embeddings.torch_embedder import TorchEmbedder

    copy = load_openvino_model(folder, digest)
    if copy is None:
        raise RunError(f"{folder} is not the copy that was written.")
    own = cameras[: len(crops)] if cameras is not None else None
    size, device = len(crops), encoder.proj.device
    least = 1.0
    for kind in ("projected", "concat"):
        tower = TorchEmbedder(encoder, kind=kind, device=device, precision="fp32", batch_size=size, workers=workers)
        copied = OpenVinoEmbedder(copy, kind=kind, batch_size=size, workers=workers)
        left, right = (each.files(crops, cameras=own, reporter=Silent(), text="") for each in (tower, copied))
        least = min(least, float((left.astype(np.float64) * right).sum(axis=1).min()))
    return least


def _descriptor(features: OpenVinoFeatures, kind: str, *, unit: bool) -> Vectors:
    """Turn features into descriptors as `encoders.image.descriptor` does."""
    joined = features.projected
    if kind == "concat":
        joined = np.concatenate([features.cls, joined], axis=1)
    if not unit:
        return joined
    lengths = np.sqrt(np.square(joined, dtype=np.float64).sum(axis=1, keepdims=True))
    result: Vectors = (joined / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result
