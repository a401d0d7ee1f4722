"""One of several processes of a training, by `torch.distributed`.

Shapes: B rows of a batch, b = ceil(B / W) rows of a share, W processes, c copies of the batch.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group: some defaults there would keep it, and its threads, for ever
from torch import Tensor

from scing_cli.core.errors import agreeing, one_line
from scing_cli.core.processes.gradient_buckets import GradientBuckets, sizes_of
from scing_cli.core.processes.peer_errors import AGAIN, PeerLostError, SentError
from scing_cli.core.processes.process_group import ProcessGroup
from scing_cli.core.processes.share import Share

Value = TypeVar("Value")
PATIENCE = dt.timedelta(
    minutes=30
)  # for a meeting: as long as process 0 may need to save, to read a data set, to check
LAST_WORDS = 2.0  # seconds in which a process that has left may still be telling why


class SeveralProcesses(ProcessGroup):
    """This process as one of several.

    Args:
        store: A `torch.distributed.Store` where processes leave their errors; all of them share it.
        rank: Number of this process.
        size: Number of processes, at least 2.
        local_rank: Number of this process on its machine.
        local_size: Number of processes on its machine.
        backend: `process_backend` of the training device.
        patience: How long a meeting waits for the others.
        compress: Whether gradients travel as bf16.
        gpu: As in `ProcessGroup`; None for `local_rank`.
        sharers: As in `ProcessGroup`; None for `local_size`.
    """

    def __init__(
        self,
        store: Any,
        *,
        rank: int,
        size: int,
        local_rank: int,
        local_size: int,
        backend: str,
        patience: dt.timedelta = PATIENCE,
        compress: bool = False,
        gpu: int | None = None,
        sharers: int | None = None,
    ) -> None:
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size
        self.host = socket.gethostname()
        self.compress = compress
        self.on_gpus = backend != "gloo"
        self.gpu = local_rank if gpu is None else gpu
        self.sharers = local_size if sharers is None else sharers
        self._store = store
        self._talk: Any = None
        with self._meeting():
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience)
            # what is said, unlike tensors, never waits for a GPU
            self._talk = dist.new_group(backend="gloo", timeout=patience) if backend != "gloo" else dist.group.WORLD
        self.hosts = self.everyone(self.host)

    def share(self, count: int) -> Share:
        """Return the own rows of a batch: W shares of one size, of which the last ones repeat the last row."""
        each = math.ceil(count / self.size)
        rows = [min(row, count - 1) for row in range(self.rank * each, (self.rank + 1) * each)]
        return _Part(self, rows, count)

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Call a function in process 0; broadcast its result, or its error."""
        box: list[Any] = [None]
        own: Exception | None = None
        if self.is_first:
            try:
                box = [make()]
            except Exception as error:  # noqa: BLE001 - all processes raise it
                own, box = error, [SentError.of(error, host=self.host, rank=self.rank)]
        with self._meeting():
            dist.broadcast_object_list(box, src=0, group=self._talk)
        if own is not None:
            raise own
        if isinstance(box[0], SentError):
            raise box[0].raised(self.host)
        result: Value = box[0]
        return result

    def together(self, make: Callable[[], Value]) -> Value:
        """Call a function in every process, then tell whether it failed."""
        made, error = None, None
        try:
            made = make()
        except Exception as found:  # noqa: BLE001 - all processes raise it
            error = found
        self._settle(error)
        return made  # type: ignore[return-value]

    def agreed(self, items: Iterable[Value]) -> Iterator[Value]:
        """Yield items. Before each, all processes tell whether they have it."""
        iterator = iter(items)
        while True:
            item, error, ended = None, None, False
            try:
                item = next(iterator)
            except StopIteration:
                ended = True
            except Exception as found:  # noqa: BLE001 - all processes raise it
                error = found
            self._settle(error)
            if ended:
                return
            yield item  # type: ignore[misc]

    def _settle(self, own: Exception | None) -> None:
        """Raise the error of the first process that has one, in all."""
        if not self.highest(own is not None):
            return
        sent = self.everyone(None if own is None else SentError.of(own, host=self.host, rank=self.rank))
        first = next(error for error in sent if error is not None)
        if own is not None and first.rank == self.rank:
            raise own
        raise first.raised(self.host)

    def everyone(self, value: Value) -> list[Value]:
        """Gather a value of every process; it is pickled on the way."""
        values: list[Any] = [None] * self.size
        with self._meeting():
            dist.all_gather_object(values, value, group=self._talk)
        return values

    def highest(self, number: int) -> int:
        """Return the highest of the numbers of all processes; the cheapest meeting."""
        told = torch.tensor([int(number)])
        with self._meeting():
            dist.all_reduce(told, dist.ReduceOp.MAX, group=self._talk)
        return int(told)

    def tensors_of_first(self, tensors: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """Broadcast tensors through main memory, one by one: an object of a gigabyte would need three."""
        own = {name: value.detach().cpu().contiguous() for name, value in (tensors or {}).items()}
        kinds = self.from_first(lambda: [(name, value.shape, value.dtype) for name, value in own.items()])
        found = {}
        for name, shape, dtype in kinds:
            value = own[name] if self.is_first else torch.empty(shape, dtype=dtype)
            if value.numel():
                with self._meeting():
                    dist.broadcast(_as_bytes(value), src=0, group=self._talk)
            found[name] = value
        return found

    def averaging(self, parameters: Sequence[Tensor]) -> contextlib.AbstractContextManager[object]:
        """Average gradients while the backward pass goes on."""
        return GradientBuckets(parameters, self.size, self._meeting, compress=self.compress)

    def mean(self, gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Average gradients that exist already, in one meeting."""
        there = [gradient for gradient in gradients if gradient is not None]
        if not there:
            return gradients
        flat = torch.cat([gradient.reshape(-1) for gradient in there])
        with self._meeting():
            dist.all_reduce(flat)
        parts = iter(torch.split(flat.div_(self.size), sizes_of(there)))
        return [None if gradient is None else next(parts).view_as(gradient) for gradient in gradients]

    def gathered(self, own: Tensor) -> Tensor:
        """Return (W, ...) from (...) of each process, without a graph; of any type of numbers, bit for bit."""
        own = own.detach().contiguous()
        whole = own.new_empty(self.size, *own.shape)
        if own.numel():
            with self._meeting():
                dist.all_gather(list(_as_bytes(whole).view(self.size, -1).unbind()), _as_bytes(own))
        return whole

    def leave(self, error: BaseException | None = None) -> None:
        """Leave the group; tell the others the error that made this process leave."""
        if error is not None:
            with contextlib.suppress(Exception):
                sent = SentError.of(error, host=self.host, rank=self.rank)
                self._store.set(_place(self.rank), sent.text())
            return  # the sockets close with the process; to close them in order needs the others
        self._talk = None  # what is left at the interpreter's end would be torn down in any order, and may abort
        with contextlib.suppress(Exception):
            dist.destroy_process_group()
        self._store = None

    @contextlib.contextmanager
    def _meeting(self) -> Iterator[None]:
        """Turn a failure of a meeting into the error of the process that left, or into `PeerLostError`."""
        try:
            yield
        except RuntimeError as failure:
            self.is_broken = True
            raise self._why_not(failure) from failure

    def _why_not(self, failure: RuntimeError) -> BaseException:
        """Return the error that another process left behind; if none did, one that names those that left."""
        silent = set(range(self.size)) - {self.rank}
        with contextlib.suppress(Exception):
            self._store.set(f"scing/alive/{self.rank}", b"1")
            deadline = time.monotonic() + LAST_WORDS
            while silent and time.monotonic() < deadline:
                for rank in sorted(silent):
                    if self._store.check([_place(rank)]):
                        return SentError.read(self._store.get(_place(rank))).raised(self.host)
                    if self._store.check([f"scing/alive/{rank}"]):
                        silent.discard(rank)
                time.sleep(0.05)
        return PeerLostError(self.name_of(sorted(silent)) if silent else self._no_name_for(failure), AGAIN)

    def _no_name_for(self, failure: RuntimeError) -> str:
        return f"The {self.size} processes of this training lost each other: {one_line(failure)[:300]}"

    def name_of(self, ranks: Sequence[int]) -> str:
        """Return the sentence that some processes have left; at least one."""
        hosts = getattr(self, "hosts", [])
        names = [f"{rank} on {hosts[rank]}" if rank < len(hosts) else str(rank) for rank in ranks]
        is_gone = agreeing(len(names), "has ended or cannot be reached", "have ended or cannot be reached")
        return f"{agreeing(len(names), 'Process', 'Processes')} {', '.join(names)} (of {self.size}) {is_gone}."


class _Part(Share):
    """The share of one of several processes."""

    def __init__(self, group: SeveralProcesses, rows: Sequence[int], count: int) -> None:
        self.group = group
        self.rows = rows
        self.count = count

    def take(self, values: Tensor, *, copies: int = 1) -> Tensor:
        places = [copy * self.count + row for copy in range(copies) for row in self.rows or ()]
        return values[torch.tensor(places, device=values.device)]

    def whole(self, own: Tensor, *, copies: int = 1) -> Tensor:
        gathered: Tensor = _Gather.apply(own, self, copies)
        return gathered


class _Gather(torch.autograd.Function):
    """The rows of all processes from those of each; see `Share.whole` for the gradient."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, part: _Part, copies: int) -> Tensor:
        group, each = part.group, len(part.rows or ())
        vars(ctx).update(part=part, copies=copies, each=each)
        whole = group.gathered(own).view(group.size, copies, each, *own.shape[1:]).transpose(0, 1)
        return whole.reshape(copies, group.size * each, *own.shape[1:])[:, : part.count].flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        group, count, each, copies = ctx.part.group, ctx.part.count, ctx.each, ctx.copies
        rest = gradient.shape[1:]
        own = gradient.new_zeros(copies, each, *rest)  # rows that repeat the last one have no part in the loss
        first, last = min(group.rank * each, count), min((group.rank + 1) * each, count)
        own[:, : last - first] = gradient.view(copies, count, *rest)[:, first:last]
        return own.flatten(0, 1) * group.size, None, None


def _as_bytes(values: Tensor) -> Tensor:
    """Return contiguous values as bytes, in the same memory: gloo does not know every type of numbers."""
    return values.view(-1).view(torch.uint8)


def _place(rank: int) -> str:
    return f"scing/error/{rank}"
