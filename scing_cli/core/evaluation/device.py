"""Products on a GPU: in float64 throughout, so that no setting of the machine's float32 products matters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scing_cli.core.evaluation.metrics import FloatArray, IntArray


class DeviceProducts:
    """Multiplies with torch; only the candidates come back.

    Args:
        device: Where.
    """

    kinds: tuple[npt.DTypeLike, ...] = (np.float64,)

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def load(self, rows: npt.NDArray[np.float32], kind: npt.DTypeLike) -> Tensor:  # noqa: ARG002 - there is one kind
        """Bring the rows to the device."""
        return torch.from_numpy(rows).to(self.device, torch.float64)

    def candidates(
        self, query: npt.NDArray[np.float32], block: Tensor, masked: tuple[IntArray, IntArray], lowest: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Multiply and choose on the device."""
        products = torch.from_numpy(query).to(self.device, torch.float64) @ block.T
        first, second = (torch.from_numpy(places).to(self.device) for places in masked)
        products[first, second] = -torch.inf
        floors = torch.from_numpy(lowest).to(self.device)
        wanted = (products >= floors[:, None]).flatten().nonzero().flatten()
        return wanted.cpu().numpy(), products.flatten()[wanted].cpu().numpy()
