"""Is a manifest enough for training, for evaluation?"""

from __future__ import annotations

from pathlib import Path

import pytest

from scing_cli.core.datasets.checks import check_evaluation, check_training, is_tested_by_words
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Manifest, Sample


def manifest(*rows: tuple[str, str]) -> Manifest:
    """Rows of (identity, split), each with a path of its own."""
    samples = tuple(Sample(f"{place}.jpg", identity, "", split) for place, (identity, split) in enumerate(rows))
    return Manifest(Path("data"), samples, "mine")


def test_data_for_tests_alone_name_the_usual_source() -> None:
    with pytest.raises(DataError) as caught:
        check_training(manifest(("1", "query"), ("1", "gallery")), train_on="Market-1501")
    assert caught.value.what == "mine is a test-only data set: it has no images for training."
    assert "usually Market-1501" in caught.value.remedy
    assert "scing evaluate --run RUN --data data" in caught.value.remedy


def test_two_identities_are_enough_to_train() -> None:
    check_training(manifest(("1", "train"), ("2", "train"), ("", "query")))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("1", "train"), ("1", "train"), ("2", "query")], r"mine has fewer than two identities .*there is only '1'"),
        ([("", "train"), ("", "train")], r"fewer than two identities in the split 'train' \(no row names one\)"),
        ([("1", "query"), ("2", "query")], r"mine has no image in the split 'train'"),
        ([("1", ""), ("2", "")], r"(?s)no image in the split 'train'.*no row has a split"),
        (
            [("1", "train"), ("2", "train"), ("", "train")],
            r"1 row without an identity in the split 'train', such as 2\.jpg",
        ),
    ],
)
def test_what_cannot_be_trained_on_is_refused(rows: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_training(manifest(*rows))


def test_one_shared_identity_is_enough_to_score() -> None:
    check_evaluation(manifest(("1", "query"), ("2", "query"), ("1", "gallery"), ("", "gallery")), "query")


def test_a_split_other_than_query_is_its_own_gallery() -> None:
    check_evaluation(manifest(("1", "val"), ("1", "val")), "val")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("1", "gallery")], r"(?s)no image in the split 'query'.*Splits it has: gallery"),
        ([("1", "query")], r"no image in the split 'gallery'"),
        ([("", "query"), ("1", "gallery")], r"no identity in the split 'query': it cannot be scored"),
        ([("1", "query"), ("", "gallery")], r"no identity in the split 'gallery'"),
        ([("1", "query"), ("2", "gallery")], r"no identity that is in both splits 'query' and 'gallery'"),
    ],
)
def test_what_cannot_be_scored_is_refused(rows: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_evaluation(manifest(*rows), "query")


def test_an_unknown_split_lists_the_known() -> None:
    with pytest.raises(
        DataError, match=r"(?s)The split 'test' is unknown.*Known splits: train, val, query, gallery, all"
    ):
        check_evaluation(manifest(("1", "query")), "test")


def test_queries_that_are_captions_are_named_with_the_way_to_search_by_them() -> None:
    samples = tuple(Sample(f"{number}.jpg", "1", split="gallery", caption="A man.") for number in range(2))
    data = Manifest(Path("data"), samples, "mine")
    assert is_tested_by_words(data)
    with pytest.raises(DataError) as caught:
        check_evaluation(data)
    assert caught.value.what == "mine has no image in the split 'query': its queries are the captions of the gallery."
    assert "scing evaluate --queries text" in caught.value.remedy
    check_evaluation(data, "gallery")
    assert not is_tested_by_words(manifest(("1", "gallery")))
    query = Sample("q.jpg", "1", split="query", caption="A man.")
    assert not is_tested_by_words(Manifest(Path("data"), (*samples, query), "mine"))
