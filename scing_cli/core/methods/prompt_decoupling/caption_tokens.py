"""Captions of training rows as token ids, and the masking of their words.

Legend: N training rows, B batch, T tokens of the longest caption.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scing_cli.core.devices import to_device
from scing_cli.core.encoders.tokenizer import START, tokens_of
from scing_cli.core.runtime import draw_seed

# CLIP has no token for a masked word. IRRA uses the place of the vocabulary's rarest word, "jekyll".
MASK = START - 1


class CaptionTokens:
    """The captions of all training rows as token ids, converted once.

    Attributes:
        cut: Number of captions that were too long and lost their last words; the end token stays.

    Args:
        captions: Of the N rows, at least one.
        longest: Most tokens of a caption, with its start and its end: `TextEncoder.longest`.
        device: Of the ids.
    """

    def __init__(self, captions: Sequence[str], longest: int, device: torch.device) -> None:
        found = tokens_of(captions, longest)
        self.cut = len(found.cut)
        self._ends = found.ends
        self._ids = to_device(found.ids, device)  # (N, T)

    def batch(self, rows: Sequence[int]) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Return the token ids of rows, (B, T) int64 on the device, and the places of their end tokens, (B,)."""
        ends = self._ends[list(rows)]
        ids = self._ids[to_device(list(rows), self._ids.device)]
        return ids[:, : int(ends.max()) + 1], ends


def mask_words(ids: Tensor, ends: npt.NDArray[np.int64], probability: float, *key: int | str) -> Tensor:
    """Replace each token of a caption's words by the mask with a probability (PD8).

    Start and end token stay, so the caption keeps its length. The losses see the masked caption alone.

    Args:
        ids: Shape (B, T).
        ends: Shape (B,): the place of each end token.
        probability: Of each word's token; 0 returns `ids`.
        key: The draws are a function of it.

    Returns:
        Shape (B, T), on the device of `ids`.
    """
    if not probability:
        return ids
    places = np.arange(ids.shape[1])
    words = (places > 0) & (places < ends[:, None])  # (B, T)
    chosen = np.random.default_rng(draw_seed(*key, "mask_words")).random(words.shape) < probability
    return ids.masked_fill(to_device(words & chosen, ids.device), MASK)
