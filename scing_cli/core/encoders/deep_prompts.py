"""Deep prompts of a tower: learnt tokens that are put in before each of the first blocks (PD1-PD5).

Block j of the first J reads its own n prompts, P_j. They stand after the first token, the class token of an image or
the start token of a text::

    images  [cls; P_j; patches]
    texts   [sos; P_j; words; eos]

After block j the outputs of the prompts are discarded, and P_{j+1} takes their places. The blocks after the J-th carry
the last prompts along. Prompts are part of the tower: they are saved with it and used by every embedding (PD11). They
are independent of the other tower's (PD4).

A prompt is the input of a block as it is: it gets no position embedding, and in the image tower no first layer norm.

Legend: B batch, T tokens, J prompted blocks, n prompts per block, W width of the tower.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from scing_cli.core.errors import SettingError
from scing_cli.core.runtime import draw_seed

DEVIATION = 0.02  # of the initial values (PD5)


def put_prompts(tokens: Tensor, prompts: Tensor | None, block: int) -> Tensor:
    """Return the input of a block: with its own prompts, or unchanged if it has none.

    Args:
        tokens: Shape (B, T, W) for the first block, (B, n + T, W) for the others.
        prompts: Shape (J, n, W); None for a tower without prompts.
        block: Number of the block, from 0 on.

    Returns:
        Shape (B, n + T, W) with prompts, else (B, T, W).
    """
    if prompts is None or block >= len(prompts):
        return tokens
    own = prompts[block].to(tokens.dtype).expand(len(tokens), -1, -1)  # (B, n, W)
    rest = 1 if block == 0 else 1 + prompts.shape[1]
    return torch.cat((tokens[:, :1], own, tokens[:, rest:]), dim=1)


class PromptedTower(nn.Module):
    """A tower that can have deep prompts: its parameter `prompts` of shape (J, n, W), or None.

    With prompts, `config` has `prompt_tokens` (n) and `prompt_depth` (J). Without them nothing differs from a tower
    that cannot have any: neither state nor `config` nor features.
    """

    kind: str  # "image" or "text": part of the key of the initial values
    width: int
    config: dict[str, Any]
    positional_embedding: nn.Parameter
    prompts: nn.Parameter | None

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("prompts", None)

    def learn_prompts(self, tokens: int, depth: int, seed: int) -> None:
        """Add trainable prompts with initial values from N(0, 0.02); they replace those that the tower has.

        Args:
            tokens: n, at least 1.
            depth: J, from 1 to the number of blocks.
            seed: Seed of the initial values; both towers of a CLIP get different ones.

        Raises:
            SettingError: If `tokens` or `depth` is out of range.
        """
        self._reserve_prompts(tokens, depth)
        draw = torch.Generator().manual_seed(draw_seed(seed, "weights", "prompts", self.kind))
        self.set_prompts(DEVIATION * torch.randn(depth, tokens, self.width, generator=draw))

    def set_prompts(self, prompts: Tensor) -> None:
        """Use given prompts, of shape (J, n, W); they replace those that the tower has.

        Raises:
            SettingError: If J or n is out of range.
            ValueError: If they have another shape.
        """
        if prompts.ndim != 3 or prompts.shape[2] != self.width:
            raise ValueError(f"prompts of shape {tuple(prompts.shape)}; this tower takes (J, n, {self.width})")
        self._reserve_prompts(prompts.shape[1], prompts.shape[0])
        self.prompts = nn.Parameter(prompts.detach().to(self.positional_embedding.device, torch.float32))

    def expect_prompts(self, found: Tensor | None) -> None:
        """Make room for the prompts of a weights file, if it has some that fit this tower."""
        if found is not None:
            with contextlib.suppress(SettingError, ValueError):  # what does not fit is named with the other tensors
                self.set_prompts(found)

    @property
    def prompt_tokens(self) -> int:
        """n; 0 without prompts."""
        return 0 if self.prompts is None else self.prompts.shape[1]

    def _reserve_prompts(self, tokens: int, depth: int) -> None:
        """Check n and J, write them to `config` and make room for the values."""
        most = self.most_prompts()
        if not 1 <= tokens <= most:
            raise SettingError(f"--prompt-tokens {tokens} is out of range.", f"This model takes 1 to {most}.")
        if not 1 <= depth <= self.config["layers"]:
            raise SettingError(
                f"--prompt-depth {depth} is out of range.",
                f"The {self.kind} tower of this model takes 1 to {self.config['layers']}, its number of blocks.",
            )
        self.config |= {"prompt_tokens": tokens, "prompt_depth": depth}
        self.prompts = nn.Parameter(torch.empty(depth, tokens, self.width))

    def most_prompts(self) -> int:
        """Return the largest n."""
        raise NotImplementedError
