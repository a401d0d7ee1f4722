"""The schemas of files that only trainings read: the stamps of stage 1, and the state of an unfinished training."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from scing_cli.core.artifacts.schemas import Count, Digest, Entry, PathText, Size, Word


class PromptsStamp(Entry):
    """The stamp of stage 1, `prompts/stamp.json`."""

    identities: list[str]
    logit_scale: Annotated[float, Field(gt=0, le=1e6)]
    model_digest: Digest
    similarity: Literal["cosine", "dot"] = "cosine"
    width: Size
    file_digest: Digest
    method: Word = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    run: Digest | None = None


Shape = Annotated[list[Size], Field(min_length=3, max_length=3)]


class TowerPromptsStamp(Entry):
    """The stamp of a stage 1 with deep prompts in both towers, or in none, `prompts/stamp.json`."""

    identities: list[str]
    model_digest: Digest
    text_digest: Digest
    shapes: dict[Literal["image", "text"], Shape]
    file_digest: Digest | None = None
    method: Word = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    run: Digest | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if len(self.shapes) == 1:
            raise ValueError("there are prompts of one encoder only")
        return self


class FactsEntry(Entry):
    """What decides whether a training is the same."""

    settings: dict[str, Any]


class MachineEntry(Entry):
    """The machine on which a training started."""

    device: Word
    precision: Word
    threads: Count
    versions: dict[str, Word]
    images: Word


class UnfinishedGiven(Entry):
    """What the user gave at the start of an unfinished training."""

    settings: dict[str, Any]
    path: PathText | Annotated[list[PathText], Field(min_length=2)] | None = None
    layout: Word = "auto"
    include_val: bool = Field(default=False, alias="include-val")
    device: Word = "auto"
    data: PathText | None = None
    pretrained: PathText | None = None
    validate_: bool = Field(default=False, alias="validate")


class UnfinishedFile(Entry):
    """The state of an unfinished training, `state/STAGE.json`."""

    facts: FactsEntry
    given: UnfinishedGiven
    machine: MachineEntry
