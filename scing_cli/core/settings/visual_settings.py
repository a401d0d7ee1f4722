"""Settings of stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from scing_cli.core.errors import SettingError
from scing_cli.core.settings.field import (
    IMAGES,
    METHOD,
    PAIRS,
    SCHEDULE,
    Count,
    Probability,
    Rate,
    Setting,
    Weight,
)
from scing_cli.core.settings.method_table import METHODS, find_method, rows_of
from scing_cli.core.settings.read_settings import check_read
from scing_cli.core.settings.schedule_settings import (
    EPOCHS,
    FINAL_LR,
    LR,
    SHAPE,
    WARMUP_EPOCHS,
    WEIGHT_DECAY,
    EpochNumber,
    FinalRate,
    Schedule,
    Shape,
)

TUNED = tuple(name for name, spec in METHODS.items() if spec.rows == PAIRS)  # methods that tune both encoders
LOSSES = {IMAGES: ("paper", "clip-reid"), PAIRS: ("sdm", "sdm+id", "itc")}


class VisualSettings(Schedule):
    """Settings of stage 2 (`[train-visual]`). Each loss has its own default margin and label smoothing."""

    method: Annotated[str, Field(exclude=True)] = "scing"  # the one of the run's stage 1, which saves it
    epochs: Annotated[Count, EPOCHS.with_default("method", *TUNED, default=60)] = 120
    lr: Annotated[Rate, LR.with_default("method", *TUNED, default=1e-5)] = 5e-5
    weight_decay: Annotated[Weight, WEIGHT_DECAY.with_default("method", *TUNED, default=4e-5)] = 5e-4
    bias_weight_decay: Annotated[
        Weight | None, Setting("Weight decay of biases.", SCHEDULE, default="that of --weight-decay")
    ] = None
    schedule: Annotated[Shape, SHAPE.with_default("method", *TUNED, default="cosine")] = "steps"
    warmup_epochs: Annotated[EpochNumber, WARMUP_EPOCHS.with_default("method", *TUNED, default=5)] = 10
    final_lr: Annotated[FinalRate, FINAL_LR.with_default("method", *TUNED, default=0.0)] = 1e-6
    adam_eps: Annotated[
        float, Field(gt=0, le=1, allow_inf_nan=False), Setting("Adam's epsilon, added to its denominator.", SCHEDULE)
    ] = 1e-8
    head_lr_factor: Annotated[
        float,
        Field(gt=0, le=100),
        Setting(
            "Factor of the learning rate for classifiers.",
            SCHEDULE,
            idle_with=(("stage2_loss", "paper"), ("stage2_loss", "sdm"), ("stage2_loss", "itc")),
        ),
    ] = 1.0
    stage2_loss: Annotated[
        Literal["paper", "clip-reid", "sdm", "sdm+id", "itc"],
        Setting("The paper's losses, or CLIP-ReID's; of captions the other three.", METHOD).with_default(
            "method", *TUNED, default="sdm+id"
        ),
    ] = "paper"
    mask_words: Annotated[
        float,
        Field(ge=0, le=0.9),
        Setting("Probability of masking each token of a training caption.", METHOD, rows=PAIRS),
    ] = 0.0
    camera_embedding: Annotated[bool, Setting("SIE: learn a vector for each training camera.", METHOD, rows=IMAGES)] = (
        False
    )
    occlusion: Annotated[  # not in the paper
        Probability, Setting("Probability of occlusion, which the paper does not have in stage 2.", SCHEDULE)
    ] = 0.0
    triplet_weight: Annotated[Weight, Setting("Weight of the triplet loss, gamma of Eq. 20.", METHOD, rows=IMAGES)] = (
        1.0
    )
    view_weight: Annotated[
        Weight,
        Setting(
            "Weight of the consistency with a perturbed view of each image, which costs a second pass (ours).",
            METHOD,
            rows=IMAGES,
        ),
    ] = 0.0
    prototype_weight: Annotated[
        Weight, Setting("Weight of the loss over moving centroids of all identities (ours).", METHOD, rows=IMAGES)
    ] = 0.0
    prototype_momentum: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Share of a centroid that stays in a step.", METHOD, rows=IMAGES, idle_with=(("prototype_weight", 0.0),)
        ),
    ] = 0.2
    prototype_softmax: Annotated[
        Literal["separate", "joint"],
        Setting(
            "Centroids in a softmax of their own, or in one with the texts.",
            METHOD,
            rows=IMAGES,
            idle_with=(("prototype_weight", 0.0),),
        ),
    ] = "separate"
    prototype_cameras: Annotated[
        bool,
        Setting(
            "A centroid for each camera that saw an identity.",
            METHOD,
            rows=IMAGES,
            idle_with=(("prototype_weight", 0.0),),
        ),
    ] = False
    ema: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting(
            "Keep the average of the encoder over the steps, with this decay; 0: the last step.", METHOD, rows=IMAGES
        ),
    ] = 0.0
    margin: Annotated[
        float,
        Field(ge=0, le=2),
        Setting("Margin of the triplet loss.", METHOD, rows=IMAGES).with_default(
            "stage2_loss", "clip-reid", default=0.3
        ),
    ] = 0.2
    label_smoothing: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting("Label smoothing of the cross-entropies.", METHOD, rows=IMAGES).with_default(
            "stage2_loss", "clip-reid", default=0.1
        ),
    ] = 0.0

    @property
    def identity_batches(self) -> bool:
        """True if a batch is made of P identities with K images each."""
        return rows_of(self.method) == IMAGES


def check_planned(method: str, table: Mapping[str, Any]) -> None:
    """Check before stage 1 that its method reads what a file says for stage 2.

    Raises:
        SettingError: If it does not, or has no stage 2.
    """
    if table and not find_method(method).has_stage2:
        raise SettingError(
            f"[train-visual]: --method {method} has one stage, which train-prompts trains.", "Leave that table out."
        )
    check_read(method, VisualSettings, [name.replace("-", "_") for name in table])
    check_loss(method, str(table.get("stage2-loss", LOSSES[rows_of(method)][0])))


def check_loss(method: str, loss: str) -> None:
    """Check that a method has these losses in stage 2.

    Raises:
        SettingError: If it does not.
    """
    known = LOSSES[rows_of(method)]
    if loss not in known:
        raise SettingError(
            f"--stage2-loss {loss} does not belong to --method {method}.",
            f"Use {', '.join(known[:-1])} or {known[-1]}.",
        )
