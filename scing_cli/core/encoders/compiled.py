"""Runs a tower's blocks with torch.compile in training: fewer passes over memory and fewer kernel launches on a GPU.

All blocks of a tower have the same shapes, so they share one graph. The last block is not compiled.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from scing_cli.core.encoders.attention import RunBlock, run_block
from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.runtime import Reporter

ENGINE = "inductor"
ADVICE = (
    "Install what torch.compile needs: a C++ compiler such as g++; on a GPU, a C compiler and Triton. Or remove "
    "--compile (in a --config file: compile); a training that started with it must then start over, with "
    "--no-resume. --debug shows torch's full message."
)
_MAKERS = ("torch._dynamo", "torch._functorch", "torch._inductor", "triton")
_LONGEST = 300  # characters of torch's message


class CompiledBlock:
    """Runs blocks as `run_block` does, compiled for one input shape and gradient mode: those of the first call.

    Other inputs run without compilation, so each instance has one graph.
    """

    # All batches of a training have one size, except the last of an epoch: a second graph would not pay off.

    def __init__(self) -> None:
        self._kind: tuple[torch.Size, bool] | None = None
        self._compiled: RunBlock = torch.compile(private_copy(run_block), backend=_built, dynamic=False)

    def __call__(self, block: Any, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Run a block as `run_block` does."""
        kind = (tokens.shape, torch.is_grad_enabled())
        self._kind = self._kind or kind
        return self._compiled(block, tokens, mask) if kind == self._kind else run_block(block, tokens, mask)


def private_copy(function: RunBlock) -> RunBlock:
    """Return a copy of a function with its own code object."""
    # torch counts the graphs of each code object and stops compiling after 8.
    return types.FunctionType(function.__code__.replace(), function.__globals__)


def prepare_compiling(device: torch.device, reporter: Reporter) -> None:
    """Check with a small function that torch can compile for a device, and report what compiling costs.

    Raises:
        SettingError: If torch cannot compile.
    """
    try:
        torch.compile(_small, backend=ENGINE, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # a missing compiler shows up as many different errors
        raise _unable(error) from error
    reporter.note("The towers' blocks are compiled: the first steps take up to a minute longer.")


@contextlib.contextmanager
def compile_advice() -> Iterator[None]:
    """Convert torch's compile errors during training to an error with advice."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith(_MAKERS):
            if isinstance(cause := error.__cause__ or error.__context__, torch.OutOfMemoryError):
                raise cause from error
            raise _unable(error) from error
        raise


def _unable(error: Exception) -> SettingError:
    message = spelled(" ".join(str(error).partition("\n\n")[0].split()))  # the rest is for torch's developers
    short = message if len(message) <= _LONGEST else message[:_LONGEST] + "…"
    return SettingError(f"--compile: torch cannot compile here: {short or type(error).__name__}", ADVICE)


def _small(numbers: Tensor) -> Tensor:
    return 2 * numbers + 1


def _built(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """Compile a graph whose backward pass can run twice, as `gradient_norms` requires."""
    # torch lets a backward pass overwrite saved tensors unless the graph is retained in its first run, as it is in a
    # training's first step. A cached graph may come from a first run without that, so torch's cache is disabled.
    from torch._dynamo import lookup_backend
    from torch._functorch import config

    with config.patch(enable_autograd_cache=False):
        return lookup_backend(ENGINE)(graph, inputs)
