"""Both stages of Prompt Decoupling as tasks of the training loop, in the style of arXiv 2401.02173 (PD1-PD15).

A training row is a pair of an image and one of its captions. Stage 1 adapts CLIP to the domain: both towers are frozen,
and their deep prompts are learnt. Stage 2 adapts it to the task: the prompts are fixed, and both towers are tuned.

Shapes: B batch, N training rows, K identities, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.devices import to_device
from scing_cli.core.encoders.attention import RunBlock
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.errors import SettingError
from scing_cli.core.methods.losses import PAIR_SCALE, itc, sdm, shared_identity
from scing_cli.core.methods.prompt_decoupling.caption_tokens import CaptionTokens, mask_words
from scing_cli.core.methods.task import IMAGES, Batch, Batches, Cached, Key, Losses, not_cached
from scing_cli.core.runtime import Reporter, autocast, draw_seed, seeded

LOSSES = ("sdm", "sdm+id", "itc")  # of stage 2 (PD7)
HEAD_DEVIATION = 0.001  # of the classifier's initial weights, as in IRRA


class Pairs(NamedTuple):
    """A batch as both towers encode it.

    Args:
        images: (B, D) float32, not of unit length.
        texts: (B, D) float32, not of unit length.
        labels: (B,) classes.
    """

    images: Tensor
    texts: Tensor
    labels: Tensor

    def figures(self) -> dict[str, Tensor]:
        """Return what is logged besides the losses, without gradient.

        `pair_cosine` is the mean cosine of an image and its own caption. `pair_rank1` is the share of captions whose
        nearest image of the batch is of the right identity.
        """
        images, texts = (F.normalize(each.detach(), dim=1) for each in (self.images, self.texts))
        cosines = texts @ images.T  # (B, B)
        nearest = self.labels[cosines.argmax(1)] == self.labels
        return {"pair_cosine": cosines.diagonal().mean(), "pair_rank1": nearest.float().mean()}


class PairEncoder:
    """Encodes batches of pairs with both towers: what the two stages have in common.

    Attributes:
        captions_cut: Number of captions that were longer than the text tower takes and lost their last words.

    Args:
        clip: Both towers, on the training device.
        captions: The caption of each of the N training rows.
        labels: (N,) classes of the rows, 0..K-1, on the training device.
        augmentation: Of the images.
        precision: Of the towers (R17); the losses are float32.
        run: Runs the image tower's blocks before the last, compiled for example; None for `run_block`. Those of the
            text tower are not compiled, since the longest caption differs from batch to batch.
    """

    def __init__(
        self,
        *,
        clip: ClipModel,
        captions: Sequence[str],
        labels: Tensor,
        augmentation: Augmentation,
        precision: str,
        run: RunBlock | None = None,
    ) -> None:
        if len(captions) != len(labels):
            raise ValueError(f"{len(captions)} captions for {len(labels)} rows")
        self.clip = clip
        self.labels = labels
        self.augmentation = augmentation
        self.precision = precision
        self.run = run
        self._captions = CaptionTokens(captions, clip.text.longest, labels.device)
        self.captions_cut = self._captions.cut

    def __call__(self, batch: Batch, key: Key, *, masked: float = 0.0) -> Pairs:
        """Augment the images of a batch, mask words of its captions, and encode both.

        Args:
            batch: Of B rows, with pixels.
            key: All random draws are a function of it.
            masked: Probability with which each word's token is masked.
        """
        ids, ends = self._captions.batch(batch.rows)
        ids = batch.share.take(mask_words(ids, ends, masked, *key))
        ends = ends if batch.share.rows is None else ends[list(batch.share.rows)]
        with autocast(self.labels.device, self.precision):
            augmented = self.augmentation(batch.pixels, *key, own=batch.share.rows)
            images = self.clip.image(augmented, run=self.run).projected
            texts = self.clip.text(self.clip.text.embed(ids), ends.tolist())
        images, texts = (batch.share.whole(each.float()) for each in (images, texts))
        return Pairs(images, texts, self.labels[to_device(list(batch.rows), self.labels.device)])


class DomainTuning:
    """Stage 1: min over the deep prompts of both towers of L_SDM (PD6); all else is frozen.

    Args:
        pairs: Its towers have prompts: `learn_prompts`.
        scale: 1 / temperature (PD12).
    """

    name = "train-prompts"
    reads = IMAGES

    def __init__(self, pairs: PairEncoder, *, scale: float = PAIR_SCALE) -> None:
        self.pairs = pairs
        self.scale = scale
        self._trainable = nn.ParameterDict()
        for tower in (pairs.clip.image, pairs.clip.text):
            tower.requires_grad_(False).eval()
            if tower.prompts is None:
                raise ValueError(f"the {tower.kind} tower has no prompts to learn")
            self._trainable[tower.kind] = tower.prompts.requires_grad_(True)

    def prepare(self, batches_of: Batches, reporter: Reporter, cached: Cached = not_cached) -> None:
        """Do nothing: the features of every image change with the prompts."""
        del batches_of, reporter, cached

    def trainable(self) -> nn.ParameterDict:
        """Return the prompts, `image` and `text`: the towers' own parameters, the only ones with gradients."""
        return self._trainable

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return L_SDM of a batch."""
        pairs = self.pairs(batch, key)
        return Losses({"sdm": sdm(*pairs, self.scale)}, pairs.figures())


class PairTuning:
    """Stage 2: min over both towers, and the classifier where there is one, of L_SDM + L_ID (PD7).

    The towers' deep prompts stay as they are. A CLIP without prompts gives the control row, direct fine-tuning (PD15).

    Args:
        pairs: All parameters of its towers but the prompts are trained.
        loss: `sdm`, `sdm+id` or `itc`.
        masked: Probability with which each word's token of a training caption is masked (PD8).
        seed: Of the classifier's initial weights.
        scale: 1 / temperature of `sdm` and `itc` (PD12).

    Raises:
        SettingError: If the loss is unknown.
    """

    name = "train-visual"
    reads = IMAGES

    def __init__(
        self,
        pairs: PairEncoder,
        *,
        loss: str = "sdm+id",
        masked: float = 0.0,
        seed: int = 0,
        scale: float = PAIR_SCALE,
    ) -> None:
        if loss not in LOSSES:
            raise SettingError(f"--stage2-loss {loss!r} is unknown here.", f"Known: {', '.join(LOSSES)}.")
        self.pairs = pairs
        self.loss = loss
        self.masked = masked
        self.scale = scale
        self._trainable = nn.ModuleDict()
        for tower in (pairs.clip.image, pairs.clip.text):
            self._trainable[tower.kind] = tower.requires_grad_(True)
            if tower.prompts is not None:
                tower.prompts.requires_grad_(False)
        self._head: nn.Linear | None = None
        if loss == "sdm+id":
            head = identity_head(pairs.clip.image.embed_dim, int(pairs.labels.max()) + 1, seed)
            self._trainable["head"] = self._head = head.to(pairs.labels.device)

    def trainable(self) -> nn.ModuleDict:
        """Return `image`, `text` and, for `sdm+id`, the classifier `head`; the prompts in it have no gradients."""
        return self._trainable

    def losses(self, batch: Batch, key: Key) -> Losses:
        """Return the loss terms of a batch: `sdm`, `sdm` and `identity`, or `itc`."""
        pairs = self.pairs(batch, key, masked=self.masked)
        if self.loss == "itc":
            return Losses({"itc": itc(*pairs, self.scale)}, pairs.figures())
        terms = {"sdm": sdm(*pairs, self.scale)}
        if self._head is not None:
            terms["identity"] = shared_identity(self._head(pairs.images), self._head(pairs.texts), pairs.labels)
        return Losses(terms, pairs.figures())


def identity_head(width: int, identities: int, seed: int) -> nn.Linear:
    """Return the classifier that images and texts share: weights from N(0, 0.001), biases 0.

    Args:
        width: D.
        identities: K.
        seed: Of the weights.
    """
    with seeded(draw_seed(seed, "train-visual", "initialisation")):
        head = nn.Linear(width, identities)
        nn.init.normal_(head.weight, std=HEAD_DEVIATION)
    nn.init.zeros_(head.bias)
    return head
