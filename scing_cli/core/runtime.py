"""Where the machine is known: device, precision, threads, seeds, progress."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import operator
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scing_cli.core.errors import ScingError, SettingError, counted

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
STAGED = 65_536  # bytes that a driver copies aside at once, so that a copy of them need not be waited for
ISAS_WITHOUT_BF16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")  # oneDNN's
GPU_NODES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")  # NVIDIA, Jetson, Windows below Linux, AMD


class Advance(Protocol):
    """Moves a progress bar on by `steps`; `text` (the current loss, say) replaces what stands beside it."""

    def __call__(self, steps: int, text: str = "") -> None:
        """Advance the bar."""
        ...


class Reporter(Protocol):
    """Where core tells what it does; the command line draws it, a library user may ignore it."""

    def progress(self, description: str, total: int) -> contextlib.AbstractContextManager[Advance]:
        """Open a progress bar of `total` steps; the yielded function advances it."""
        ...

    def note(self, text: str) -> None:
        """Say something worth knowing."""
        ...

    def warn(self, text: str) -> None:
        """Say something that may be wrong."""
        ...


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


def choose_device(name: str) -> torch.device:
    """Return the device of `auto`, `cpu` or `cuda`; auto takes CUDA where it works.

    Raises:
        SettingError: If the name is unknown, or CUDA is asked for and missing.
    """
    import torch

    if name not in DEVICES:
        raise SettingError(f"--device {name!r} is unknown.", f"Known: {', '.join(DEVICES)}.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SettingError("--device cuda: torch finds no CUDA device here.", "Use --device cpu, or check the driver.")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def choose_precision(name: str, device: torch.device, *, auto: str) -> str:
    """Return `fp32` or `bf16` for the two towers (R17).

    Args:
        name: `auto`, `fp32` or `bf16`.
        device: Where the towers run.
        auto: What `auto` means to the caller: `bf16` for training (where the machine has it), `fp32` for embedding.

    Raises:
        SettingError: If the name is unknown.
    """
    import torch

    if name not in PRECISIONS:
        raise SettingError(f"--precision {name!r} is unknown.", f"Known: {', '.join(PRECISIONS)}.")
    chosen = name if name != "auto" else auto if auto == "fp32" or has_bf16(device) else "fp32"
    if chosen == "fp32":  # TF32 has 10 bits of mantissa
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return chosen


def has_bf16(device: torch.device) -> bool:
    """Tell whether bf16 matrix products are fast here: CUDA from Ampere on, CPUs with AMX or AVX512-BF16."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Tell whether this CPU has bf16 matrix products: AMX or AVX512-BF16, unless `ONEDNN_MAX_CPU_ISA` excludes both."""
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in ISAS_WITHOUT_BF16:
        return False
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
        return "amx_bf16" in flags or "avx512_bf16" in flags
    return False


def may_have_gpu() -> bool:
    """Tell whether torch might find a GPU, without loading torch: False only where there is surely none."""
    if sys.platform != "linux":
        return sys.platform != "darwin"
    return any(Path(node).exists() for node in GPU_NODES)


def device_name(device: torch.device) -> str:
    """Return what the device calls itself: the GPU's name, or the CPU's with its cores."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {counted(os.cpu_count() or 1, 'core', 'cores')}"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the autocast context of the towers; everything outside it stays float32 (R17)."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def to_device(values: npt.NDArray[Any] | Sequence[int] | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Bring numbers to a device without waiting; many of them from pinned memory, beside what it was given before."""
    import torch

    tensor = torch.as_tensor(values)
    if device.type == "cpu" or tensor.device == device:
        return tensor.to(device)
    if tensor.device.type != "cpu" or tensor.numel() * tensor.element_size() <= STAGED:
        return tensor.to(device, non_blocking=True)
    own, beside = torch.cuda.current_stream(device), _copying(device)
    with torch.cuda.stream(beside):
        brought = tensor.pin_memory().to(device, non_blocking=True)
    own.wait_stream(beside)
    brought.record_stream(own)  # its memory belongs to the other stream, which may not use it before this one has
    return brought


@functools.cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of a device that copies to it."""
    import torch

    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def coming_back(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Begin to bring numbers back from a device, behind what it was given before; return what waits for them alone."""
    import torch

    if tensor.device.type != "cuda":
        return tensor.cpu
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()

    def wait() -> torch.Tensor:
        done.synchronize()
        return host

    return wait


def free_memory(device: torch.device) -> int:
    """Return how many bytes are free on a device, those that torch keeps for later among them; 0 where none says."""
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0)
    return 0


def default_threads() -> int:
    """Return how many threads compute: `OMP_NUM_THREADS` where that is set, else the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else _cores()


def default_workers() -> int:
    """Return how many threads decode images: the cores this process may use, at most 16."""
    return min(_cores(), 16)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def draw_seed(*key: int | str) -> int:
    """Return the 63-bit seed that belongs to a key such as (seed, stage, epoch, step, purpose).

    Every draw is a function of its key alone, so a resume needs no generator's state. NumPy's integers count as int.

    >>> draw_seed(0, "train-prompts", 3, 17) == draw_seed(0, "train-prompts", 3, 17)
    True
    """
    text = "\0".join(f"str:{part}" if isinstance(part, str) else f"int:{operator.index(part)}" for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh torch generator seeded by `draw_seed(*key)`."""
    import torch

    return torch.Generator(device=device).manual_seed(draw_seed(*key))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global CPU generator for a block (modules initialise from it), and put its state back afterwards."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextlib.contextmanager
def memory_advice(options: str) -> Iterator[None]:
    """Turn out-of-memory failures, torch's among them, into a message that names the options which help."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        torch = sys.modules.get("torch")  # where it was never loaded, it did not fail
        if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
            raise ScingError("The device ran out of memory.", f"Options that help: {options}.") from error
        if isinstance(error, RuntimeError) and ("alloc" not in str(error) or "memory" not in str(error)):
            raise
        raise ScingError("This machine ran out of memory.", f"Options that help: {options}.") from error


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Turn SystemExit in a block into a RuntimeError: from a thread of a pool it would end the program in silence."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"A thread was asked to leave, with {error.code!r}.") from error


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Flush standard output at the end of a block that writes to it.

    Raises:
        ScingError: If it cannot be written, as where it goes to a full disk; a reader that left is not told of.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ScingError(
            f"Standard output cannot be written: {error.strerror}.", "Make room where it goes, or send it elsewhere."
        ) from error
