"""Devices, precision, threads, random seeds, and progress reports."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import operator
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scing_cli.core.errors import ScingError, SettingError

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

PRECISIONS = ("auto", "fp32", "bf16")
STAGED = 65_536  # bytes; the driver buffers copies up to this size, so they never block
ISAS_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")  # oneDNN's


class Advance(Protocol):
    """Moves a progress bar on by `steps`; `text` (the current loss, say) replaces the text next to it."""

    def __call__(self, steps: int, text: str = "") -> None:
        """Advance the bar."""


class Reporter(Protocol):
    """Where core tells what it does; the command line draws it, a library user may ignore it."""

    def progress(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Open a progress bar of `total` steps; the yielded function advances it."""

    def note(self, text: str) -> None:
        """Say something worth knowing."""

    def warn(self, text: str) -> None:
        """Say something that may be wrong."""


def _stay(steps: int, text: str = "") -> None:
    del steps, text


class Silent:
    """A reporter that says nothing."""

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        """Open a bar that nobody sees."""
        del description, total
        yield _stay

    def note(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""


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


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context for the towers; everything outside it stays float32 (R17)."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


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


def draw_seed(*key: int | str) -> int:
    """Return the 63-bit seed of a key such as (seed, stage, epoch, step, purpose).

    Every draw depends on its key alone, so a resumed run needs no generator state. NumPy integers count as int.

    >>> draw_seed(0, "train-prompts", 3, 17) == draw_seed(0, "train-prompts", 3, 17)
    True
    """
    # The type is part of the key: 1 and "1" give different seeds.
    text = "\0".join(f"str:{part}" if isinstance(part, str) else f"int:{operator.index(part)}" for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new torch generator seeded by `draw_seed(*key)`."""
    import torch

    return torch.Generator(device=device).manual_seed(draw_seed(*key))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator (it initialises modules) within a block; restore its state afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


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


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Flush standard output at the end of a block that writes to it.

    Raises:
        ScingError: If it cannot be written, as on a full disk. A closed pipe stays a BrokenPipeError.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ScingError(
            f"Standard output cannot be written: {error.strerror}.", "Free some disk space, or redirect it elsewhere."
        ) from error
