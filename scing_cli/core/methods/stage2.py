"""Stage 2 of every method: tune the whole image encoder towards fixed identity texts (Eq. 17-20).

Shapes: B batch, N training images, K identities, D joint width.
"""

from __future__ import annotations

from torch import Tensor, nn

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.compiled import CompiledBlock
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods.augmentation import augmentation_of
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.objectives import Objective, build_objective
from scing_cli.core.methods.task import Batch, Key, Losses
from scing_cli.core.runtime import autocast, to_device
from scing_cli.core.settings import VisualSettings


class VisualTuning:
    """A stage 2 as a task of the training loop.

    Args:
        encoder: What is learnt, all of it; on the training device.
        objective: The losses; what it holds is learnt too.
        labels: (N,) classes of the training images.
        cameras: (N,) places of their cameras' vectors in the encoder (R15); None for an encoder without.
        augmentation: Flip, crop and erase.
        precision: Of the tower (R17).
        run: How the tower's blocks before the last are run; None for `run_block`.
    """

    name = "train-visual"
    reads_images = True

    def __init__(
        self,
        *,
        encoder: ImageEncoder,
        objective: Objective,
        labels: Tensor,
        cameras: Tensor | None,
        augmentation: Augmentation,
        precision: str,
        run: RunBlock | None = None,
    ) -> None:
        self.encoder = encoder.requires_grad_(True)
        self.objective = objective
        self.labels = labels
        self.cameras = cameras
        self.augmentation = augmentation
        self.precision = precision
        self.run = run
        self._learnt = nn.ModuleDict({"encoder": encoder, "objective": objective})

    def trainable(self) -> nn.Module:
        """Return the image encoder and what the objective learns: nothing else has a gradient."""
        return self._learnt

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return the objective's terms of a batch."""
        if batch.pixels is None:
            raise ValueError("stage 2 reads images: the batch has no pixels")
        rows = to_device(list(batch.rows), self.labels.device)
        cameras = None if self.cameras is None else self.cameras[rows]
        with autocast(batch.pixels.device, self.precision):
            features = self.encoder(self.augmentation(batch.pixels, *key), cameras, run=self.run)
        result: Losses = self.objective(features, self.labels[rows])
        return result


def tune_visual(
    settings: VisualSettings,
    *,
    encoder: ImageEncoder,
    texts: Tensor,
    similarity: Similarity,
    labels: Tensor,
    cameras: Tensor | None,
    precision: str,
) -> VisualTuning:
    """Build stage 2 on the texts that stage 1 left.

    Args:
        settings: Checked settings; they choose the losses.
        encoder: As for `VisualTuning`, with `labels`, `cameras` and `precision`.
        texts: w_k as stage 1 saved them, (K, D), on the device.
        similarity: How stage 1 compared them with images.
        labels: See there.
        cameras: See there.
        precision: See there.
    """
    objective = build_objective(settings, encoder=encoder, texts=texts, similarity=similarity)
    return VisualTuning(
        encoder=encoder,
        objective=objective.to(texts.device),
        labels=labels,
        cameras=cameras,
        augmentation=augmentation_of(settings, encoder.geometry, occlusion=settings.occlusion),
        precision=precision,
        run=CompiledBlock() if settings.compile else None,
    )
