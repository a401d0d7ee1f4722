"""The paper's tables in the package, compared with rows typed again from the paper, with its text, and with each other."""

from __future__ import annotations

import doctest
from collections import Counter

import pytest

from scing_cli.core.datasets.published_counts import OF_SPECTRA, PUBLISHED
from scing_cli.core.evaluation import tables
from scing_cli.core.evaluation.tables import PublishedRow, read_tables

Pair = tuple[float | None, float | None]  # rank-1 and mAP
NONE: Pair = (None, None)
HOLISTIC = ("Market-1501", "DukeMTMC-reID")
OCCLUDED = ("Occluded-Duke", "Occluded-REID", "P-DukeMTMC-reID", "Occluded-Market")
TYPED: dict[tuple[int, str], tuple[Pair, ...]] = {
    (1, "MGN"): ((95.7, 86.9), (88.7, 78.4)),
    (1, "PCB+RPP"): ((93.8, 81.6), (83.3, 69.2)),
    (1, "Circle"): ((94.2, 84.9), NONE),
    (1, "TransReID"): ((95.2, 88.9), (90.7, 82.6)),
    (1, "DC-Former"): ((96.0, 90.4), NONE),
    (1, "PFD"): ((95.5, 89.7), (91.2, 83.2)),
    (1, "SAP"): ((96.0, 90.5), NONE),
    (1, "CLIP-ReID"): ((95.4, 90.5), (90.8, 83.1)),
    (1, "CoCoOp"): ((94.8, 90.0), (90.8, 82.7)),
    (1, "ProFD"): ((95.6, 90.8), (92.1, 84.0)),
    (1, "SCING"): ((96.2, 91.0), (91.3, 83.7)),
    (2, "Part-Aligned"): ((28.8, 20.2), NONE, NONE, NONE),
    (2, "PCB"): ((42.6, 33.7), (41.3, 38.9), NONE, (66.0, 49.4)),
    (2, "PVPM"): ((47.0, 37.7), (70.4, 61.2), (51.5, 29.2), (66.8, 49.4)),
    (2, "GASM"): (NONE, (74.5, 65.6), NONE, NONE),
    (2, "TransReID"): ((66.4, 59.2), NONE, NONE, (78.2, 64.7)),
    (2, "FED"): ((68.1, 56.4), (86.3, 79.3), NONE, (66.7, 53.3)),
    (2, "DPM"): ((71.4, 61.8), (85.5, 79.7), NONE, NONE),
    (2, "RGANet"): ((71.6, 62.4), (86.4, 80.0), NONE, NONE),
    (2, "CLIP-ReID"): ((67.2, 60.3), NONE, (91.3, 83.7), (79.5, 68.7)),
    (2, "CoCoOp"): ((70.0, 62.4), NONE, (90.0, 83.2), (79.0, 68.1)),
    (2, "ProFD"): ((70.6, 63.1), (92.3, 90.3), (92.8, 84.7), NONE),
    (2, "SCING"): ((71.1, 63.4), (93.8, 90.9), (93.7, 84.4), (80.3, 69.2)),
    (3, "CLIP-ReID"): ((65.7, 59.1),),
    (3, "CLIP-ReID + metanet"): ((67.4, 58.0),),
    (3, "CLIP-ReID + SVIP"): ((69.6, 62.1),),
    (3, "CLIP-ReID + SVIP + PDCA"): ((71.1, 63.4),),
    (4, "CLIP-ReID"): ((67.20, 60.30),),
    (4, "CoCoOp"): (NONE,),
    (4, "ProFD"): ((85.23, 79.37),),
    (4, "SCING"): ((86.20, 79.57),),
}
COLUMNS = {1: HOLISTIC, 2: OCCLUDED, 3: ("Occluded-Duke",), 4: ("average",)}


def one(table: int, row: str, data: str) -> PublishedRow:
    (found,) = [each for each in read_tables() if (each.table, each.row, each.data) == (table, row, data)]
    return found


@pytest.mark.parametrize(("table", "row"), TYPED)
def test_rows_are_as_typed_anew_from_the_paper(table: int, row: str) -> None:
    found = tuple(one(table, row, data) for data in COLUMNS[table])
    assert tuple((each.rank1, each.mAP) for each in found) == TYPED[table, row]


