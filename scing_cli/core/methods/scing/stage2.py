"""Stage 2: tune the whole image encoder towards fixed identity texts (Eq. 17-20).

Shapes: B batch, N training images, K identities, D joint width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from scing_cli.core.batches import Augmentation
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.methods.losses import cross_modal_triplet, text_classification
from scing_cli.core.methods.task import Batch, Key, Losses
from scing_cli.core.runtime import autocast


class VisualTuning:
    """SCING's stage 2 as a task of the training loop.

    Args:
        encoder: What is learnt, all of it; on the training device.
        texts: w_k as stage 1 saved them, (K, D) unit length.
        labels: (N,) classes of the training images.
        logit_scale: CLIP's own, frozen (R7).
        augmentation: Flip, crop and erase.
        triplet_weight: gamma of Eq. 20.
        margin: alpha of Eq. 18.
        label_smoothing: Of Eq. 17; the paper has none.
        precision: Of the tower (R17).
    """

    name = "train-visual"
    reads_images = True

    def __init__(
        self,
        *,
        encoder: ImageEncoder,
        texts: Tensor,
        labels: Tensor,
        logit_scale: float,
        augmentation: Augmentation,
        triplet_weight: float,
        margin: float,
        label_smoothing: float,
        precision: str,
    ) -> None:
        self.encoder = encoder.requires_grad_(True)
        self.texts = texts.detach()
        self.labels = labels
        self.logit_scale = logit_scale
        self.augmentation = augmentation
        self.triplet_weight = triplet_weight
        self.margin = margin
        self.label_smoothing = label_smoothing
        self.precision = precision

    def learnt(self) -> ImageEncoder:
        """Return the image encoder: nothing else has a gradient."""
        return self.encoder

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return L_ce and gamma * L_trp of a batch (Eq. 17-20)."""
        if batch.pixels is None:
            raise ValueError("stage 2 reads images: the batch has no pixels")
        labels = self.labels[list(batch.rows)]
        with autocast(batch.pixels.device, self.precision):
            features = self.encoder(self.augmentation(batch.pixels, *key)).projected
        images = F.normalize(features.float(), dim=1)
        identity = text_classification(
            images, self.texts, labels, self.logit_scale, label_smoothing=self.label_smoothing
        )
        triplet, active = cross_modal_triplet(images, self.texts, labels, self.margin)
        return Losses({"identity": identity, "triplet": self.triplet_weight * triplet}, {"active_share": active})
