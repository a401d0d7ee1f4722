"""Other words for splits in a table: read where the meaning is certain, otherwise refused with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.folder_names import SPLIT_NAMES
from scing_cli.core.datasets.split_words import SplitWords
from scing_cli.core.errors import DataError


def listed(folder: Path, *splits: str) -> Path:
    source = folder / "mine.csv"
    rows = [f"{number}.jpg,{number},{split}" for number, split in enumerate(splits)]
    source.write_text("\n".join(["path,identity,split", *rows]) + "\n")
    return source


def test_certain_words_are_read_and_said(tmp_path: Path) -> None:
    data = read_data(listed(tmp_path, "Training", " probe ", "test", "valid", "gallery "[:0]))
    assert [row.split for row in data.manifest] == ["train", "query", "gallery", "val", ""]
    assert "The split test is read as gallery (1 row)." in data.notes
    assert "The split probe is read as query (1 row)." in data.notes
    plain = read_data(listed(tmp_path, "train", " gallery ", "QUERY"))
    assert not any("is read as" in note for note in plain.notes)


@pytest.mark.parametrize(
    ("splits", "hint"),
    [
        (("train", "test"), "'test' is unknown: mark the test images as query or gallery"),
        (("query", "gallery", "test"), "'test' is unknown: mark"),
        (("galery",), "'galery' is unknown: perhaps gallery is meant"),
        (("dev",), "'dev' is unknown: perhaps val is meant"),
        (("xyz",), "'xyz' is unknown\n"),
    ],
)
def test_other_words_are_refused_with_a_hint(tmp_path: Path, splits: tuple[str, ...], hint: str) -> None:
    with pytest.raises(DataError) as raised:
        read_data(listed(tmp_path, *splits))
    assert hint in str(raised.value)


@given(word=st.sampled_from(sorted(SPLIT_NAMES)), case=st.sampled_from([str.upper, str.title, str]), pad=st.text(" \t"))
def test_case_and_spaces_do_not_matter(word: str, case: type[str], pad: str) -> None:
    assert SplitWords([]).split(f"{pad}{case(word)}{pad}") == SPLIT_NAMES[word]
