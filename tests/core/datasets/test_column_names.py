"""Columns of a CSV that other programs name differently: they are named, never passed over in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets import check_evaluation, check_training, read_data
from scing_cli.core.datasets.column_names import OTHER_NAMES, other_names, renaming
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import COLUMNS


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_of_torchreid_are_named_in_notes_and_refusals(tmp_path, mark: str) -> None:
    table = tmp_path / "mine.csv"
    rows = [("path", "pid", "camid", "split"), ("a.jpg", "1", "2", "train"), ("b.jpg", "1", "2", "query")]
    table.write_text("".join(mark.join([*row]) + "\n" for row in [*rows, ("c.jpg", "1", "1", "gallery")]))
    data = read_data(table)
    for column, name in (("identity", "pid"), ("camera", "camid")):
        assert f"The column {name!r} is not read. If it holds the {column}, rename it to {column}." in data.notes
    for check in (check_training, check_evaluation):
        with pytest.raises(DataError, match="The column 'pid' is not read"):
            check(data.manifest)


def test_a_table_without_paths_names_the_column_that_likely_has_them(tmp_path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("img_path,person_id\na.jpg,1\n")
    with pytest.raises(DataError, match=r"(?s)no column `path`.*If 'img_path' holds the path, rename it to path\."):
        read_data(table)


@given(
    data=st.data(),
    column=st.sampled_from(sorted(OTHER_NAMES)),
    others=st.lists(st.sampled_from([*COLUMNS, "weather", "x", ""]), unique=True),
)
def test_a_column_is_named_in_any_spelling_unless_the_right_one_is_there(data, column: str, others: list[str]) -> None:
    name = data.draw(st.sampled_from(sorted(OTHER_NAMES[column])))
    place = data.draw(st.integers(1, len(name)))
    spelt = data.draw(st.sampled_from([str, str.upper, str.title]))(
        name[:place] + "_" * (place < len(name)) + name[place:]
    )
    header = data.draw(st.permutations([*others, spelt]))
    right = column in header
    assert other_names(header) == ({} if right else {column: spelt})
    assert bool(list(renaming(header))) == (not right and column != "path")


@pytest.mark.parametrize(
    ("name", "right"),
    [("Caption 2", "caption_2"), ("caption_1", "caption"), ("caption_02", "caption_2"), ("captions-3", "caption_3")],
)
def test_a_column_of_captions_that_is_almost_right_is_named(name: str, right: str) -> None:
    sentence = f"The column {name!r} is not read. If it holds captions, rename it to {right}."
    assert list(renaming(["path", "identity", "camera", "split", "caption", name])) == [sentence]
    assert list(renaming(["path", "identity", "camera", "split", "caption", " Caption_2", "caption_10"])) == []
