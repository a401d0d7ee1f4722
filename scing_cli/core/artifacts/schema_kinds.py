"""The table of all schemas, by the kind of file."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scing_cli.core.artifacts import schemas
from scing_cli.core.artifacts import shard_schemas as shards
from scing_cli.core.artifacts import training_schemas as training

KINDS: Mapping[str, type[schemas.Entry]] = MappingProxyType(
    {
        "run": schemas.RunFile,
        "visual stamp": schemas.VisualStamp,
        "prompts stamp": training.PromptsStamp,
        "tower prompts stamp": training.TowerPromptsStamp,
        "OpenVINO stamp": schemas.OpenVinoStamp,
        "OpenVINO text stamp": schemas.OpenVinoTextStamp,
        "graph statement": schemas.GraphStatement,
        "index stamp": schemas.IndexStamp,
        "unfinished training": training.UnfinishedFile,
        "shard plan": shards.ShardPlanFile,
        "shard mark": shards.ShardMark,
        "merge mark": shards.MergeMark,
    }
)
