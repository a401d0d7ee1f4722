"""The learnable prompts: "A photo of a [p_1 .. p_L] person." with L tokens per identity (Eq. 6, 10, 11).

Shapes: B batch, K identities, L tokens, M fused tokens, D image feature, d text token, T places up to the end token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.methods.scing.svip import SelectiveVisualPrompt

BEFORE = "A photo of a"
AFTER = "person."


class PromptLearner(nn.Module):
    """All that stage 1 learns: each identity's own tokens, and the SVIP that all share.

    The tokens start as N(0, 0.02) (R18); all draws come from torch's global generator, which the builder seeds.

    Args:
        clip: Gives the template's word embeddings and the widths.
        identities: K.
        tokens: L.
        fused_tokens: M < L.
        gate: SVIP's gate.
    """

    prefix: Tensor
    suffix: Tensor

    def __init__(
        self,
        *,
        clip: ClipModel,
        identities: int,
        tokens: int,
        fused_tokens: int,
        gate: str,
    ) -> None:
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
        self.svip = SelectiveVisualPrompt(
            feature_width=clip.image.embed_dim, token_width=width, fused_tokens=fused_tokens, gate=gate
        )

    def forward(self, labels: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the prompts' word embeddings, and what SVIP added to them.

        Args:
            labels: (B,) the identity whose tokens are taken.
            features: V, (B, D) unit length: the visual condition.

        Returns:
            (B, T, d) embeddings for the text encoder (T = `end` + 1), and c * alpha (B, M, d).
        """
        visual = self.svip(features)  # (B, M, d)
        # not self.tokens[labels]: its backward adds in no fixed order on several threads
        tokens = self.tokens.index_select(0, labels)  # (B, L, d)
        fused = tokens[:, : visual.shape[1]] + visual  # Eq. 10
        rest = tokens[:, visual.shape[1] :]
        prefix, suffix = (part.expand(len(labels), -1, -1) for part in (self.prefix, self.suffix))
        return torch.cat([prefix, fused, rest, suffix], dim=1), visual
