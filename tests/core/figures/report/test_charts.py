"""Charts of the report: they show the given data, also when there is little of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from pages import Chart

from scing_cli.core.figures.report.charts import LOWEST_RATE, cmc_chart, roc_chart, score_chart, training_chart

LINE = "stroke: var(--first); stroke-width: 2"
FIRST, SECOND = "fill: var(--first)", "fill: var(--second)"
EDGES = np.linspace(-1, 1, 9)
NOTHING = np.zeros(8, dtype=np.int64)
SAME, DIFFERENT = np.array([0, 0, 0, 0, 1, 1, 6, 0]), np.array([0, 2, 5, 10, 3, 0, 0, 0])


@pytest.fixture(autouse=True)
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def all_in_the_pages_colours(source: str) -> Chart:
    drawn = Chart(source)
    used = drawn.styles("fill") | drawn.styles("stroke")
    assert all(value == "none" or value.startswith("var(--") for value in used), used
    assert not drawn.black()
    assert drawn.root.get("aria-label")
    assert "width" not in drawn.root.attrib
    assert "nan" not in source.lower().replace("dominant", "")
    return drawn


def test_the_cmc_curve_goes_through_every_rank() -> None:
    cmc = np.array([42.5, 60, 60, 77.5, 90, 100, 100])
    drawn = all_in_the_pages_colours(cmc_chart(cmc))
    (line,) = drawn.paths(LINE)
    np.testing.assert_allclose(line, np.stack([np.arange(1, 8), cmc], axis=1), atol=0.02)
    np.testing.assert_allclose(drawn.points("--first"), [(1, 42.5)], atol=0.02)
    assert "rank-1 42.5" in drawn.texts()


@pytest.mark.parametrize("cmc", [[100.0], [37.5], [0.0], [100.0] * 50, [0.0] * 3])
def test_a_cmc_curve_of_one_rank_or_none_found_is_drawn(cmc: list[float]) -> None:
    drawn = all_in_the_pages_colours(cmc_chart(np.array(cmc)))
    np.testing.assert_allclose(drawn.points("--first"), [(1, cmc[0])], atol=0.05)
    assert f"rank-1 {cmc[0]:.1f}" in drawn.texts()


@pytest.mark.parametrize("ranks", [1, 2, 5, 50])
def test_ranks_are_whole_numbers(ranks: int) -> None:
    texts = Chart(cmc_chart(np.full(ranks, 50.0))).texts()
    assert all(float(text).is_integer() for text in texts[: texts.index("rank")])


def test_the_roc_curve_goes_through_every_point_that_has_a_false_match() -> None:
    false_match = np.array([1, 0.5, 0.1, 0.01, 0.001, 0, 0])
    true_match = np.array([1, 0.98, 0.9, 0.7, 0.4, 0.2, 0])
    drawn = all_in_the_pages_colours(roc_chart(false_match, true_match, {"0.01": (0.0098, 0.69)}))
    (line,) = drawn.paths(LINE)
    np.testing.assert_allclose(np.log10(line[:, 0]), np.log10(false_match[:5]), atol=0.01)
    np.testing.assert_allclose(line[:, 1], true_match[:5], atol=0.002)
    ((across, up),) = drawn.points("--first")
    assert (np.log10(across), up) == pytest.approx((np.log10(0.0098), 0.69), abs=0.01)
    assert "0.01" in drawn.texts()


@pytest.mark.parametrize(("lowest", "end"), [(1e-4, 1e-4), (1e-9, LOWEST_RATE)])
def test_a_point_without_false_matches_is_marked_at_the_left_end(lowest: float, end: float) -> None:
    drawn = Chart(roc_chart(np.array([1, lowest, 0]), np.array([1, 0.5, 0]), {"0.0001": (0.0, 0.4)}))
    ((across, up),) = drawn.points("--first")
    assert (np.log10(across), up) == pytest.approx((np.log10(end), 0.4), abs=0.02)
    assert "0.0001" in drawn.texts()


def test_without_different_people_the_roc_curve_is_empty() -> None:
    drawn = all_in_the_pages_colours(roc_chart(np.zeros(5), np.linspace(1, 0, 5), {}))
    assert drawn.paths(LINE) == []


def test_different_people_of_one_score_give_a_roc_curve_of_one_rate() -> None:
    drawn = all_in_the_pages_colours(roc_chart(np.array([1, 1, 0]), np.array([1, 0.5, 0]), {}))
    (line,) = drawn.paths(LINE)
    np.testing.assert_allclose(line, [[1, 1], [1, 0.5]], atol=0.002)


def test_each_kind_of_pairs_is_spread_as_a_share_of_its_own() -> None:
    drawn = all_in_the_pages_colours(score_chart(EDGES, SAME, DIFFERENT, {"FMR 0.01": 0.25}))
    for style, counts in ((FIRST, SAME), (SECOND, DIFFERENT)):
        heights = np.repeat(counts / counts.sum(), 2)
        (outline,) = drawn.paths(style)
        np.testing.assert_allclose(outline[1:17], np.stack([np.repeat(EDGES, 2)[1:-1], heights], axis=1), atol=0.004)
    assert {"same identity", "different identity"} <= set(drawn.texts())


def test_thresholds_are_marked_where_they_are() -> None:
    drawn = Chart(score_chart(EDGES, SAME, DIFFERENT, {"FMR 0.01": 0.25, "FMR 0.001": 0.4}))
    lines = drawn.paths("stroke-dasharray")
    assert [line[:, 0].tolist() for line in lines] == [pytest.approx([x, x], abs=0.003) for x in (0.25, 0.4)]
    assert {"FMR 0.01", "FMR 0.001"} <= set(drawn.texts())


def test_without_different_people_only_the_other_kind_is_drawn() -> None:
    drawn = all_in_the_pages_colours(score_chart(EDGES, SAME, NOTHING, {}))
    assert drawn.paths(SECOND) == []
    assert len(drawn.paths(FIRST)) == 1
    assert "different identity" not in drawn.texts()


def test_a_score_chart_without_pairs_is_empty() -> None:
    drawn = all_in_the_pages_colours(score_chart(EDGES, NOTHING, NOTHING, {}))
    assert drawn.paths(FIRST) == drawn.paths(SECOND) == []


def test_losses_go_through_every_epoch() -> None:
    rows = [{"epoch": epoch, "first_term": 3 / (1 + epoch), "second": 1.5 + epoch} for epoch in range(4)]
    drawn = all_in_the_pages_colours(training_chart("train-prompts", rows, ("first_term", "second")))
    for colour, term in (("first", "first_term"), ("second", "second")):
        (line,) = drawn.paths(f"stroke: var(--{colour}); stroke-width: 2")
        np.testing.assert_allclose(line, [[row["epoch"], row[term]] for row in rows], atol=0.01)
    assert {"first term", "second"} <= set(drawn.texts())


def test_a_single_epoch_can_be_seen() -> None:
    drawn = all_in_the_pages_colours(training_chart("train-visual", [{"epoch": 0, "identity": 2.5}], ("identity",)))
    assert any(point == pytest.approx((0, 2.5), abs=0.02) for point in drawn.points("--first"))


@pytest.mark.parametrize("epochs", [1, 2, 3, 60])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    rows = [{"epoch": epoch, "identity": 1.0 + epoch} for epoch in range(epochs)]
    texts = Chart(training_chart("train-visual", rows, ("identity",))).texts()
    assert all(float(text.replace("−", "-")).is_integer() for text in texts[: texts.index("epoch")])
