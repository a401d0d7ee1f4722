"""Settings that both training stages share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from scing_cli.core.settings.field import (
    IMAGES,
    MACHINE,
    SCHEDULE,
    Count,
    Probability,
    Rate,
    Setting,
    Settings,
    Weight,
)

MINUTES = 10.0  # between two saved steps of a training; not a setting, because it changes no result


def _rising(epochs: tuple[int, ...]) -> tuple[int, ...]:
    if list(epochs) != sorted(set(epochs)):
        raise ValueError("must rise, as in 30,50")
    return epochs


Milestones = Annotated[tuple[Count, ...], AfterValidator(_rising)]
EpochNumber = Annotated[int, Field(ge=0, le=1_000_000)]
FinalRate = Annotated[float, Field(ge=0, le=10)]
BiasFactor = Annotated[float, Field(gt=0, le=100)]
Shape = Literal["steps", "cosine"]
EPOCHS = Setting("Number of epochs.", SCHEDULE)
LR = Setting("Learning rate.", SCHEDULE)
WEIGHT_DECAY = Setting("Adam's weight decay, coupled.", SCHEDULE)
SHAPE = Setting("Learning rate after the warm-up.", SCHEDULE)
WARMUP_EPOCHS = Setting("Epochs over which the learning rate rises.", SCHEDULE)
WARMUP_LR = Setting(
    "Learning rate at the start of the warm-up.",
    SCHEDULE,
    default="a tenth of --lr",
    idle_with=(("warmup_epochs", 0),),
)
BIAS_FACTOR = Setting("Factor of the learning rate for biases.", SCHEDULE)
FINAL_LR = Setting("Learning rate at the end of a cosine.", SCHEDULE, idle_with=(("schedule", "steps"),))

INDEPENDENT = Setting("Flip and crop each spectrum on its own, instead of all alike.", SCHEDULE, rows=IMAGES)


class Schedule(Settings):
    """Settings of both stages: Adam with coupled weight decay, batches, and the learning rate (paper, 4.2)."""

    epochs: Annotated[Count, EPOCHS] = 120
    lr: Annotated[Rate, LR] = 5e-5
    weight_decay: Annotated[Weight, WEIGHT_DECAY] = 5e-4
    schedule: Annotated[Shape, SHAPE] = "steps"
    milestones: Annotated[
        Milestones,
        Setting(
            "Epochs at which the rate falls to a tenth.",
            SCHEDULE,
            metavar="N,N",
            idle_with=(("schedule", "cosine"),),
        ),
    ] = (30, 50)
    warmup_epochs: Annotated[EpochNumber, WARMUP_EPOCHS] = 0
    warmup_lr: Annotated[Rate | None, WARMUP_LR] = None
    final_lr: Annotated[FinalRate, FINAL_LR] = 1e-6
    first_epoch: Annotated[Literal[0, 1], Setting("Number of the first epoch; 1 as in CLIP-ReID's code.", SCHEDULE)] = 0
    bias_lr_factor: Annotated[BiasFactor, BIAS_FACTOR] = 1.0
    batch_size: Annotated[int, Field(ge=2, le=65_536), Setting("Images in a batch.", SCHEDULE)] = 64
    instances: Annotated[
        int, Field(ge=1, le=1024), Setting("Images per identity in a batch.", SCHEDULE, rows=IMAGES)
    ] = 4
    flip: Annotated[Probability, Setting("Probability of a horizontal flip.", SCHEDULE)] = 0.5
    erase: Annotated[Probability, Setting("Probability of random erasing.", SCHEDULE)] = 0.5
    crop: Annotated[Probability, Setting("Probability of a padded random crop.", SCHEDULE)] = 0.5
    independent_augmentation: Annotated[bool, INDEPENDENT] = False
    seed: Annotated[int, Field(ge=0, lt=2**63), Setting("Seed of every random draw.", MACHINE)] = 0
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        Setting("Precision of the encoders; auto: bf16 where supported.", MACHINE),
    ] = "auto"
    compile: Annotated[
        bool,
        Setting("Compile the encoders' blocks, for GPUs.", MACHINE, option="--compile/--no-compile"),
    ] = False

    @model_validator(mode="after")
    def _batch_has_two_identities(self) -> Self:
        if not self.identity_batches:
            return self
        if self.batch_size % self.instances or self.batch_size // self.instances < 2:
            raise ValueError(
                f"--batch-size {self.batch_size} must be a multiple of --instances {self.instances}, "
                "of at least two identities"
            )
        return self

    @property
    def identity_batches(self) -> bool:
        """True if a batch is made of P identities with K images each."""
        return True

    @property
    def identities_per_batch(self) -> int:
        """P, the number of identities in a batch."""
        return self.batch_size // self.instances
