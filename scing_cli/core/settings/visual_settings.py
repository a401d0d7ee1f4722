"""Settings of stage 2."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from scing_cli.core.settings.field import METHOD, SCHEDULE, Probability, Setting, Weight
from scing_cli.core.settings.schedule_settings import Schedule, WarmupEpochs


class VisualSettings(Schedule):
    """Settings of stage 2 (`[train-visual]`). Each loss has its own default margin and label smoothing."""

    stage2_loss: Annotated[Literal["paper", "clip-reid"], Setting("The paper's losses, or CLIP-ReID's.", METHOD)] = (
        "paper"
    )
    camera_embedding: Annotated[bool, Setting("SIE: learn a vector for each training camera.", METHOD)] = False
    warmup_epochs: WarmupEpochs = 10
    occlusion: Annotated[  # not in the paper; it helps where objects hide parts of people
        Probability, Setting("Probability of occlusion; raise it for occluded queries.", SCHEDULE)
    ] = 0.0
    triplet_weight: Annotated[Weight, Setting("Weight of the triplet loss, gamma of Eq. 20.", METHOD)] = 1.0
    margin: Annotated[
        float,
        Field(ge=0, le=2),
        Setting("Margin of the triplet loss.", METHOD, default_with=("stage2_loss", "clip-reid", 0.3)),
    ] = 0.2
    label_smoothing: Annotated[
        float,
        Field(ge=0, lt=1),
        Setting("Label smoothing of the cross-entropies.", METHOD, default_with=("stage2_loss", "clip-reid", 0.1)),
    ] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _default_of_the_loss(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = {name.replace("-", "_"): value for name, value in values.items()}
        added = {}
        for name, setting in cls.described():
            if setting.default_with and name not in given:
                other, value, default = setting.default_with
                if given.get(other) == value:
                    added[name.replace("_", "-")] = default
        return values | added
