"""Moving centroids of the identities beside their fixed texts, in stage 2: SCING + centroids (ours).

Stage 2 of the paper has a fixed text for each identity, and a triplet inside the batch. What it lacks is an anchor that
moves with the images and is compared with all identities at once. Each identity gets a centroid c of unit length, or
one for each camera that saw it, which starts as the mean of V over these images. A step adds::

    L_proto = mean over i, and over the centroids p of image i's identity, of -log softmax_p( cos(F_v(I_i), c_p) / tau )

No gradient goes into the centroids. Each one with images in the batch then moves towards the least similar of them, x::

    c <- unit( mu c + (1 - mu) x )

Shapes: B batch, N training images, K identities, M centroids (K without cameras), D width of the image vectors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scing_cli.core.methods.losses import mean_over_positives
from scing_cli.core.methods.objectives import Objective
from scing_cli.core.methods.task import Losses

TEMPERATURE = 0.05  # tau


class Centroids(nn.Module):
    """The centroids of all identities. They have no parameters; they are part of a saved step.

    Args:
        start: (M, D) of any length.
        owners: (M,) the identity of each, in 0..K-1.
        places: (N,) the centroid of each training image, in 0..M-1.
        momentum: mu, from 0 to below 1.
    """

    vectors: Tensor
    owners: Tensor
    places: Tensor

    def __init__(self, start: Tensor, *, owners: Tensor, places: Tensor, momentum: float) -> None:
        super().__init__()
        self.register_buffer("vectors", F.normalize(start.float(), dim=1))
        self.register_buffer("owners", owners, persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.momentum = momentum

    def cosines(self, images: Tensor) -> Tensor:
        """Return the cosines (B, M) of images (B, D), unit, with the centroids as they are now."""
        anchors = self.vectors.clone()  # the backward pass needs those of before the move
        return images @ anchors.T

    def loss(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """Return L_proto, the scalar mean over a batch, from `cosines` and the classes (B,)."""
        return mean_over_positives((cosines / TEMPERATURE).log_softmax(dim=1), self.own(labels).float())

    def joint_loss(self, cosines: Tensor, text_scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of one softmax over centroids and texts, whose positives are the own ones of both kinds.

        Args:
            cosines: (B, M), from `cosines`.
            text_scores: (B, K), scaled similarities with the texts of all identities.
            labels: (B,) in 0..K-1.
        """
        texts = torch.arange(text_scores.shape[1], device=labels.device) == labels[:, None]  # (B, K)
        scores = torch.cat([text_scores, cosines / TEMPERATURE], dim=1)  # (B, K + M)
        return mean_over_positives(scores.log_softmax(dim=1), torch.cat([texts, self.own(labels)], dim=1).float())

    def own(self, labels: Tensor) -> Tensor:
        """Return which centroids belong to the identities of a batch: (B, M), bool."""
        return self.owners == labels[:, None]

    @torch.no_grad()
    def move(self, images: Tensor, rows: Tensor) -> None:
        """Move the centroids of a batch.

        Args:
            images: (B, D) unit.
            rows: (B,) numbers of the training images.
        """
        places = self.places[rows]
        moving: Tensor = torch.unique(places)  # (P,), ascending
        before = self.vectors[moving]
        cosines = (before @ images.T).masked_fill(moving[:, None] != places, torch.inf)  # (P, B)
        hardest = images[cosines.argmin(1)]  # (P, D)
        self.vectors.index_copy_(0, moving, F.normalize(self.momentum * before + (1 - self.momentum) * hardest, dim=1))


@dataclasses.dataclass(frozen=True)
class Prototypes:
    """The part of stage 2's losses that comes from centroids.

    Args:
        centroids: On the training device.
        weight: Of their loss.
        joint: Whether centroids and texts stand in one softmax, which then takes the place of Eq. 17.
    """

    centroids: Centroids
    weight: float
    joint: bool = False

    def added_to(self, losses: Losses, objective: Objective, features: Tensor, labels: Tensor, rows: Tensor) -> Losses:
        """Return the losses of a batch with the loss over centroids, and move the centroids.

        Args:
            losses: Those of the objective.
            objective: Has the texts.
            features: The projected features, (B, D), of any length.
            labels: (B,) in 0..K-1.
            rows: (B,) numbers of the training images.
        """
        images, terms = F.normalize(features.float(), dim=1), dict(losses.terms)
        cosines = self.centroids.cosines(images)
        if self.joint:
            terms.pop(objective.text_term)
            value = self.centroids.joint_loss(cosines, objective.text_scores(features), labels)
        else:
            value = self.centroids.loss(cosines, labels)
        own = cosines.detach()[self.centroids.own(labels)].mean()
        self.centroids.move(images.detach(), rows)
        return Losses({**terms, "prototype": self.weight * value}, {**losses.figures, "centroid_cosine": own})


def start_centroids(
    features: Tensor, labels: Tensor, *, momentum: float, cameras: Sequence[str] | None = None
) -> Centroids:
    """Return centroids that start as the means of the unit features of their images.

    Args:
        features: V of all training images, (N, D), of any length.
        labels: (N,) in 0..K-1; each class has an image.
        momentum: mu.
        cameras: The camera of each image, for centroids of their own by camera; None for one centroid per identity.
    """
    names = cameras if cameras is not None else [""] * len(labels)
    seen = sorted(set(zip(labels.tolist(), names, strict=True)))
    numbers = {pair: number for number, pair in enumerate(seen)}
    places = torch.tensor([numbers[pair] for pair in zip(labels.tolist(), names, strict=True)], device=labels.device)
    owners = torch.tensor([identity for identity, _ in seen], device=labels.device)
    unit = F.normalize(features.float(), dim=1)
    sums = unit.new_zeros(len(seen), unit.shape[1]).index_add_(0, places, unit)
    return Centroids(sums, owners=owners, places=places, momentum=momentum)
