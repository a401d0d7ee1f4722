"""The learnable prompts: "A photo of a [p_1 .. p_L] person." with L tokens per identity (Eq. 6, 10, 11).

Shapes: B batch, K identities, L tokens, M tokens with a visual part, D image feature, d text token, T places up to the
end token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from scing_cli.core.encoders.clip import ClipModel

BEFORE = "A photo of a"
AFTER = "person."
VisualPrompt = Callable[[int, int], nn.Module]


class PromptLearner(nn.Module):
    """All that stage 1 learns: each identity's own tokens, and what turns an image into a part of them.

    The tokens start as N(0, 0.02) (R18); all draws come from torch's global generator, which the builder seeds. The
    tokens are drawn first: with the same seed, every method starts from the same ones.

    Args:
        clip: Gives the template's word embeddings and the widths.
        identities: K.
        tokens: L.
        visual: (D, d) -> a module that turns V, (B, D) unit length, into (B, M, d), which is added to the first M <= L
            tokens; None for prompts that no image changes.
    """

    prefix: Tensor
    suffix: Tensor

    def __init__(self, *, clip: ClipModel, identities: int, tokens: int, visual: VisualPrompt | None) -> None:
        super().__init__()
        width = clip.text.width
        start, *before, _ = clip.tokenizer(BEFORE)
        _, *after, stop = clip.tokenizer(AFTER)
        place = clip.text.positional_embedding.device
        for name, ids in (("prefix", [start, *before]), ("suffix", [*after, stop])):
            words = clip.text.embed(torch.tensor([ids], device=place)).detach()  # (1, n, d)
            self.register_buffer(name, words, persistent=False)
        self.end = 1 + len(before) + tokens + len(after)  # the end token's place follows from L (R13)
        self.tokens = nn.Parameter(torch.randn(identities, tokens, width) * 0.02)
        self.visual = visual(clip.image.embed_dim, width) if visual else None

    def forward(self, labels: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the prompts' word embeddings, and what the image added to them.

        Args:
            labels: (B,) the identity whose tokens are taken.
            conditions: V, (B, D) unit length.

        Returns:
            (B, T, d) embeddings for the text encoder (T = `end` + 1), and (B, M, d), or None without a visual part.
        """
        # not self.tokens[labels]: its backward adds in no fixed order on several threads
        tokens = self.tokens.index_select(0, labels)  # (B, L, d)
        added: Tensor | None = None
        if self.visual is not None:
            added = self.visual(conditions)  # (B, M, d)
            fused = added.shape[1]
            tokens = torch.cat([tokens[:, :fused] + added, tokens[:, fused:]], dim=1)  # Eq. 10
        prefix, suffix = (part.expand(len(labels), -1, -1) for part in (self.prefix, self.suffix))
        return torch.cat([prefix, tokens, suffix], dim=1), added
