"""A text tower's OpenVINO model: made once, checked against the tower, and used without torch."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scing_cli.core.artifacts import FORMAT, STAMP, file_digest, write_json
from scing_cli.core.embeddings import Vectors
from scing_cli.core.embeddings.openvino_embedder import LEAST_COSINE, put_folder, sweep_temporary
from scing_cli.core.embeddings.text_embedder import TextEmbedder, Tokens, TorchTextEmbedder
from scing_cli.core.encoders.openvino_model import GRAPH, WEIGHTS, brief, open_stamped, openvino_installed
from scing_cli.core.errors import ScingError
from scing_cli.core.runtime import Reporter
from scing_cli.core.threads import default_threads

if TYPE_CHECKING:
    from scing_cli.core.encoders.text import TextEncoder

REMEDY = "It is made again."
PROBES = (  # texts with which a new model is checked
    "a man",
    "a woman in a red coat with a backpack",
    "A photo of a person.",
    "someone in a dark jacket, light trousers and white shoes, carrying a large bag over the left shoulder",
    "a tall man with short black hair wearing a blue shirt and jeans " * 6,
)


class OpenVinoTextEmbedder(TextEmbedder):
    """Embeds with a text tower's OpenVINO model: on the CPU, without torch, in float32.

    Args:
        compiled: The compiled graph.
        stamp: The content of its stamp.
    """

    def __init__(self, compiled: Any, stamp: Mapping[str, Any]) -> None:
        super().__init__(width=int(stamp["embed_dim"]), context_length=int(stamp["context_length"]))
        self.warnings: Sequence[str] = tuple(stamp.get("warnings", ()))
        self._compiled = compiled

    def features(self, tokens: Tokens) -> Vectors:
        """Return the text tower's output, shape (Q, D), float32, not of unit length."""
        return np.array(self._compiled({"ids": tokens.ids, "ends": tokens.ends})[0], np.float32)


def load_openvino_text(folder: Path, digest: str) -> OpenVinoTextEmbedder | None:
    """Load a text tower's OpenVINO model.

    Args:
        folder: The model's folder.
        digest: The digest of the CLIP; a model of another one is ignored.

    Returns:
        The model; None if there is none of this CLIP, or OpenVINO is not installed.

    Raises:
        RunError: If the model is damaged.
    """
    return open_stamped(
        folder,
        digest,
        "OpenVINO text stamp",
        lambda stamp: OpenVinoTextEmbedder(_compiled(folder), stamp),
        remedy=REMEDY,
    )


def make_openvino_text(
    folder: Path, tower: TextEncoder, digest: str, *, warnings: Sequence[str] = (), reporter: Reporter
) -> bool:
    """Make a text tower's OpenVINO model, check it, and move it to its folder; a failure is only a warning.

    Args:
        folder: The folder to make; one that exists is replaced.
        tower: The text tower.
        digest: The digest of the CLIP.
        warnings: What to warn of whenever it is used.
        reporter: Shows why it could not be made.

    Returns:
        Whether the folder now has a model of the tower.
    """
    if not openvino_installed():
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporary(folder)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            made = Path(temporary) / "copy"
            made.mkdir()
            least = _write(made, tower, digest, warnings)
            if not least >= LEAST_COSINE:  # in this form, NaN is refused as well
                reporter.warn(
                    f"The OpenVINO model of the text tower was not saved: the cosine of its vectors to the tower's is "
                    f"{least:.4f}, at least {LEAST_COSINE} is required. torch embeds instead."
                )
                return False
            put_folder(made, folder)
    except (OSError, RuntimeError, ImportError, ScingError) as error:
        reporter.warn(f"No OpenVINO model of the text tower was made in {folder} ({brief(error)}).")
        return False
    return True


def _write(folder: Path, tower: TextEncoder, digest: str, warnings: Sequence[str]) -> float:
    """Write the graph and its stamp; return the smallest cosine of its vectors to the tower's."""
    from scing_cli.core.encoders.openvino_graph import text_graph
    from scing_cli.core.encoders.openvino_runtime import openvino

    state = {name: value.detach().float().cpu().numpy() for name, value in tower.state_dict().items()}
    openvino.save_model(text_graph(state, tower.config), folder / GRAPH, compress_to_fp16=True)
    facts = {"embed_dim": tower.embed_dim, "context_length": tower.longest}
    left = OpenVinoTextEmbedder(_compiled(folder), facts).texts(PROBES)
    right = TorchTextEmbedder(tower).texts(PROBES)
    least = float((left.astype(np.float64) * right).sum(axis=1).min())
    files = {name: file_digest(folder / name) for name in (GRAPH, WEIGHTS)}
    stamp = {
        "format": FORMAT,
        "digest": digest,
        "model": tower.config,
        **facts,
        "files": files,
        "warnings": [*warnings],
    }
    write_json(folder / STAMP, {**stamp, "least_cosine": least})
    return least


def _compiled(folder: Path) -> Any:
    from scing_cli.core.encoders.openvino_runtime import openvino_core

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": default_threads()}
    return openvino_core().compile_model(folder / GRAPH, "CPU", settings)
