"""The device, precision and threads of a command."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from scing_cli.core.devices import PRECISIONS, choose_device, choose_precision, spare_devices
from scing_cli.core.errors import SettingError
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.threads import default_workers

if TYPE_CHECKING:
    import torch

    from scing_cli.core.embeddings.text_embedder import TextEmbedder
    from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
    from scing_cli.core.encoders.spectral import AnyImageEncoder
    from scing_cli.core.encoders.text import TextEncoder


@dataclasses.dataclass(frozen=True)
class Machine:
    """The user's choice of device, precision and threads.

    Args:
        device: One of `devices.DEVICES`.
        precision: auto, fp32 or bf16, for embedding; the precision of training is in the settings of each stage.
        workers: Number of threads that decode images; None for the number of cores.
        batch_size: Images per batch for embedding.
        group: The processes that train together; each has the GPU of its number on its machine.
    """

    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    batch_size: int = 64
    group: ProcessGroup = ALONE

    def __post_init__(self) -> None:
        # Names are checked here, so that a wrong one is refused before torch is loaded.
        if self.device not in ("auto", "cpu"):
            choose_device(self.device)
        if self.precision not in PRECISIONS:
            raise SettingError(f"--precision {self.precision!r} is unknown.", f"Known: {', '.join(PRECISIONS)}.")
        for name, value in (("--workers", self.workers), ("--batch-size", self.batch_size)):
            if value is not None and value < 1:
                raise SettingError(f"{name} {value}: must be at least 1.")

    def torch_device(self) -> torch.device:
        """Return the torch device.

        Raises:
            SettingError: If the device is unknown or not available.
        """
        return choose_device(self.device, self.group.gpu)

    def threads(self) -> int:
        """Return the number of threads that decode images: this process' part of those of its machine."""
        return max(1, (self.workers or default_workers()) // self.group.sharers)

    def embedder(
        self,
        encoder: AnyImageEncoder,
        *,
        kind: str = "projected",
        precision: str | None = None,
        on_all: bool = False,
    ) -> TorchEmbedder:
        """Return a torch embedder on the device; in float32 unless the user or the caller chose another precision.

        With `on_all`, the other GPUs of the machine help.
        """
        from scing_cli.core.embeddings.torch_embedder import TorchEmbedder

        device = self.torch_device()
        return TorchEmbedder(
            encoder.to(device),
            kind=kind,
            device=device,
            precision=precision or choose_precision(self.precision, device, auto="fp32"),
            batch_size=self.batch_size,
            workers=self.threads(),
            others=spare_devices(device) if on_all else (),
        )

    def text_embedder(self, tower: TextEncoder) -> TextEmbedder:
        """Return a torch embedder of texts on the device; in float32 unless the user chose another precision."""
        from scing_cli.core.embeddings.text_embedder import TorchTextEmbedder

        device = self.torch_device()
        precision = choose_precision(self.precision, device, auto="fp32")
        return TorchTextEmbedder(tower.to(device), device=device, precision=precision)
