"""Losses of stage 2 (`--stage2-loss`): those of the paper and those of CLIP-ReID. Every method can use both.

Shapes: B batch, K identities, W width of the image tower, D joint width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scing_cli.core.encoders.image import ImageFeatures
from scing_cli.core.encoders.spectral import AnyImageEncoder
from scing_cli.core.methods.losses import Similarity, batch_hard_triplet, cross_modal_triplet, text_classification
from scing_cli.core.methods.task import Losses
from scing_cli.core.runtime import draw_seed, seeded
from scing_cli.core.settings import VisualSettings

IDENTITY_WEIGHT = 0.25  # value of CLIP-ReID


class Objective(nn.Module):
    """Base of both kinds of losses: the texts of the identities, and how images are compared with them.

    Args:
        texts: w_k, (K, D) float32, prepared for the similarity, as stage 1 saved them; frozen.
        similarity: The one that stage 1 used.
        triplet_weight: gamma of Eq. 20, or the weight of CLIP-ReID's triplet loss.
        margin: Of the triplet loss.
        label_smoothing: Of all cross-entropies.
    """

    text_term = "identity"  # the name of Eq. 17's term
    texts: Tensor

    def __init__(
        self, *, texts: Tensor, similarity: Similarity, triplet_weight: float, margin: float, label_smoothing: float
    ) -> None:
        super().__init__()
        self.register_buffer("texts", texts.detach(), persistent=False)
        self.similarity = similarity
        self.triplet_weight = triplet_weight
        self.margin = margin
        self.label_smoothing = label_smoothing

    def forward(self, features: ImageFeatures, labels: Tensor) -> Losses:
        """Return the loss terms of a batch from its image features and its classes, (B,)."""
        raise NotImplementedError

    def text_scores(self, features: Tensor) -> Tensor:
        """Return the scaled similarities (B, K) of projected features (B, D) with the texts of all identities."""
        return self.similarity.scale * self.similarity.prepare(features) @ self.texts.T

    def image_to_text(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of prepared images (B, D) over the texts of all identities (Eq. 17)."""
        scale, smoothing = self.similarity.scale, self.label_smoothing
        return text_classification(images, self.texts, labels, scale, label_smoothing=smoothing)


class PaperObjective(Objective):
    """Losses of SCING: L_ce + gamma * L_trp (Eq. 17-20)."""

    def forward(self, features: ImageFeatures, labels: Tensor) -> Losses:
        """Return L_ce and gamma * L_trp. The triplet loss uses 1 - cosine for every similarity (R8)."""
        images = self.similarity.prepare(features.projected)
        identity = self.image_to_text(images, labels)
        unit = self.similarity.unit
        triplet, active = cross_modal_triplet(unit(images), unit(self.texts), labels, self.margin)
        return Losses({"identity": identity, "triplet": self.triplet_weight * triplet}, {"active_share": active})


class ClipReidObjective(Objective):
    """Losses of CLIP-ReID: identity heads, a batch-hard triplet over three features, image-to-text classification.

    The heads are linear layers without bias, on the class token and on its projection. Before each is a batch
    normalisation (BN neck) whose bias stays at zero. Heads and necks are trained but not saved: inference does not use
    them.

    Args:
        encoder: Defines the widths of heads and necks.
        settings: The arguments of `Objective`.
    """

    text_term = "image_to_text"

    def __init__(self, encoder: AnyImageEncoder, **settings: Any) -> None:
        super().__init__(**settings)
        self.necks = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for name, width in (("cls", encoder.width), ("projected", encoder.embed_dim)):
            self.necks[name], self.heads[name] = neck_and_head(width, len(self.texts))

    def forward(self, features: ImageFeatures, labels: Tensor) -> Losses:
        """Return the identity, triplet and image-to-text terms, weighted."""
        whole = ImageFeatures(*(part.float() for part in features))
        scores = [head(self.necks[name](getattr(whole, name))) for name, head in self.heads.items()]  # (B, K) each
        identity = [F.cross_entropy(score, labels, label_smoothing=self.label_smoothing) for score in scores]
        triplet = [
            batch_hard_triplet(part, labels, self.margin) for part in (whole.previous, whole.cls, whole.projected)
        ]
        return Losses(
            {
                "identity": IDENTITY_WEIGHT * torch.stack(identity).sum(),
                "triplet": self.triplet_weight * torch.stack(triplet).sum(),
                "image_to_text": self.image_to_text(self.similarity.prepare(whole.projected), labels),
            },
            {},
        )


def neck_and_head(width: int, identities: int) -> tuple[nn.BatchNorm1d, nn.Linear]:
    """Return a BN neck whose bias stays at zero, and a classifier without bias, with weights from N(0, 0.001)."""
    head, neck = nn.Linear(width, identities, bias=False), nn.BatchNorm1d(width)
    nn.init.normal_(head.weight, std=0.001)
    neck.bias.requires_grad_(False)
    return neck, head


def build_objective(
    settings: VisualSettings, *, encoder: AnyImageEncoder, texts: Tensor, similarity: Similarity
) -> Objective:
    """Build the losses that the settings choose; the seed of the settings initialises their parameters."""
    options: dict[str, Any] = {
        "texts": texts,
        "similarity": similarity,
        "triplet_weight": settings.triplet_weight,
        "margin": settings.margin,
        "label_smoothing": settings.label_smoothing,
    }
    with seeded(draw_seed(settings.seed, "train-visual", "initialisation")):
        return (
            ClipReidObjective(encoder, **options) if settings.stage2_loss == "clip-reid" else PaperObjective(**options)
        )
