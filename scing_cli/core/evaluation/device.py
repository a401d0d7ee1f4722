"""Products on a GPU: in float64 throughout, so that no setting of the machine's float32 products matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


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
        return torch.from_numpy(rows).to(self.device, torch.float64)

    def multiply(self, query: npt.NDArray[np.float32], block: Tensor) -> npt.NDArray[Any]:
        """Multiply on the device, and bring the products back."""
        products = torch.from_numpy(query).to(self.device, torch.float64) @ block.T
        result: npt.NDArray[Any] = products.cpu().numpy()
        return result
