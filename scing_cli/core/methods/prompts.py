"""Learnable prompts: "A photo of a [p_1 .. p_L] person." with L tokens per identity (Eq. 6, 10, 11).

Data of several spectra may show vehicles; then the last word is "vehicle.".

Shapes: B batch, K identities, L tokens, M tokens with a visual part, D image feature, d text token, T positions up to
and including the end token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from scing_cli.core.encoders.clip import ClipModel

BEFORE = "A photo of a"
START = "a photo of a"  # of the tokens, if they start as words
PERSON = "person"
VisualPrompt = Callable[[int, int], nn.Module]


@runtime_checkable
class Gated(Protocol):
    """A visual part with a gate."""

    def alpha(self, features: Tensor) -> Tensor:
        """Return the gate's values for conditions (B, D)."""
        ...


class PromptLearner(nn.Module):
    """The trainable parameters of stage 1: the tokens of each identity, and the module of the visual part.

    The tokens are initialised from N(0, 0.02) (R18) with torch's global generator, which the caller seeds. Or the first
    of them start as the words "a photo of a", as in CoCoOp's own code.

    Args:
        clip: Defines the word embeddings of the template and the widths.
        identities: K.
        tokens: L.
        visual: (D, d) -> a module that maps conditions V, (B, D), to (B, M, d), which is added to the first M <= L
            tokens; None for prompts without a visual part.
        objects: What the identities are, one word.
        as_words: Whether the first tokens start as words.
    """

    prefix: Tensor
    suffix: Tensor

    def __init__(
        self,
        *,
        clip: ClipModel,
        identities: int,
        tokens: int,
        visual: VisualPrompt | None,
        objects: str = PERSON,
        as_words: bool = False,
    ) -> None:
        super().__init__()
        width = clip.text.width
        start, *before, _ = clip.tokenizer(BEFORE)
        _, *after, stop = clip.tokenizer(f"{objects}.")
        device = clip.text.positional_embedding.device
        for name, ids in (("prefix", [start, *before]), ("suffix", [*after, stop])):
            words = clip.text.embed(torch.tensor([ids], device=device)).detach()  # (1, n, d)
            self.register_buffer(name, words, persistent=False)
        self.end = 1 + len(before) + tokens + len(after)  # position of the end token, which follows from L (R13)
        # drawn before the visual part: with one seed, all methods start from the same tokens
        self.tokens = nn.Parameter(torch.randn(identities, tokens, width) * 0.02)
        if as_words:
            phrase = clip.text.embed(torch.tensor(clip.tokenizer(START)[1:-1][:tokens], device=device)).detach()
            self.tokens.data[:, : len(phrase)] = phrase.cpu()
        self.visual = visual(clip.image.embed_dim, width) if visual else None

    def forward(self, labels: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the word embeddings of the prompts, and the visual part that was added.

        Args:
            labels: (B,) identities: the rows of the tokens.
            conditions: V, (B, D), scaled as the visual part expects it (`Condition`).

        Returns:
            (B, T, d) embeddings for the text encoder (T = `end` + 1), and (B, M, d), or None without a visual part.
        """
        # not self.tokens[labels]: with several threads, its backward adds in a varying order
        tokens = self.tokens.index_select(0, labels)  # (B, L, d)
        added: Tensor | None = None
        if self.visual is not None:
            added = self.visual(conditions)  # (B, M, d)
            fused = added.shape[1]
            tokens = torch.cat([tokens[:, :fused] + added, tokens[:, fused:]], dim=1)  # Eq. 10
        prefix, suffix = (part.expand(len(labels), -1, -1) for part in (self.prefix, self.suffix))
        return torch.cat([prefix, tokens, suffix], dim=1), added
