"""The one stage of DMPT as a task of the training loop, and its losses.

Shapes: B batch, N training images, K identities, S spectra, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.devices import to_device
from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.bound_prompts import BoundPromptEncoder
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.tokenizer import tokens_of
from scing_cli.core.methods.losses import soft_triplet
from scing_cli.core.methods.objectives import IDENTITY_WEIGHT, neck_and_head
from scing_cli.core.methods.task import IMAGES, Batch, Batches, Cached, Key, Losses, not_cached
from scing_cli.core.runtime import Reporter, autocast

LABEL_SMOOTHING = 0.1
PARTS = ("g", "s")  # of the descriptor


class TwoHeads(nn.Module):
    """The losses of both parts h of the descriptor, g and s: 0.25 CE_ls(W_h BN(h)) + softtriplet(h).

    Necks and heads are trained but not saved with the encoder: inference does not use them.

    Args:
        width: S D, of each part.
        identities: K.
    """

    def __init__(self, width: int, identities: int) -> None:
        super().__init__()
        self.necks, self.heads = nn.ModuleDict(), nn.ModuleDict()
        for part in PARTS:
            self.necks[part], self.heads[part] = neck_and_head(width, identities)

    def forward(self, descriptors: Tensor, labels: Tensor) -> Losses:
        """Return the identity and the triplet terms, each summed over g and s.

        Args:
            descriptors: [g; s], (B, 2 S D) float32, not of unit length.
            labels: (B,) in 0..K-1.
        """
        identity, triplet = [], []
        for part, vectors in zip(PARTS, descriptors.chunk(2, dim=1), strict=True):
            scores = self.heads[part](self.necks[part](vectors))  # (B, K)
            identity.append(F.cross_entropy(scores, labels, label_smoothing=LABEL_SMOOTHING))
            triplet.append(soft_triplet(vectors, labels))
        figures = {f"triplet_{part}": value.detach() for part, value in zip(PARTS, triplet, strict=True)}
        identity_term = IDENTITY_WEIGHT * torch.stack(identity).sum()
        return Losses({"identity": identity_term, "triplet": torch.stack(triplet).sum()}, figures)


class BoundTuning:
    """Train the prompts and the exchange between spectra, with necks and heads; the tower is frozen (DM1, DM7).

    Args:
        encoder: On the training device.
        heads: The losses; on the training device.
        labels: (N,) classes of the training images.
        augmentation: Of the images.
        precision: Of the encoder (R17); the losses are float32.
        run: Runs the tower's blocks before the last, compiled for example; None for `run_block`.
    """

    name = "train-prompts"
    reads = IMAGES

    def __init__(
        self,
        *,
        encoder: BoundPromptEncoder,
        heads: TwoHeads,
        labels: Tensor,
        augmentation: Augmentation,
        precision: str,
        run: RunBlock | None = None,
    ) -> None:
        self.encoder = encoder
        self.heads = heads
        self.labels = labels
        self.augmentation = augmentation
        self.precision = precision
        self.run = run
        encoder.tower.requires_grad_(False).eval()
        self._trainable = nn.ModuleDict({"bound": encoder.bound.requires_grad_(True), "heads": heads})

    def prepare(self, batches_of: Batches, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Do nothing: the tower's outputs change with the prompts."""
        del batches_of, reporter, cached

    def trainable(self) -> nn.ModuleDict:
        """Return the prompts with the exchange, `bound`, and `heads`; the necks' biases have no gradients."""
        return self._trainable

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return the loss terms of a batch."""
        rows = to_device(list(batch.rows), self.labels.device)
        with autocast(batch.pixels.device, self.precision):
            images = self.augmentation(batch.pixels, *key, own=batch.share.rows)
            features = self.encoder(images, run=self.run)
        result: Losses = self.heads(batch.share.whole(features.projected.float()), self.labels[rows])
        return result


@torch.no_grad()
def name_features(clip: ClipModel, sentences: Sequence[str]) -> Tensor:
    """Return e_m, the frozen text features of sentences, (S, D) float32 of unit length, on the text tower's device."""
    tokens, text = tokens_of(sentences, clip.text.longest), clip.text
    ids = torch.from_numpy(tokens.ids).to(text.text_projection.device)
    return F.normalize(text(text.embed(ids), tokens.ends.tolist()).float(), dim=1)
