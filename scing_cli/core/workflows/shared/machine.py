"""Where a command runs: what the user asked for, and what that means here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from scing_cli.core.errors import SettingError
from scing_cli.core.runtime import choose_device, choose_precision, default_workers

if TYPE_CHECKING:
    import torch

    from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
    from scing_cli.core.encoders.image import ImageEncoder


@dataclasses.dataclass(frozen=True)
class Machine:
    """The user's wishes about the machine.

    Args:
        device: One of `runtime.DEVICES`.
        precision: auto, fp32 or bf16, of embedding; a training stage has its own in its settings.
        workers: Threads that decode images; None for as many as there are cores.
        batch_size: Images encoded at a time when nothing is learnt.
    """

    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    batch_size: int = 64

    def __post_init__(self) -> None:
        for name, value in (("--workers", self.workers), ("--batch-size", self.batch_size)):
            if value is not None and value < 1:
                raise SettingError(f"{name} {value}: must be at least 1.")

    def place(self) -> torch.device:
        """Return the device.

        Raises:
            SettingError: If it is unknown or missing.
        """
        return choose_device(self.device)

    def threads(self) -> int:
        """Return how many threads decode images."""
        return self.workers or default_workers()

    def embedder(
        self, encoder: ImageEncoder, *, kind: str = "projected", precision: str | None = None
    ) -> TorchEmbedder:
        """Return an embedder on this machine's device; in float32 unless the user or the caller wants otherwise."""
        from scing_cli.core.embeddings.torch_embedder import TorchEmbedder

        device = self.place()
        return TorchEmbedder(
            encoder.to(device),
            kind=kind,
            device=device,
            precision=precision or choose_precision(self.precision, device, auto="fp32"),
            batch_size=self.batch_size,
            workers=self.threads(),
        )
