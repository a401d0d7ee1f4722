"""The losses, as pure functions of float32 vectors.

Shapes: B batch, K identities in training, D width of the joint image-text space. "Unit" means unit length.
"Prepared" means as `Similarity.prepare` leaves them: unit, or as the towers gave them.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Similarity:
    """How images and texts are compared by the losses; the texts of a run are compared in stage 2 as in stage 1.

    `cosine` is the cosine over CLIP's own frozen temperature (R4, R7). `dot` is the dot product of features as the
    towers give them, at temperature 1: CLIP-ReID's.

    Args:
        kind: `cosine` or `dot`.
        logit_scale: CLIP's own, 1 / tau.
    """

    kind: str
    logit_scale: float

    @property
    def scale(self) -> float:
        """What products of prepared vectors are multiplied by."""
        return self.logit_scale if self.kind == "cosine" else 1.0

    def prepare(self, vectors: Tensor) -> Tensor:
        """Return (B, D) features as float32, made unit length for the cosine."""
        return F.normalize(vectors.float(), dim=1) if self.kind == "cosine" else vectors.float()

    def unit(self, prepared: Tensor) -> Tensor:
        """Return the unit vectors (B, D) of prepared ones."""
        return prepared if self.kind == "cosine" else F.normalize(prepared, dim=1)


def supervised_contrast(anchors: Tensor, others: Tensor, labels: Tensor, scale: float) -> Tensor:
    """Contrast each anchor with all others, every one of its identity being a positive (Eq. 1, R4).

    Args:
        anchors: (B, D) prepared.
        others: (B, D) prepared, row j belonging to the same image as anchor j.
        labels: (B,) class of each row.
        scale: Of the similarity.

    Returns:
        Scalar: the mean over anchors of the mean over their positives of -log softmax. With n positives each, its
        floor is ln n.
    """
    log_probability = (scale * anchors @ others.T).log_softmax(dim=1)  # (B, B)
    positive = (labels[:, None] == labels[None, :]).to(log_probability.dtype)
    return -((log_probability * positive).sum(1) / positive.sum(1)).mean()


def single_contrast(anchors: Tensor, others: Tensor, scale: float) -> Tensor:
    """Contrast each anchor with all others, its own row being the one positive (Eq. 1 to the letter: InfoNCE).

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
    """Pull the three texts of one image together (Eq. 13-14): 1 - mean of the three pairwise cosines.

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
    """Classify images by all identities' texts (Eq. 17), with CLIP's frozen logit scale (R7).

    Args:
        images: (B, D) prepared.
        texts: w_k, (K, D) prepared.
        labels: (B,) in 0..K-1.
        scale: Of the similarity.
        label_smoothing: 0 is the paper's.

    Returns:
        Scalar mean over the batch.
    """
    return F.cross_entropy(scale * images @ texts.T, labels, label_smoothing=label_smoothing)


def cross_modal_triplet(images: Tensor, texts: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Keep an image nearer to its own text than to the nearest image of another identity (Eq. 18-19, R8).

    Distances are 1 - cosine. The nearest such image is the hardest negative of the batch.

    Args:
        images: (B, D) unit, of at least two identities.
        texts: w_k, (K, D) unit.
        labels: (B,) in 0..K-1.
        margin: alpha of Eq. 18.

    Returns:
        The scalar mean over the batch, and the share of rows whose hinge is active (no gradient).
    """
    own = 1 - (images * texts[labels]).sum(1)  # (B,)
    distances = 1 - images @ images.T  # (B, B)
    same = labels[:, None] == labels[None, :]
    hardest = distances.masked_fill(same, torch.inf).amin(1)  # (B,)
    hinge = (own - hardest + margin).clamp_min(0)
    return hinge.mean(), (hinge.detach() > 0).float().mean()


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Keep each row's farthest positive nearer than its nearest negative, by Euclidean distance (CLIP-ReID's triplet).

    A row is a positive of itself, at distance 0.

    Args:
        features: (B, D) of any length, of at least two identities.
        labels: (B,) in 0..K-1.
        margin: By how much.

    Returns:
        The scalar mean over the batch.
    """
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B)
    same = labels[:, None] == labels[None, :]
    farthest = distances.masked_fill(~same, 0).amax(1)
    nearest = distances.masked_fill(same, torch.inf).amin(1)
    return (farthest - nearest + margin).clamp_min(0).mean()
