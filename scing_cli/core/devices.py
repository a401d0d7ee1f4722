"""Which devices there are, which one a process computes on, its precision, memory, and copies to and from it."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.core.errors import ScingError, SettingError, counted

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

GPU_NODES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")  # NVIDIA, Jetson, WSL, AMD
PRECISIONS = ("auto", "fp32", "bf16")
STAGED = 65_536  # bytes; the driver buffers copies up to this size, so they never block
ISAS_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")  # oneDNN's
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


def choose_precision(name: str, device: torch.device, *, auto: str) -> str:
    """Return `fp32` or `bf16` for the two towers (R17).

    Args:
        name: `auto`, `fp32` or `bf16`.
        device: The device of the towers.
        auto: What `auto` means to the caller: `bf16` for training (if the device supports it), `fp32` for embedding.

    Raises:
        SettingError: If the name is unknown.
    """
    import torch

    if name not in PRECISIONS:
        raise SettingError(f"--precision {name!r} is unknown.", f"Known: {', '.join(PRECISIONS)}.")
    chosen = name if name != "auto" else auto if auto == "fp32" or has_bf16(device) else "fp32"
    if chosen == "fp32":  # TF32 has a mantissa of only 10 bits
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return chosen


def has_bf16(device: torch.device) -> bool:
    """Return whether bf16 matrix products are fast on the device: CUDA from Ampere on, CPUs with AMX or AVX512-BF16."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Return whether this CPU has bf16 products (AMX, AVX512-BF16), and `ONEDNN_MAX_CPU_ISA` does not exclude them."""
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ISAS_WITHOUT_BF16:
        return False
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
        return "amx_bf16" in flags or "avx512_bf16" in flags
    return False


def to_device(values: npt.NDArray[Any] | Sequence[int] | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy numbers to a device without waiting; large arrays go through pinned memory, on a separate CUDA stream."""
    import torch

    tensor = torch.as_tensor(values)
    if device.type == "cpu" or tensor.device == device:
        return tensor.to(device)
    if tensor.device.type != "cpu" or tensor.numel() * tensor.element_size() <= STAGED:
        return tensor.to(device, non_blocking=True)
    compute_stream, copy_stream = torch.cuda.current_stream(device), _copy_stream(device)
    with torch.cuda.stream(copy_stream):
        copied = tensor.pin_memory().to(device, non_blocking=True)
    compute_stream.wait_stream(copy_stream)
    # The allocator assigned the memory to the copy stream: it must not reuse it while the compute stream reads it.
    copied.record_stream(compute_stream)
    return copied


@functools.cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the device's stream for copies from the host, one per device."""
    import torch

    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def coming_back(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Start copying a tensor to the CPU, behind the work queued so far; the result waits for the copy."""
    import torch

    if tensor.device.type != "cuda":
        return tensor.cpu
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(tensor.device))

    def wait() -> torch.Tensor:
        done.synchronize()
        return host

    return wait


def free_memory(device: torch.device) -> int:
    """Return the free memory of a device in bytes, including memory cached by torch; 0 if it is unknown."""
    import torch

    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)
    return 0


@contextlib.contextmanager
def memory_advice(options: str) -> Iterator[None]:
    """Turn out-of-memory errors, including torch's, into a message that names options that help."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        torch = sys.modules.get("torch")  # if torch was never imported, it cannot have failed
        if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
            raise ScingError("The device ran out of memory.", f"Options that help: {options}.") from error
        if isinstance(error, RuntimeError) and ("alloc" not in str(error) or "memory" not in str(error)):
            raise
        raise ScingError("This machine ran out of memory.", f"Options that help: {options}.") from error
