"""Products on a GPU: in float64 throughout, so that no setting of the machine's float32 products matters.

The products stay on the GPU. Only the numbers of products between a query's bounds come back, and a whole row where
these numbers do not decide.

q queries, n gallery rows, D width, H true hits of these queries, T bounds of the query that has most.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scing_cli.core.devices import to_device
from scing_cli.core.evaluation.metrics import IntArray
from scing_cli.core.evaluation.products import ArrayMet, Bounds, Scores

MOST_LIMITS = 2**21  # of some queries, one query's as many as any's: 16 MB; where there are more, counting is the CPU's


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class DeviceMark:
    """The bounds of q queries' hits in one ascending row for each query.

    Args:
        limits: Shape (q, T), float64 on the device: a product that reaches one is counted; infinity after the last.
        places: Shape (2, H), int64 on the device: for each hit, the flat positions in (q, T + 1) of its upper and its
            lower limit.
    """

    limits: Tensor
    places: Tensor


class DeviceMet:
    """Products that lie on a device.

    Args:
        products: Shape (q, n), float64.
    """

    def __init__(self, products: Tensor) -> None:
        self.products = products

    def leave_out(self, queries: IntArray, rows: IntArray) -> None:
        """Put the products of some pairs below all others."""
        places = to_device(queries * self.products.shape[1] + rows, self.products.device)
        self.products.view(-1).index_fill_(0, places, -torch.inf)

    def count(self, mark: DeviceMark | Bounds) -> tuple[IntArray, IntArray]:
        """Sort every product in between two limits of its query, and count those of each gap."""
        if isinstance(mark, Bounds):
            return ArrayMet(self.products.cpu().numpy()).count(mark)
        queries, limits = mark.limits.shape
        gaps = torch.searchsorted(mark.limits, self.products, right=True)  # (q, n): how many limits it reaches
        one = torch.ones((), dtype=torch.int32, device=gaps.device)
        sizes = torch.zeros(queries, limits + 1, dtype=torch.int32, device=gaps.device)
        sizes.scatter_add_(1, gaps, one.expand_as(gaps))
        reached = self.products.shape[1] - sizes.cumsum(1)  # (q, T + 1), by limit
        above, upto = reached.view(-1)[mark.places].cpu().numpy()
        return above, upto

    def row(self, number: int) -> Scores:
        """Return the products of one query, shape (n,)."""
        row: Scores = self.products[number].cpu().numpy()
        return row


class DeviceProducts:
    """Multiplies with torch.

    Args:
        device: Where.
    """

    kinds: tuple[npt.DTypeLike, ...] = (np.float64,)

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> Tensor:  # noqa: ARG002 - there is one kind
        """Bring the rows to the device."""
        return to_device(rows, self.device).double()

    def mark(self, bounds: Bounds) -> DeviceMark | Bounds:
        """Put each query's bounds in order, and bring them to the device; where they would be many, leave them here."""
        counts = np.diff(bounds.starts)
        queries, width = len(counts), 2 * int(counts.max(initial=0))
        if queries * width > MOST_LIMITS:
            return bounds
        owners = np.repeat(np.arange(queries), counts)
        limits = np.concatenate([np.nextafter(bounds.up, np.inf), bounds.down])  # above a bound: at the next number
        twice = np.concatenate([owners, owners])
        order = np.lexsort((limits, twice))
        places = np.empty_like(order)
        places[order] = np.arange(len(order)) - 2 * bounds.starts[twice[order]]
        rows = np.full((queries, width), np.inf)
        rows[twice, places] = limits
        flat = (twice * (width + 1) + places).reshape(2, -1)
        return DeviceMark(to_device(rows, self.device), to_device(flat, self.device))

    def meet(self, query: npt.NDArray[np.float32], block: Tensor) -> DeviceMet:
        """Multiply, and leave the products on the device."""
        return DeviceMet(to_device(query, self.device).double() @ block.T)

    def multiply(self, query: npt.NDArray[np.float32], block: Tensor) -> npt.NDArray[Any]:
        """Multiply on the device, and bring the products back."""
        products: Scores = self.meet(query, block).products.cpu().numpy()
        return products
