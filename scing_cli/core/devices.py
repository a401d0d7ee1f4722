"""Which devices there are, and which one a process computes on."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scing_cli.core.errors import SettingError, counted

if TYPE_CHECKING:
    import torch

GPU_NODES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")  # NVIDIA, Jetson, WSL, AMD
DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str, number: int | None = None) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`; `auto` uses CUDA if it is available.

    Args:
        name: One of `DEVICES`.
        number: Which of several CUDA devices; None for the current one.

    Raises:
        SettingError: If the name is unknown, or CUDA is requested but not available.
    """
    if name not in DEVICES:
        raise SettingError(f"--device {name!r} is unknown.", f"Known: {', '.join(DEVICES)}.")
    none = SettingError("--device cuda: torch finds no CUDA device here.", "Use --device cpu, or check the driver.")
    if name == "cuda" and not may_have_gpu():  # known without torch
        raise none
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise none
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if number is None:
        return torch.device("cuda")
    if number >= torch.cuda.device_count():
        raise SettingError(
            f"Process {number + 1} of this machine has no GPU of its own: torch finds {torch.cuda.device_count()}.",
            "Start as many processes as there are GPUs: --processes auto. Or use --device cpu.",
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def gpu_count() -> int:
    """Return the number of GPUs that this process may use."""
    if not may_have_gpu():
        return 0
    import torch

    return torch.cuda.device_count()


def process_backend(device: torch.device) -> str:
    """Return what several processes exchange tensors with: NCCL between GPUs, gloo for those in main memory."""
    return "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"


def device_name(device: torch.device) -> str:
    """Return the GPU's name, or the CPU's name with its number of cores."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {counted(os.cpu_count() or 1, 'core', 'cores')}"


def may_have_gpu() -> bool:
    """Return whether torch might find a GPU, without loading torch; False only if there certainly is none."""
    if sys.platform != "linux":
        return sys.platform != "darwin"
    return any(Path(node).exists() for node in GPU_NODES)


def spare_devices(device: torch.device) -> list[torch.device]:
    """Return the other GPUs of this machine, which can compute beside a GPU that was chosen without a number."""
    import torch

    if device.type != "cuda" or device.index is not None:
        return []
    own = torch.cuda.current_device()
    return [torch.device("cuda", number) for number in range(torch.cuda.device_count()) if number != own]
