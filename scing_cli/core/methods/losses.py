"""Loss functions of both stages: pure functions of float32 vectors.

Shapes: B batch, K identities in training, D width of the joint image-text space. "Unit" means unit length.
"Prepared" means returned by `Similarity.prepare`: of unit length for `cosine`, unchanged for `dot`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Similarity:
    """How the losses compare images and texts. Stage 2 uses the similarity of stage 1.

    `cosine` is the cosine over CLIP's own frozen temperature (R4, R7). `dot` is the dot product of the
    towers' features at temperature 1, as in CLIP-ReID.

    Args:
        kind: `cosine` or `dot`.
        logit_scale: CLIP's own, 1 / tau.
    """

    kind: str
    logit_scale: float

    @property
    def scale(self) -> float:
        """Factor of the dot products of prepared vectors."""
        return self.logit_scale if self.kind == "cosine" else 1.0

    def prepare(self, vectors: Tensor) -> Tensor:
        """Return (B, D) features as float32; of unit length for `cosine`."""
        return F.normalize(vectors.float(), dim=1) if self.kind == "cosine" else vectors.float()

    def unit(self, prepared: Tensor) -> Tensor:
        """Return prepared vectors (B, D) scaled to unit length."""
        return prepared if self.kind == "cosine" else F.normalize(prepared, dim=1)


def supervised_contrast(anchors: Tensor, others: Tensor, labels: Tensor, scale: float) -> Tensor:
    """Supervised contrastive loss: all rows of the anchor's identity are positives (Eq. 1, R4).

    Args:
        anchors: (B, D) prepared.
        others: (B, D) prepared; row j is of the same image as anchor j.
        labels: (B,) class of each row.
        scale: Of the similarity.

    Returns:
        Scalar: the mean over anchors of the mean over their positives of -log softmax. With n positives per anchor,
        it is at least ln n.
    """
    log_probability = (scale * anchors @ others.T).log_softmax(dim=1)  # (B, B)
    positive = (labels[:, None] == labels[None, :]).to(log_probability.dtype)
    return -((log_probability * positive).sum(1) / positive.sum(1)).mean()


def single_contrast(anchors: Tensor, others: Tensor, scale: float) -> Tensor:
    """InfoNCE: only the row of the anchor's own image is a positive (Eq. 1 as printed).

    Args:
        anchors: (B, D) prepared.
        others: (B, D) prepared.
        scale: Of the similarity.

    Returns:
        Scalar mean over anchors.
    """
    target = torch.arange(len(anchors), device=anchors.device)
    return F.cross_entropy(scale * anchors @ others.T, target)


def consistency(original: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Consistency loss of an image's three texts (Eq. 13-14): 1 - mean of the three pairwise cosines.

    Args:
        original: w, (B, D) unit.
        first: w', (B, D) unit.
        second: w'', (B, D) unit.

    Returns:
        Scalar mean over the batch, in [0, 1.5].
    """
    cosines = (original * first).sum(1) + (original * second).sum(1) + (first * second).sum(1)  # (B,)
    return (1 - cosines / 3).mean()


def text_classification(
    images: Tensor, texts: Tensor, labels: Tensor, scale: float, *, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of images over the texts of all identities (Eq. 17), with CLIP's frozen logit scale (R7).

    Args:
        images: (B, D) prepared.
        texts: w_k, (K, D) prepared.
        labels: (B,) in 0..K-1.
        scale: Of the similarity.
        label_smoothing: The paper uses 0.

    Returns:
        Scalar mean over the batch.
    """
    return F.cross_entropy(scale * images @ texts.T, labels, label_smoothing=label_smoothing)


def cross_modal_triplet(images: Tensor, texts: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Triplet loss with an image as anchor, its text as positive, an image as negative (Eq. 18-19, R8).

    Distances are 1 - cosine. The negative is the nearest image of another identity in the batch.

    Args:
        images: (B, D) unit, of at least two identities.
        texts: w_k, (K, D) unit.
        labels: (B,) in 0..K-1.
        margin: alpha of Eq. 18.

    Returns:
        The scalar mean over the batch, and the share of rows with a positive loss (no gradient).
    """
    positive = 1 - (images * texts[labels]).sum(1)  # (B,)
    distances = 1 - images @ images.T  # (B, B)
    same = labels[:, None] == labels[None, :]
    hardest = distances.masked_fill(same, torch.inf).amin(1)  # (B,)
    hinge = (positive - hardest + margin).clamp_min(0)
    return hinge.mean(), (hinge.detach() > 0).float().mean()


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Batch-hard triplet loss by Euclidean distance, as in CLIP-ReID: farthest positive, nearest negative.

    A row is also a positive of itself, at distance 0.

    Args:
        features: (B, D) of any length, of at least two identities.
        labels: (B,) in 0..K-1.
        margin: Added to the distance of the positive.

    Returns:
        The scalar mean over the batch.
    """
    # the matrix-product form of the distance loses digits for close rows
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B)
    same = labels[:, None] == labels[None, :]
    farthest = distances.masked_fill(~same, 0).amax(1)
    nearest = distances.masked_fill(same, torch.inf).amin(1)
    return (farthest - nearest + margin).clamp_min(0).mean()
