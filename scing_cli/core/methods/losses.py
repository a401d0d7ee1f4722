"""Loss functions of both stages: pure functions of float32 vectors.

Shapes: B batch, K identities in training, D width of the joint image-text space. "Unit" means unit length.
"Prepared" means returned by `Similarity.prepare`: of unit length for `cosine`, unchanged for `dot`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

PAIR_SCALE = 50.0  # 1 / 0.02, the fixed temperature of losses over pairs of image and text (PD12)
UNWANTED = 1e-8  # added to the wanted distribution of `sdm`


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
    return mean_over_positives(log_probability, positive)


def mean_over_positives(log_probability: Tensor, positive: Tensor) -> Tensor:
    """Return the scalar mean over rows of the mean over their positives of -log p.

    Args:
        log_probability: (B, M).
        positive: (B, M), 1 for a positive, else 0; at least one in each row.
    """
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
    pairs = ((original, first), (original, second), (first, second))
    # 1 - cos of unit vectors is half their squared distance. Texts start equal; there, the gradient of 1 - cos would be
    # rounding alone, and Adam makes whole steps of it.
    distances = [(one - other).square().sum(1) for one, other in pairs]  # (B,)
    return torch.stack(distances).sum(0).mean() / 6


def image_consistency(features: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Consistency of the texts of both views with the image's own feature (R20): (1 - cos(V, w')) + (1 - cos(V, w'')).

    Args:
        features: V, (B, D) unit, of the image as it is.
        first: w', (B, D) unit.
        second: w'', (B, D) unit.

    Returns:
        Scalar mean over the batch, in [0, 4].
    """
    return (2 - (features * first).sum(1) - (features * second).sum(1)).mean()


def own_condition_contrast(images: Tensor, texts: Tensor, own: Tensor, scale: float) -> Tensor:
    """Image-to-text contrast in which all texts that an image is compared with have its own condition (R21).

    Args:
        images: (B, D) prepared.
        texts: (B, P, D) prepared: under each image's condition, a text of each identity in the batch.
        own: (B,) in 0..P-1, the image's own identity.
        scale: Of the similarity.

    Returns:
        Scalar mean over images of -log softmax at the own identity. There is one positive: its least value is 0.
    """
    return F.cross_entropy(scale * torch.einsum("bd,bpd->bp", images, texts), own)


def sdm(images: Tensor, texts: Tensor, labels: Tensor, scale: float = PAIR_SCALE) -> Tensor:
    """Similarity distribution matching of pairs of image and text, in both directions (PD6, PD12).

    The softmax p of a row's cosines is pulled towards q, which is uniform over the rows of the same identity:
    KL(p || q) = sum_j p_ij (log p_ij - log(q_ij + 1e-8)). The constant limits what one wrong pair costs to 18.4 nats.

    Args:
        images: (B, D) of any length.
        texts: (B, D) of any length; row i belongs to image i.
        labels: (B,) identity of each pair.
        scale: 1 / temperature.

    Returns:
        Scalar: the sum over both directions of the mean over rows.
    """
    scores = scale * F.normalize(images.float(), dim=1) @ F.normalize(texts.float(), dim=1).T  # (B, B)
    same = (labels[:, None] == labels[None, :]).to(scores.dtype)
    log_wanted = (same / same.sum(1, keepdim=True) + UNWANTED).log()  # the same in both directions
    directions = (each.log_softmax(dim=1) for each in (scores, scores.T))
    return torch.stack([(log_p.exp() * (log_p - log_wanted)).sum(1).mean() for log_p in directions]).sum()


def itc(images: Tensor, texts: Tensor, labels: Tensor, scale: float = PAIR_SCALE) -> Tensor:
    """Image-text contrast of CLIP, in both directions: cross-entropy of the cosines' softmax (PD7).

    All pairs of one identity are positives of each other, with equal shares of the target: another caption of a person
    is not a negative. So n pairs of each identity give at least ln n; with one pair each, it is CLIP's own loss.

    Args:
        images: (B, D) of any length.
        texts: (B, D) of any length; row i belongs to image i.
        labels: (B,) identity of each pair.
        scale: 1 / temperature.

    Returns:
        Scalar: the mean of both directions.
    """
    images, texts = (F.normalize(each.float(), dim=1) for each in (images, texts))
    directions = ((images, texts), (texts, images))
    return torch.stack([supervised_contrast(*each, labels, scale) for each in directions]).mean()


def shared_identity(image_scores: Tensor, text_scores: Tensor, labels: Tensor) -> Tensor:
    """Identity loss of pairs whose images and texts have one classifier, without label smoothing (PD7).

    Args:
        image_scores: (B, K) of the images.
        text_scores: (B, K) of the texts.
        labels: (B,) in 0..K-1.

    Returns:
        Scalar: the mean of both cross-entropies.
    """
    return (F.cross_entropy(image_scores.float(), labels) + F.cross_entropy(text_scores.float(), labels)) / 2


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
    farthest, nearest = _hardest(features, labels)
    return (farthest - nearest + margin).clamp_min(0).mean()


def soft_triplet(features: Tensor, labels: Tensor) -> Tensor:
    """Batch-hard triplet loss with a soft margin: the mean of log(1 + exp(farthest positive - nearest negative)).

    Args:
        features: (B, D) of any length, of at least two identities.
        labels: (B,) in 0..K-1.

    Returns:
        The scalar mean over the batch.
    """
    farthest, nearest = _hardest(features, labels)
    return F.softplus(farthest - nearest).mean()


def _hardest(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's Euclidean distance to its farthest positive and to its nearest negative, (B,) each."""
    # the matrix-product form of the distance loses digits for close rows
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")  # (B, B)
    same = labels[:, None] == labels[None, :]
    return distances.masked_fill(~same, 0).amax(1), distances.masked_fill(same, torch.inf).amin(1)
