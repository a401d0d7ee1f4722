"""What a training asks of the processes that it runs in. Alone, every answer is that of one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from scing_cli.core.processes.share import WHOLE, Share

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


class ProcessGroup:
    """This process alone; `SeveralProcesses` is the same for one of several.

    Every method but `share` is a meeting: all processes must call the same ones in the same order. If one of them fails
    elsewhere, the others raise its error at the next meeting, or `PeerLostError` if it left without a word.

    Attributes:
        rank: Number of this process; process 0 has the run folder, and it alone says anything.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        local_size: Number of processes on its machine.
        compress: Whether gradients travel as bf16.
        gpu: Number of the GPU of this process on its machine; None to let the device's name decide.
        sharers: How many processes share the cores that this one may use.
        on_gpus: Whether tensors are exchanged between GPUs.
        is_broken: Whether another process has left.
    """

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1
    compress = False
    gpu: int | None = None
    sharers = 1
    on_gpus = False
    is_broken = False

    @property
    def is_stuck(self) -> bool:
        """True if a GPU waits for a process that has left: nothing can be read from it any more."""
        return self.is_broken and self.on_gpus

    @property
    def is_first(self) -> bool:
        """True in process 0."""
        return self.rank == 0

    def share(self, count: int) -> Share:
        """Return which of the rows of a batch, so many, this process encodes."""
        del count
        return WHOLE

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Call a function in process 0, and return its result in all; its error is raised in all."""
        return make()

    @contextlib.contextmanager
    def entered(self, make: Callable[[], contextlib.AbstractContextManager[Value]]) -> Iterator[Value]:
        """Enter a context in process 0, and give its value to all."""
        with contextlib.ExitStack() as stack:
            yield self.from_first(lambda: stack.enter_context(make()))

    def together(self, make: Callable[[], Value]) -> Value:
        """Call a function in every process, and return its own result; the error of one is raised in all."""
        return make()

    def agreed(self, items: Iterable[Value]) -> Iterator[Value]:
        """Yield items; an error of one process while it makes an item is raised in all."""
        yield from items

    def everyone(self, value: Value) -> list[Value]:
        """Return the values of all processes, in the order of their ranks."""
        return [value]

    def highest(self, number: int) -> int:
        """Return the highest number of any process."""
        return number

    def tensors_of_first(self, tensors: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """Return the tensors of process 0 in all processes, where those of the others may be None.

        Raises:
            ValueError: If process 0 has none.
        """
        if tensors is None:
            raise ValueError("the first process has no tensors to give")
        return tensors

    def averaging(self, parameters: Sequence[Tensor]) -> contextlib.AbstractContextManager[object]:
        """Return a context for a backward pass, after which gradients are the mean of those of all processes."""
        del parameters
        return contextlib.nullcontext()

    def mean(self, gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Return the means of gradients over all processes; None where there is none."""
        return gradients

    def leave(self, error: BaseException | None = None) -> None:
        """Leave the group at the end; with the error that made this process leave, tell it to the others."""
        del error


ALONE = ProcessGroup()
