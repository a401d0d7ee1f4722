"""What the paper publishes: its Tables 1 to 4, which ship as data."""

from __future__ import annotations

import csv
import dataclasses
import functools
from pathlib import Path

FILE = Path(__file__).parents[2] / "assets" / "tables" / "published.csv"


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedRow:
    """One method on one data set, as a table of the paper has it; None where the table has no figure.

    Args:
        table: The table's number.
        row: The row's name; of Table 3, which has none, what its ticks say.
        group: The name of its group of rows.
        data: A name of `datasets.published`; in Table 4 `average`: over Occluded-Duke, Occluded-REID, P-DukeMTMC-reID.
        rank1: CMC at rank 1, percent.
        mAP: Mean average precision, percent.
        parameters: In millions; Table 4 alone.
        flops: In units of 10^9; Table 4 alone.
        source: Where the figures were read.
        note: What one must know before comparing; mostly empty.
    """

    table: int
    row: str
    group: str
    data: str
    rank1: float | None
    mAP: float | None  # noqa: N815 - the field's own name for it
    parameters: float | None
    flops: float | None
    source: str
    note: str


@functools.cache
def read_tables() -> tuple[PublishedRow, ...]:
    """Read the rows of all tables, in the paper's order.

    >>> [(row.mAP, row.rank1) for row in read_tables() if (row.table, row.row) == (3, "CLIP-ReID")]
    [(59.1, 65.7)]
    """
    with FILE.open(encoding="utf-8", newline="") as stream:
        return tuple(
            PublishedRow(
                table=int(line["table"]),
                row=line["row"],
                group=line["group"],
                data=line["data"],
                rank1=_figure(line["rank1"]),
                mAP=_figure(line["mAP"]),
                parameters=_figure(line["parameters"]),
                flops=_figure(line["flops"]),
                source=line["source"],
                note=line["note"],
            )
            for line in csv.DictReader(stream)
        )


def _figure(text: str) -> float | None:
    return float(text) if text else None
