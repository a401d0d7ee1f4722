"""The training loop of all stages and methods: it only uses the losses and the parameters of a task."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from scing_cli.core.errors import ScingError, TrainingError, counted
from scing_cli.core.methods.task import Batch, Batches, Key, Task
from scing_cli.core.processes import ALONE, ProcessGroup
from scing_cli.core.runtime import Advance, Reporter
from scing_cli.core.training.fit import Fit
from scing_cli.core.training.gradients import device_of, gradient_norms, trainable_by_name
from scing_cli.core.training.interruption import Interruption
from scing_cli.core.training.metrics_file import MetricsLog
from scing_cli.core.training.optimiser import AdamGroups, make_adam
from scing_cli.core.training.schedule import LearningRate
from scing_cli.core.training.state import Checkpoint, Checkpoints, Progress
from scing_cli.core.training.step_metrics import REMEDY, StepMetrics, read, require

READ_EVERY = 50  # steps: reading figures waits for the accelerator


class Trainer:
    """Trains a task for a number of epochs.

    Args:
        task: The stage of a method to train.
        batch_sampler: Epoch -> its batches, as lists of training rows.
        batches_of: Lists of rows -> batches on the device.
        rate: The learning rate.
        bias_factor: Learning rate of biases / learning rate of the other parameters.
        weight_decay: Adam's, coupled (paper, 4.2).
        groups: Further settings of Adam; None for its usual ones.
        seed: First part of every draw's key.
        log: Gets the figures of every epoch.
        reporter: Shows progress.
        describe: Training rows -> names of their images, for the message about a loss that is not finite.
        checkpoints: Saves steps, and restores the last one; None to do neither.
        interruption: Delays Ctrl-C while weights change.
        group: The processes that take each step together; `log` and `checkpoints` are those of the first one.
    """

    def __init__(
        self,
        task: Task,
        *,
        batch_sampler: Callable[[int], Sequence[Sequence[int]]],
        batches_of: Batches,
        rate: LearningRate,
        bias_factor: float = 1.0,
        weight_decay: float,
        groups: AdamGroups | None = None,
        seed: int,
        log: MetricsLog,
        reporter: Reporter,
        describe: Callable[[Sequence[int]], str],
        checkpoints: Checkpoints | None = None,
        interruption: Interruption | None = None,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.task = task
        self.batch_sampler = batch_sampler
        self.batches_of = batches_of
        self.rate = rate
        self.bias_factor = bias_factor
        self.weight_decay = weight_decay
        self.groups = groups or AdamGroups()
        self.seed = seed
        self.log = log
        self.reporter = reporter
        self.describe = describe
        self.checkpoints = checkpoints if group.is_first else None
        self.interruption = interruption or Interruption()
        self.group = group
        self.progress = Progress()
        self.read_every = 1 if device_of(task.trainable()).type == "cpu" else READ_EVERY
        self._unread: list[StepMetrics] = []
        self._tensors: Mapping[str, Tensor] | None = None  # of the saved step that is restored
        self._loss = ""  # text: loss of the last step that was read
        self._in_step = False  # the optimiser is changing the weights: they must not be saved
        self._mark = 0.0  # time up to which seconds are counted

    def fit(self, epochs: int, *, dry_run: Callable[[], None], finish: Callable[[], None] | None = None) -> Fit:
        """Make a dry run, then train; resume from the last saved step if there is one.

        Args:
            epochs: Number of epochs.
            dry_run: Called after one step whose effect is undone later: should evaluate and save as at the end.
            finish: Called after the last step; when it is interrupted, the last step is saved as at any other time.

        Raises:
            TrainingError: If a loss is not finite.
            KeyboardInterrupt: On Ctrl-C or SIGTERM, after the last complete step was saved.
        """
        self._dry_run(dry_run)
        optimiser = self._optimiser()
        self._resume(optimiser)
        self.group.from_first(lambda: self.log.restart(self.task.name, after=self.progress.epoch))
        self._mark = time.monotonic()
        try:
            with self.reporter.progress(self.task.name, self._length(epochs)) as advance, self._signals():
                if self.progress.steps:
                    advance(self.progress.steps)
                while self.progress.epoch < epochs:
                    self._epoch(optimiser, advance)
                    self._end_epoch(optimiser)
                    self.interruption.meet(self.group)
            self._check_weights()
            if finish is not None:
                finish()
        except BaseException as error:
            self._save_at_the_end(error, optimiser)
            raise
        done = self.progress
        return Fit(done.steps, done.images, done.seconds, done.first, done.last)

    def _signals(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which several processes only note signals: they stop together after a step."""
        return self.interruption.noted() if self.group.size > 1 else contextlib.nullcontext()

    def _save_at_the_end(self, error: BaseException, optimiser: torch.optim.Optimizer) -> None:
        """Save the last step when an error or a signal ends the training."""
        # after a TrainingError the weights may be broken; after a second signal, stop at once
        broken = isinstance(error, TrainingError) or self.group.is_stuck
        if not self.checkpoints or self._in_step or self.interruption.again or broken:
            return
        if self.interruption.number is not None and not isinstance(error, ScingError):
            with contextlib.suppress(Exception, SystemExit):  # a closed stream must not prevent the save
                self.reporter.note("Interrupted: saving the last step. A second Ctrl-C stops at once.")
        with self._signals(), contextlib.suppress(TrainingError, RuntimeError):  # not finite; the device failed
            self._read()
            self.checkpoints.save_if_possible(self.progress, self.task.trainable(), optimiser)

    def _resume(self, optimiser: torch.optim.Optimizer) -> None:
        """Restore the last saved step."""
        self.progress, self._unread = Progress(), []
        progress = self.group.from_first(self._latest)
        if progress is not None:
            found = Checkpoint(progress, self.group.tensors_of_first(self._tensors))
            found.restore(self.task.trainable(), optimiser)
            self.progress, self._tensors = progress, None
            done = f"{counted(self.progress.epoch, 'epoch')} and {counted(self.progress.step, 'step')}"
            self.reporter.note(f"Resuming after {done}.")

    def _latest(self) -> Progress | None:
        """Read the last saved step; return its progress."""
        found = self.checkpoints.latest() if self.checkpoints else None
        self._tensors = found.tensors if found is not None else None
        return found.progress if found is not None else None

    def _length(self, epochs: int) -> int:
        return epochs * len(self.batch_sampler(0))

    def _optimiser(self) -> torch.optim.Adam:
        return make_adam(
            self.task.trainable(),
            lr=self.rate.base,
            bias_factor=self.bias_factor,
            weight_decay=self.weight_decay,
            groups=self.groups,
        )

    def _dry_run(self, dry_run: Callable[[], None]) -> None:
        self.reporter.note("Dry run: one step, a few queries, one save. Then the training starts.")
        module = self.task.trainable()
        if self.group.size > 1:  # all start from the same bits, whatever their machines compute
            module.load_state_dict(self.group.tensors_of_first(module.state_dict()))
        before = {name: value.detach().clone() for name, value in module.state_dict().items()}
        batch = next(iter(self.batches_of(self.batch_sampler(0)[:1])))
        optimiser = self._optimiser()
        self._gradients(batch, (self.seed, self.task.name, "dry run", 0), optimiser)
        optimiser.step()
        self.group.from_first(lambda: self._dry_save(module, optimiser, dry_run))
        module.load_state_dict(before)
        module.zero_grad(set_to_none=True)

    def _dry_save(self, module: nn.Module, optimiser: torch.optim.Optimizer, dry_run: Callable[[], None]) -> None:
        if self.checkpoints:
            self.checkpoints.dry_run(module, optimiser)
        dry_run()

    def _epoch(self, optimiser: torch.optim.Optimizer, advance: Advance) -> None:
        """Take the remaining steps of an epoch."""
        epoch = self.progress.epoch
        for group in optimiser.param_groups:
            group["lr"] = self.rate.at(epoch) * group["factor"]
        for batch in self.batches_of(self.batch_sampler(epoch)[self.progress.step :]):
            self._advance(batch, (self.seed, self.task.name, epoch, self.progress.step), optimiser)
            self.interruption.meet(self.group)
            advance(1, f"epoch {epoch + 1}{self._loss}")

    def _advance(self, batch: Batch, key: Key, optimiser: torch.optim.Optimizer) -> None:
        """Take one step of an epoch; an interruption leaves it complete or undone."""
        buffers = [(buffer, buffer.clone()) for buffer in self.task.trainable().buffers()]
        norms = self.progress.norms if self.progress.step else None
        try:
            reading, norms = self._gradients(batch, key, optimiser, norms=norms)
            with self.interruption.whole():
                self._in_step = True
                optimiser.step()
                self._count(reading, norms)
                buffers, self._in_step = [], False
                if len(self._unread) >= self.read_every:
                    self._read()
                if self.checkpoints and self.checkpoints.due():
                    self._read()
                    self.checkpoints.save_if_possible(self.progress, self.task.trainable(), optimiser)
        except BaseException:
            for buffer, value in buffers:  # batch normalisation changes its statistics in the forward pass
                buffer.copy_(value)
            raise

    def _count(self, reading: StepMetrics, norms: Mapping[str, float]) -> None:
        before, now = self.progress, time.monotonic()
        self._unread.append(reading)
        self.progress = dataclasses.replace(
            before,
            step=before.step + 1,
            steps=before.steps + 1,
            images=before.images + len(reading.rows),
            seconds=before.seconds + now - self._mark,
            epoch_seconds=before.epoch_seconds + now - self._mark,
            norms=norms,
        )
        self._mark = now

    def _read(self) -> None:
        """Read the figures that are still on the device, and add the time of the transfer."""
        if not self._unread:
            return
        steps = read(self._unread, self.describe)
        self._unread = []
        before, now = self.progress, time.monotonic()
        sums = dict(before.sums)
        for figures in steps:
            sums = {name: sums.get(name, 0.0) + value for name, value in figures.items()}
            self._loss = f", loss {figures['loss']:.3f}"
        self.progress = dataclasses.replace(
            before,
            sums=sums,
            seconds=before.seconds + now - self._mark,
            epoch_seconds=before.epoch_seconds + now - self._mark,
        )
        self._mark = now

    def _end_epoch(self, optimiser: torch.optim.Optimizer) -> None:
        """Log the figures of the epoch, and save a step unless saving is slow."""
        with self.interruption.whole():
            self._read()
        done = self.progress
        images = sum(map(len, self.batch_sampler(done.epoch)))
        means = {name: value / done.step for name, value in done.sums.items()}
        row = {"stage": self.task.name, "epoch": done.epoch + 1, "steps": done.step, "rate": self.rate.at(done.epoch)}
        pace = images / max(done.epoch_seconds, 1e-9)
        times = {"seconds": round(done.epoch_seconds, 3), "images_per_second": round(pace, 1)}
        with self.interruption.whole():
            if self.group.is_first:
                self.log.write({**row, **means, **done.norms, **times})
            self.progress = Progress(
                epoch=done.epoch + 1,
                steps=done.steps,
                images=done.images,
                seconds=done.seconds,
                first=done.first or means,
                last=means,
            )
            if self.checkpoints and self.checkpoints.worth_saving():
                self.checkpoints.save_if_possible(self.progress, self.task.trainable(), optimiser)

    def _gradients(
        self,
        batch: Batch,
        key: Key,
        optimiser: torch.optim.Optimizer,
        *,
        norms: Mapping[str, float] | None = None,
    ) -> tuple[StepMetrics, Mapping[str, float]]:
        """Compute the gradients of a step; if `norms` is None, also the gradient norm of each term (R3)."""
        losses = self.task.losses(batch, key)
        reading = StepMetrics.of(losses, batch.rows, key)
        if norms is None:
            read([reading], self.describe)
            norms = gradient_norms(losses.terms, self.task.trainable(), group=self.group)
            require(norms, "the gradient of", reading, self.describe)
        optimiser.zero_grad(set_to_none=True)
        with self.group.averaging([value for _, value in trainable_by_name(self.task.trainable())]):
            losses.total().backward()  # type: ignore[no-untyped-call]
        return reading, norms

    def _check_weights(self) -> None:
        broken = [name for name, value in self.task.trainable().named_parameters() if not bool(value.isfinite().all())]
        if broken:
            raise TrainingError(f"{self.task.name}: {broken[0]} is not finite after the last step.", REMEDY)
