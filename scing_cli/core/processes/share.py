"""Which rows of a batch one process encodes, and how the features of all rows come together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Share:
    """The rows of a batch that this process encodes: all of them, where it trains alone.

    `rows` are their numbers within the batch; None for all.
    """

    rows: Sequence[int] | None = None

    def take(self, values: Tensor, *, copies: int = 1) -> Tensor:
        """Return the values of the own rows.

        Args:
            values: (copies * B, ...): all rows of the batch, then all of them again.
            copies: How often the batch is repeated.

        Returns:
            (copies * b, ...), in the same order; b is the number of own rows.
        """
        del copies
        return values

    def whole(self, own: Tensor, *, copies: int = 1) -> Tensor:
        """Return the values of all rows from those that each process has computed of its own.

        The backward pass hands each process the gradient of its own rows, times the number of processes: gradients are
        averaged over processes later, and all but this process have computed the same loss from the same values.

        Args:
            own: (copies * b, ...).
            copies: How often the batch is repeated.

        Returns:
            (copies * B, ...).
        """
        del copies
        return own


WHOLE = Share()
