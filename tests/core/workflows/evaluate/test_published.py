"""Published rows shown next to an evaluation, and the message if there are none."""

from __future__ import annotations

import dataclasses
import doctest
from typing import Any

import pytest

from scing_cli.core.datasets.published_counts import PUBLISHED, Comparison, PartCount, compare
from scing_cli.core.evaluation.tables import read_tables
from scing_cli.core.settings import METHODS
from scing_cli.core.workflows.evaluate import published
from scing_cli.core.workflows.evaluate.published import choose_rows, rows_of

SCING = {"method": "scing"}
MARKET = PUBLISHED["Market-1501"].parts["train"]


def found(name: str, part: str = "query", **counts: int) -> Comparison:
    """Return what reading a published data set gives, with some counts of a part changed."""
    parts = dict(PUBLISHED[name].parts)
    comparison = compare({**parts, part: dataclasses.replace(parts[part], **counts)}, layout=PUBLISHED[name].layout)
    assert comparison is not None
    assert comparison.name == name
    return comparison


def choose(
    settings: dict[str, Any],
    comparison: Comparison,
    trained: PartCount | None = None,
    protocol: str = "",
) -> tuple[list[tuple[int, str, float | None, float | None]], str]:
    """Choose rows, by default for a run trained as published and the protocol that the data has."""
    usual = "market" if comparison.parts["query"].cameras else "no-camera"
    own = MARKET if comparison.name == "Occluded-REID" else comparison.parts["train"]
    rows, note = choose_rows(settings, comparison, trained or own, protocol=protocol or usual)
    return [(row.table, row.row, row.mAP, row.rank1) for row in rows], note


@pytest.mark.parametrize(
    ("settings", "name", "rows"),
    [
        (SCING, "Market-1501", [(1, "SCING", 91.0, 96.2)]),
        (SCING, "DukeMTMC-reID", [(1, "SCING", 83.7, 91.3)]),
        (SCING, "Occluded-Duke", [(2, "SCING", 63.4, 71.1), (3, "CLIP-ReID + SVIP + PDCA", 63.4, 71.1)]),
        (SCING, "Occluded-REID", [(2, "SCING", 90.9, 93.8)]),
        (SCING, "P-DukeMTMC-reID", [(2, "SCING", 84.4, 93.7)]),
        (SCING, "Occluded-Market", [(2, "SCING", 69.2, 80.3)]),
        ({**SCING, "consistency": True}, "Market-1501", [(1, "SCING", 91.0, 96.2)]),
        ({**SCING, "consistency": False}, "Occluded-Duke", [(3, "CLIP-ReID + SVIP", 62.1, 69.6)]),
        ({**SCING, "consistency-weight": 0.0}, "Occluded-Duke", [(3, "CLIP-ReID + SVIP", 62.1, 69.6)]),
        ({"method": "clip-reid"}, "Market-1501", [(1, "CLIP-ReID", 90.5, 95.4)]),
        (
            {"method": "clip-reid", "consistency": False},
            "Occluded-Duke",
            [(2, "CLIP-ReID", 60.3, 67.2), (3, "CLIP-ReID", 59.1, 65.7)],
        ),
        (
            {"method": "cocoop"},
            "Occluded-Duke",
            [(2, "CoCoOp", 62.4, 70.0), (3, "CLIP-ReID + metanet", 58.0, 67.4)],
        ),
    ],
)
def test_rows_of_the_same_method_and_data(
    settings: dict[str, Any], name: str, rows: list[tuple[int, str, float, float]]
) -> None:
    assert choose(settings, found(name)) == (rows, "")


@pytest.mark.parametrize(
    ("settings", "name", "what"),
    [
        ({"method": "clip-reid"}, "Occluded-REID", "CLIP-ReID on Occluded-REID"),
        ({**SCING, "consistency": False}, "Market-1501", "CLIP-ReID + SVIP on Market-1501"),
        (SCING, "MSMT17", "SCING on MSMT17"),
    ],
)
def test_where_the_paper_has_no_figures_that_is_said(settings: dict[str, Any], name: str, what: str) -> None:
    assert choose(settings, found(name)) == ([], f"The paper has no figures of {what}.")


@pytest.mark.parametrize("settings", [{}, {"method": "mine"}])
def test_of_a_method_that_no_table_has_nothing_is_said(settings: dict[str, Any]) -> None:
    assert choose(settings, found("Market-1501")) == ([], "")


@pytest.mark.parametrize("part", ["query", "gallery"])
@pytest.mark.parametrize("name", sorted({row.data for row in read_tables()} & PUBLISHED.keys() - {"MSMT17"}))
def test_one_image_less_and_no_row_stands_beside(name: str, part: str) -> None:
    images = PUBLISHED[name].parts[part].images
    said = f"the data is not {name} as published, {part} has {images - 1:,} images (published: {images:,})"
    assert choose(SCING, found(name, part, images=images - 1)) == ([], f"No published figures to compare with: {said}.")


def test_counts_that_no_source_was_found_of_do_not_matter() -> None:
    assert choose(SCING, found("Occluded-Duke", identities=520))[0]
    assert choose(SCING, found("P-DukeMTMC-reID", "gallery", identities=630))[0]
    assert not choose(SCING, found("P-DukeMTMC-reID", "query", identities=630))[0]
    assert choose(SCING, found("Occluded-Duke"), PartCount(700, 15_618, 0))[0]


def test_the_datas_own_training_part_does_not_matter_the_runs_does() -> None:
    empty = found("Market-1501", "train", identities=0, images=0, cameras=0)
    assert choose(SCING, empty, MARKET)[0] == [(1, "SCING", 91.0, 96.2)]
    rows, note = choose(SCING, found("Market-1501"), PUBLISHED["DukeMTMC-reID"].parts["train"])
    assert rows == []
    assert note == (
        "No published figures to compare with: the run was not trained on Market-1501 as published, train has 702 identities "
        "(published: 751), 16,522 images (published: 12,936), 8 cameras (published: 6)."
    )


def test_data_for_tests_alone_needs_a_model_of_market_1501() -> None:
    assert choose(SCING, found("Occluded-REID"), MARKET)[0]
    rows, note = choose(SCING, found("Occluded-REID"), dataclasses.replace(MARKET, images=12_935))
    assert rows == []
    assert "not trained on Market-1501 as published, train has 12,935 images (published: 12,936)." in note


def test_figures_of_another_protocol_are_not_compared() -> None:
    rows, note = choose(SCING, found("Market-1501"), protocol="no-camera")
    assert (rows, note) == (
        [],
        "No published figures to compare with: they are of the protocol market, this evaluation of no-camera.",
    )
    assert choose(SCING, found("Occluded-REID"), protocol="market")[0]  # no cameras: it leaves nothing out there


def test_every_method_of_the_paper_has_its_rows() -> None:
    names = {row.row for row in read_tables()}
    for spec in METHODS.values():
        assert set(spec.published) <= names
    assert {name for name in METHODS if rows_of({"method": name})} == {"scing", "clip-reid", "cocoop"}


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(published) == (0, 2)
