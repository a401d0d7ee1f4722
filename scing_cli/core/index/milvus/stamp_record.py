"""The stamp of a gallery in Milvus, as the text of a record."""

from __future__ import annotations

import dataclasses
import json

from scing_cli.core.artifacts.json_files import CHECKSUM, content_digest, with_checksum
from scing_cli.core.errors import IndexFileError
from scing_cli.core.index.index_stamp import Stamp

FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class StampRecord:
    """A stamp as a collection has it.

    Args:
        stamp: The stamp.
        first: The lowest id of the gallery.
        journal: Records of changes that are not carried out yet; 0 once they are.
        writer: The token of the process that wrote it.
    """

    stamp: Stamp
    first: int
    journal: int = 0
    writer: str = ""


def stamp_text(record: StampRecord) -> str:
    """Return a stamp as JSON with a checksum."""
    content = dataclasses.asdict(record.stamp) | {"model": dict(record.stamp.model), "first": record.first}
    content |= {"journal": record.journal, "writer": record.writer, "format": FORMAT, "metric": "inner product"}
    return json.dumps(with_checksum(content), ensure_ascii=True, allow_nan=False)


def parse_stamp(text: str, source: str) -> StampRecord:
    """Read a stamp.

    Args:
        text: What `stamp_text` returned.
        source: The address, for messages.

    Raises:
        IndexFileError: If it is damaged, or of a newer version.
    """
    from scing_cli.core.artifacts.schema_faults import find_fault  # imports pydantic

    try:
        content = json.loads(text)
        intact = content.pop(CHECKSUM, None) == content_digest(content)
        newer = content.pop("format") != FORMAT
        first, journal, writer = int(content.pop("first")), int(content.pop("journal")), str(content.pop("writer"))
        content.pop("metric")
        fault = "its checksum does not match" if not intact else "" if newer else find_fault("index stamp", content)
    except (ValueError, AttributeError, KeyError, TypeError):
        fault, newer = "it cannot be read", False
    if fault:
        raise IndexFileError(
            f"The stamp of {source} is damaged: {fault}.", "Drop the collection, and embed the gallery again."
        )
    if newer:
        raise IndexFileError(f"{source} was written by a newer scing.", "Install a newer scing-cli.")
    return StampRecord(Stamp(**{**content, "segments": ()}), first, journal, writer)