def test_every_row_of_every_table_is_there_once() -> None:
    rows = read_tables()
    assert len({(row.table, row.row, row.data) for row in rows}) == len(rows)
    names = {table: list(dict.fromkeys(row.row for row in rows if row.table == table)) for table in COLUMNS}
    assert {table: len(own) for table, own in names.items()} == {1: 24, 2: 25, 3: 4, 4: 4}
    listed = [(table, row, data) for table, own in names.items() for row in own for data in COLUMNS[table]]
    assert [(row.table, row.row, row.data) for row in rows] == listed
    groups = Counter((row.table, row.group) for row in rows)
    assert groups == {
        (1, "Non CLIP-based"): 40,
        (1, "CLIP-based"): 8,
        (2, "Non CLIP-based"): 84,
        (2, "CLIP-based"): 16,
        (3, "Ablation"): 4,
        (4, "CLIP-based"): 4,
    }


def test_data_sets_have_the_names_of_the_published_counts() -> None:
    assert {row.data for row in read_tables()} - {"average"} == set(PUBLISHED) - {"MSMT17", "VeRi-776"} - {
        name for name, published in PUBLISHED.items() if published.layout in OF_SPECTRA
    }


def test_every_figure_is_a_percentage_and_rank_1_is_above_map() -> None:
    """No published row of these tables has them the other way round: columns taken for one another would show."""
    pairs = [(row.rank1, row.mAP) for row in read_tables()]
    known = [(rank1, precision) for rank1, precision in pairs if rank1 is not None and precision is not None]
    assert len(known) + pairs.count(NONE) == len(pairs)
    assert all(20 <= precision < rank1 < 97 for rank1, precision in known)


@pytest.mark.parametrize("row", ["SCING", "ProFD"])
def test_table_4_averages_table_2(row: str) -> None:
    parts = [one(2, row, data) for data in OCCLUDED[:3]]
    average = one(4, row, "average")
    for name in ("rank1", "mAP"):
        assert getattr(average, name) == pytest.approx(sum(getattr(part, name) for part in parts) / 3, abs=0.005)


def test_what_table_4_calls_clip_reids_average_is_of_one_data_set_and_says_so() -> None:
    average, part = one(4, "CLIP-ReID", "average"), one(2, "CLIP-ReID", "Occluded-Duke")
    assert (average.rank1, average.mAP) == (part.rank1, part.mAP)
    assert "no average" in average.note


def test_table_4_has_the_costs() -> None:
    costs = {row.row: (row.parameters, row.flops) for row in read_tables() if row.table == 4}
    assert costs == {
        "CLIP-ReID": (126.55, 24.14),
        "CoCoOp": (126.59, 24.14),
        "ProFD": (138.47, 38.11),
        "SCING": (126.95, 24.14),
    }
    assert {(row.parameters, row.flops) for row in read_tables() if row.table != 4} == {NONE}


@pytest.mark.parametrize(
    ("row", "other", "data", "rank1", "precision"),
    [
        ("SCING", "CLIP-ReID", "Market-1501", 0.8, 0.5),
        ("SCING", "CLIP-ReID", "DukeMTMC-reID", 0.5, 0.6),
        ("SCING", "ProFD", "Occluded-Duke", 0.5, 0.3),
        ("SCING", "ProFD", "Occluded-REID", 1.5, 0.6),
        ("SCING", "ProFD", "P-DukeMTMC-reID", 0.9, -0.3),
        ("CLIP-ReID + metanet", "CLIP-ReID", "Occluded-Duke", 1.7, -1.1),
        ("CLIP-ReID + SVIP", "CLIP-ReID + metanet", "Occluded-Duke", 2.2, 4.1),
        ("CLIP-ReID + SVIP + PDCA", "CLIP-ReID", "Occluded-Duke", 5.4, 4.3),
    ],
)
def test_rows_differ_by_what_the_prose_says(row: str, other: str, data: str, rank1: float, precision: float) -> None:
    table = 3 if "+" in row else 1 if data in HOLISTIC else 2
    own, beside = one(table, row, data), one(table, other, data)
    assert own.rank1 is not None
    assert own.mAP is not None
    assert (own.rank1 - (beside.rank1 or 0), own.mAP - (beside.mAP or 0)) == pytest.approx((rank1, precision))


def test_what_a_reader_must_know_stands_with_the_row() -> None:
    assert all(row.source == f"SCING paper, Table {row.table}" for row in read_tables() if "garbled" not in row.note)
    garbled = [row for row in read_tables() if "garbled" in row.note]
    assert [(row.table, row.row, row.source) for row in garbled] == [(1, "SCING", "SCING paper, section 4.4")] * 2
    others = {(row.table, row.row) for row in read_tables() if "other figures" in row.note}
    assert others == {(2, "CLIP-ReID"), (2, "CoCoOp"), (3, "CLIP-ReID"), (3, "CLIP-ReID + metanet")}
    assert {row.row for row in read_tables() if "stride 12" in row.note} == {"DC-Former", "DPM", "PFD", "SAP"}


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(tables) == (0, 1)
