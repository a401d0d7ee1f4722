"""`captions.csv` next to any layout: several lines and several columns per path."""

from __future__ import annotations

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError

NAMES = ("0001_c1.jpg", "0002_c1.jpg", "0003_c1.jpg")
captions = st.text(st.sampled_from('a é,;"\n\t女'), max_size=8)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.tuples(st.sampled_from(NAMES), captions, captions, captions), max_size=8),
    order=st.permutations(["path", "caption", "caption_2", "caption_10"]),
)
def test_the_captions_of_a_path_are_all_of_its_lines_in_order(make_market, tmp_path_factory, lines, order) -> None:
    root = tmp_path_factory.getbasetemp() / "captioned"
    if not root.exists():
        make_market(train=NAMES).rename(root)
    with (root / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, order)
        writer.writeheader()
        for name, *texts in lines:
            row = {"path": f"bounding_box_train/{name}"}
            writer.writerow(row | dict(zip(("caption", "caption_2", "caption_10"), texts, strict=True)))
    for row in read_data(root).manifest:
        said = [text for name, *texts in lines for text in texts if row.path.endswith(name) and text.strip()]
        assert list(row.captions) == list(dict.fromkeys(said))


def test_a_path_in_two_spellings_has_one_list_of_captions(make_market) -> None:
    root = make_market(train=NAMES[:1])
    lines = [
        "bounding_box_train/0001_c1.jpg,One",
        "./bounding_box_train//0001_c1.jpg,Two",
        "bounding_box_train\\0001_c1.jpg,One",
    ]
    (root / "captions.csv").write_text("\n".join(["path,caption", *lines, ""]))
    (row,) = read_data(root).manifest
    assert (row.caption, row.extra, row.captions) == ("One", (("caption_2", "Two"),), ("One", "Two"))


def test_more_captions_than_a_row_can_have_are_a_fault(make_market) -> None:
    root = make_market(train=NAMES[:1])
    lines = [f"bounding_box_train/0001_c1.jpg,Text {number}" for number in range(51)]
    (root / "captions.csv").write_text("\n".join(["path,caption", *lines[:50], ""]))
    assert len(read_data(root).manifest.samples[0].captions) == 50
    (root / "captions.csv").write_text("\n".join(["path,caption", *lines, ""]))
    with pytest.raises(DataError, match=r"line 52: 'bounding_box_train/0001_c1\.jpg' has more than 50 captions"):
        read_data(root)
