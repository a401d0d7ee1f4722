"""Blocks through torch.compile, for trainings: memory-bound work in fewer passes, and fewer launches on a GPU.

All blocks of a tower are alike, so that one graph serves them all; the last one is not run this way.
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
    "Install what torch.compile needs: a C++ compiler such as g++, on a GPU a C compiler and Triton. Or leave "
    "--compile out (in a --config file: compile); a training that began with it must then begin anew, with "
    "--no-resume. --debug shows all that torch says."
)
_MAKERS = ("torch._dynamo", "torch._functorch", "torch._inductor", "triton")
_LONGEST = 300  # characters of torch's own words


class CompiledBlock:
    """Runs blocks as `run_block` does, compiled for what comes first: its shape, with gradients or without.

    Whatever else comes is run as it is. A training's batches have one size but for the last of an epoch, for which
    compiling would not pay; so each of these has one graph.
    """

    def __init__(self) -> None:
        self._kind: tuple[torch.Size, bool] | None = None
        self._compiled: RunBlock = torch.compile(private_copy(run_block), backend=_built, dynamic=False)

    def __call__(self, block: Any, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Run a block: see `run_block`."""
        kind = (tokens.shape, torch.is_grad_enabled())
        self._kind = self._kind or kind
        return self._compiled(block, tokens, mask) if kind == self._kind else run_block(block, tokens, mask)


def private_copy(function: RunBlock) -> RunBlock:
    """Return a copy of a function with code of its own: by a function's code torch counts its graphs, at most 8."""
    return types.FunctionType(function.__code__.replace(), function.__globals__)


def prepare_compiling(device: torch.device, reporter: Reporter) -> None:
    """Try on a small function whether torch can compile for a device, and say what compiling costs.

    Raises:
        SettingError: If it cannot.
    """
    try:
        torch.compile(_small, backend=ENGINE, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:
        raise _unable(error) from error
    reporter.note("The towers' blocks are compiled: the first steps take up to a minute longer.")


@contextlib.contextmanager
def compile_advice() -> Iterator[None]:
    """Turn torch's failure to compile, amid a training, into a message that says what to do."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith(_MAKERS):
            if isinstance(cause := error.__cause__ or error.__context__, torch.OutOfMemoryError):
                raise cause from error
            raise _unable(error) from error
        raise


def _unable(error: Exception) -> SettingError:
    said = spelled(" ".join(str(error).partition("\n\n")[0].split()))  # advice to torch's developers follows
    short = said if len(said) <= _LONGEST else said[:_LONGEST] + "…"
    return SettingError(f"--compile: torch cannot compile here: {short or type(error).__name__}", ADVICE)


def _small(numbers: Tensor) -> Tensor:
    return 2 * numbers + 1


def _built(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """Compile a graph so that its backward can be run twice, as `gradient_norms` does.

    torch lets a backward overwrite what its forward saved, unless the first run of the backward keeps the graph, as
    a training's first step does; one from torch's cache of whole graphs would be as another's first run made it.
    """
    from torch._dynamo import lookup_backend
    from torch._functorch import config

    with config.patch(enable_autograd_cache=False):
        return lookup_backend(ENGINE)(graph, inputs)
