"""The schemas of the files in which `scing embed --shards` divides its work."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scing_cli.core.artifacts.schemas import Count, Descriptor, Digest, Entry, IndexModel, PathText, Size, Word

MOST_SHARDS = 100_000


class PlanMaker(Entry):
    """What makes the vectors of all shards."""

    model_digest: Digest
    engine: Word
    precision: Word
    descriptor: Descriptor
    width: Size
    batch_size: Annotated[int, Field(ge=1)]


class AskedImages(Entry):
    """Which images the commands of a plan name."""

    images: list[PathText] | None
    data: list[PathText] | None
    layout: Word
    split: Word


class PlannedShard(Entry):
    """One shard: where its images stand in the listing."""

    start: Count
    size: Count
    images: Count
    digest: Digest


class PassedEntries(Entry):
    """Entries of the listed folders that were passed over for one reason."""

    reason: Word
    suffix: Word
    count: Annotated[int, Field(ge=1)]
    example: Word


class ShardPlanFile(Entry):
    """The plan of all shards, `plan.json`."""

    made_with: PlanMaker
    model: IndexModel
    asked: AskedImages
    root: PathText
    name: Word
    shards: Annotated[list[PlannedShard], Field(min_length=1, max_length=MOST_SHARDS)]
    passed: list[PassedEntries] = Field(default_factory=list)


class ShardMark(Entry):
    """The mark of a finished shard, such as `0007.json`."""

    plan: Digest
    shard: Count
    rows: Count
    left_out: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    index: Annotated[str, Field(pattern=r"^\d{4,6}-[0-9a-f]{8}\.faiss$")] | None = None


class MergeMark(Entry):
    """The mark of a merge that has begun, `merging.json`."""

    former: Annotated[str, Field(pattern=r"^\w{0,128}$")]
    newest: Count
