"""Embeds images with an image tower's OpenVINO model; builds this model and checks it against the tower.

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
from scing_cli.core.batches import PixelBatch, normalise
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.encoders.openvino_model import (
    OpenVinoFeatures,
    OpenVinoModel,
    brief,
    load_openvino_model,
    openvino_installed,
    read_stamp,
    remember_openvino_model,
    write_openvino_model,
)
from scing_cli.core.errors import RunError, ScingError
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.spectra import Source, file_of, in_words

if TYPE_CHECKING:
    from scing_cli.core.encoders.spectral import AnyImageEncoder

LEAST_COSINE = 0.999  # smallest cosine similarity to the tower's vectors with which a new model is accepted
CROPS = 16  # images that a new model is checked with
AT_ONCE = 16  # images per batch: larger batches are not faster
IN_FLIGHT = 2  # batches: while one is encoded, the next one is prepared
ABANDONED = 3600  # seconds after which a temporary folder is considered abandoned


class OpenVinoEmbedder(Embedder):
    """Embeds with an image tower's OpenVINO model: on the CPU, without torch.

    Args:
        model: The OpenVINO model.
        kind: As for `Embedder`.
        batch_size: As for `Embedder`; at most `AT_ONCE`.
        workers: As for `Embedder`.
    """

    engine = "openvino"

    def __init__(self, model: OpenVinoModel, *, kind: str, batch_size: int, workers: int) -> None:
        super().__init__(
            geometry=model.geometry,
            cameras=model.cameras,
            embed_dim=model.embed_dim,
            tower_width=model.width,
            kind=kind,
            precision=model.precision,
            batch_size=min(batch_size, AT_ONCE),
            workers=workers,
        )
        self.model = model

    def stream(self, batches: Iterable[PixelBatch], *, unit: bool = True) -> Iterator[tuple[list[int], Vectors]]:
        """Embed batches as `Embedder.stream` describes."""
        mean, std = self.geometry.mean, self.geometry.std
        normal = ((batch.rows, normalise(batch.pixels, mean, std), batch.cameras) for batch in batches)
        for rows, features in self.model.stream(normal):
            yield rows, _descriptor(features, self.kind, unit=unit)


def make_openvino_model(
    folder: Path,
    encoder: AnyImageEncoder,
    digest: str,
    crops: Sequence[Source],
    *,
    cameras: Sequence[str] | None = None,
    workers: int = 1,
    reporter: Reporter,
) -> bool:
    """Build a tower's OpenVINO model and save it if its vectors agree with the tower's.

    Both embed the crops, the tower in float32. For each crop and both kinds of descriptor, the cosine similarity must
    be at least `LEAST_COSINE`. Otherwise the model is discarded and the reporter shows a warning. A previous model in
    the folder is replaced.

    Args:
        folder: Target folder; it is written completely or not at all.
        encoder: The tower, on any device.
        digest: The tower's digest.
        crops: Typical images; the first `CROPS` are used.
        cameras: Cameras of the images, for a tower with camera vectors.
        workers: Number of threads that decode images.
        reporter: Shows a warning if the model cannot be made, or a note if none is made of an encoder of several
            spectra.

    Returns:
        Whether the folder now has a valid model of the tower.
    """
    if not openvino_installed() or not crops:
        return False
    if encoder.spectra:
        reporter.note(f"{no_openvino(encoder.spectra)} torch embeds.")
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporary(folder)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            made = Path(temporary) / "copy"
            made.mkdir()
            _write(made, encoder, digest)
            least = _least_cosine(made, encoder, digest, crops[:CROPS], cameras=cameras, workers=workers)
            if not least >= LEAST_COSINE:  # in this form, NaN is refused as well
                reporter.warn(
                    f"The OpenVINO model was not saved: the cosine of its vectors to the encoder's is {least:.4f}, "
                    f"at least {LEAST_COSINE} is required. torch embeds instead."
                )
                return False
            write_json(made / STAMP, {**(read_stamp(made) or {}), "least_cosine": least, "crops": len(crops[:CROPS])})
            put_folder(made, folder)
            remember_openvino_model(folder)
    except (OSError, RuntimeError, ImportError, ScingError) as error:
        if _is_valid(folder, digest):  # another process has made it meanwhile
            return True
        reporter.warn(f"No OpenVINO model was made in {folder} ({brief(error)}): torch embeds instead.")
        return False
    return True


def no_openvino(spectra: tuple[str, ...]) -> str:
    """Return the sentence that an encoder of these spectra has no OpenVINO model."""
    return f"An encoder of {in_words(spectra)} images has no OpenVINO model:"


def _is_valid(folder: Path, digest: str) -> bool:
    try:
        return load_openvino_model(folder, digest) is not None
    except RunError:
        return False


def sweep_temporary(folder: Path) -> None:
    """Remove the temporary folders of killed processes next to a model's folder."""
    for temporary in folder.parent.glob(f".{folder.name}-*"):
        with contextlib.suppress(FileNotFoundError):  # another process may have just removed it
            if time.time() - temporary.stat().st_mtime > ABANDONED:
                shutil.rmtree(temporary, ignore_errors=True)


def put_folder(made: Path, folder: Path) -> None:
    """Move a model to its folder; a previous one is moved into the temporary folder and deleted with it."""
    if folder.exists():
        folder.rename(made.with_name("former"))
    made.rename(folder)


def _write(folder: Path, encoder: AnyImageEncoder, digest: str) -> None:
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
    encoder: AnyImageEncoder,
    digest: str,
    crops: Sequence[Source],
    *,
    cameras: Sequence[str] | None,
    workers: int,
) -> float:
    """Embed crops with a model and with its tower in float32; return the smallest cosine of both descriptors."""
    from scing_cli.core.embeddings.torch_embedder import TorchEmbedder

    model = load_openvino_model(folder, digest)
    if model is None:
        raise RunError(f"{folder} does not contain the model that was written.")
    camera = cameras[: len(crops)] if cameras is not None else None
    size, device = len(crops), encoder.proj.device
    least, left_out = 1.0, LeftOut()
    for kind in ("projected", "concat"):
        tower = TorchEmbedder(encoder, kind=kind, device=device, precision="fp32", batch_size=size, workers=workers)
        openvino = OpenVinoEmbedder(model, kind=kind, batch_size=size, workers=workers)
        left, right = (
            each.files(crops, cameras=camera, reporter=Silent(), text="", left_out=left_out)
            for each in (tower, openvino)
        )
        files = [file_of(source) for source in crops]
        left_out.check_not_all(files)
        kept = [row for row, file in enumerate(files) if file not in left_out]
        least = min(least, float((left.astype(np.float64) * right).sum(axis=1)[kept].min()))
    return least


def _descriptor(features: OpenVinoFeatures, kind: str, *, unit: bool) -> Vectors:
    """Compute descriptors from features, as `encoders.image.descriptor` does."""
    joined = features.projected
    if kind == "concat":
        joined = np.concatenate([features.cls, joined], axis=1)
    if not unit:
        return joined
    lengths = np.sqrt(np.square(joined, dtype=np.float64).sum(axis=1, keepdims=True))
    result: Vectors = (joined / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result
