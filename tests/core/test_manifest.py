"""The manifest: parts, identity map, fingerprint, and where written paths lead."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError, ScingError
from scing_cli.core.manifest import COLUMNS, SPLITS, Manifest, Sample, labels, with_own_paths, write_manifest

ROWS = (
    Sample("b.jpg", "10", "2", "gallery"),
    Sample("a.jpg", "9", "1", "train"),
    Sample("c.jpg", "10", "", "train"),
    Sample("d.jpg", "", "1", ""),
    Sample("a.jpg", "9", "1", "query"),
)


def mine(*rows: Sample, root: Path = Path("data")) -> Manifest:
    return Manifest(root, rows, "mine")


def test_a_part_keeps_the_order_and_all_is_everything() -> None:
    manifest = mine(*ROWS)
    assert manifest.part("train").samples == (ROWS[1], ROWS[2])
    assert manifest.part("all") == manifest
    assert manifest.splits() == ("train", "query", "gallery")
    assert (len(manifest), list(manifest)) == (5, list(ROWS))


def test_a_part_without_rows_names_the_parts_there_are() -> None:
    with pytest.raises(DataError, match=r"(?s)mine has no image in the split 'val'\..*it has: train, query, gallery\."):
        mine(*ROWS).part("val")
    with pytest.raises(DataError, match="no row has a split"):
        mine(ROWS[3]).part("query")
    with pytest.raises(
        DataError, match=r"(?s)The split 'Query' is unknown\..*Known splits: train, val, query, gallery, all"
    ):
        mine(*ROWS).part("Query")


@pytest.mark.parametrize(
    ("split", "rows", "way"),
    [
        ("val", ROWS, "Write val in the column split of a CSV (scing prepare DIR writes one)."),
        ("query", ROWS[1:3], "scing prepare DIR --hold-out 0.3 divides the people into training and test."),
        ("train", ROWS[3:4], "scing prepare DIR --hold-out 0.3 divides the people into training and test."),
        ("gallery", ROWS[1:3], "into training and test. scing embed --split all takes every image."),
    ],
)
def test_the_way_to_a_split_leads_to_it(split: str, rows: tuple[Sample, ...], way: str) -> None:
    with pytest.raises(DataError) as caught:
        mine(*rows).part(split)
    assert caught.value.remedy.endswith(way)
    assert ("--hold-out" in caught.value.remedy) == (split != "val")


def test_no_people_are_divided_where_some_are_tested_already() -> None:
    tested = [row for row in ROWS if row.split == "query"]
    for split in ("train", "gallery"):
        with pytest.raises(DataError, match=f"Write {split} in the column split of a CSV"):
            mine(*tested).part(split)


def test_captions_are_in_the_order_of_their_columns() -> None:
    row = Sample("a.jpg", caption="one", extra=(("caption_10", "ten"), ("weather", "rain"), ("caption_2", "two")))
    assert row.captions == ("one", "two", "ten")
    assert Sample("a.jpg", extra=(("caption_2", "two"), ("caption_3", " "), ("caption_1", "x"))).captions == ("two",)
    assert Sample("a.jpg").captions == ()


@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=12))
def test_captions_that_are_set_are_the_captions(captions: list[str]) -> None:
    row = Sample("a.jpg", caption="old", extra=(("caption_2", "old"), ("weather", "rain")))
    changed = row.with_captions(captions)
    assert changed.captions == tuple(captions)
    assert (changed.path, dict(changed.extra)["weather"]) == ("a.jpg", "rain")


def test_files_start_from_the_root_unless_absolute(tmp_path: Path) -> None:
    absolute = str(tmp_path / "x.jpg")
    manifest = mine(ROWS[0], Sample(absolute))
    assert manifest.files() == [Path("data/b.jpg"), tmp_path / "x.jpg"]
    assert [manifest.file(sample) for sample in manifest] == manifest.files()


def test_identities_sort_by_code_point_whatever_the_order_of_rows() -> None:
    manifest = mine(*ROWS, Sample("e", "é"), Sample("f", "Z"), Sample("g", "a"))
    assert manifest.identities() == ("10", "9", "Z", "a", "é")
    assert manifest.cameras() == ("1", "2")


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=10))
def test_labels_are_places_in_the_identity_map(identities: list[str]) -> None:
    samples = [Sample(f"{place}.jpg", identity) for place, identity in enumerate(identities)]
    names = mine(*samples).identities()
    assert [names[label] for label in labels(samples, names)] == identities


def test_an_identity_outside_the_map_is_named() -> None:
    with pytest.raises(DataError, match="Identity '9' is not in the identity map"):
        labels(ROWS, ["10"])


def test_the_fingerprint_knows_the_rows_but_not_the_root() -> None:
    manifest = mine(*ROWS)
    assert dataclasses.replace(manifest, root=Path("elsewhere"), name="other").fingerprint() == manifest.fingerprint()
    seen = {manifest.fingerprint(), mine(*reversed(ROWS)).fingerprint(), mine(*ROWS[1:]).fingerprint()}
    for field in ("path", "identity", "camera", "split", "caption"):
        changed = dataclasses.replace(ROWS[0], **{field: "val"})
        seen.add(mine(changed, *ROWS[1:]).fingerprint())
    for extra in ((("hour", "5"),), (("hour", "6"),), (("day", "5"),), (("hour", "5"), ("day", "5"))):
        seen.add(mine(dataclasses.replace(ROWS[0], extra=extra), *ROWS[1:]).fingerprint())
    assert len(seen) == 12
    gap = dataclasses.replace(ROWS[0], extra=(("hour", ""),))  # as a table has it where others have an hour
    assert mine(gap, *ROWS[1:]).fingerprint() == manifest.fingerprint()


@given(
    st.lists(
        st.tuples(st.text("ab\n", max_size=3), st.text("ab\n", max_size=3), st.sampled_from(["", *SPLITS])), max_size=4
    ).map(tuple),
    st.lists(
        st.tuples(st.text("ab\n", max_size=3), st.text("ab\n", max_size=3), st.sampled_from(["", *SPLITS])), max_size=4
    ).map(tuple),
)
def test_different_rows_have_different_fingerprints(one, other) -> None:
    digests = [
        mine(*(Sample(path, who, "", split) for path, who, split in rows)).fingerprint() for rows in (one, other)
    ]
    assert (digests[0] == digests[1]) == (one == other)


def test_the_written_file_is_plain_csv(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "rows.csv"
    row = Sample("a b.jpg", "1", "2", "query", 'says "hi", twice', (("hour", "5"),))
    write_manifest(mine(row, Sample("ü.jpg"), root=target.parent), target)
    assert target.read_bytes().decode() == (
        ",".join(COLUMNS) + ",hour\n" + 'a b.jpg,1,2,query,"says ""hi"", twice",5\n' + "ü.jpg,,,,,\n"
    )


def test_paths_lead_from_the_file_to_the_data(tmp_path: Path) -> None:
    root = tmp_path / "data" / "Market 1501"
    for folder, path in {
        "data": "Market 1501/a.jpg",
        "data/Market 1501": "a.jpg",
        "out/deep": "../../data/Market 1501/a.jpg",
    }.items():
        target = tmp_path / folder / "rows.csv"
        write_manifest(mine(Sample("a.jpg"), root=root), target)
        assert read_data(target).manifest.samples[0].path == path


def test_paths_are_relative_to_another_folder_on_demand(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "manifest.csv"
    write_manifest(mine(ROWS[1], root=tmp_path / "data"), target, relative_to=tmp_path / "data")
    assert read_data(target).manifest.samples == (ROWS[1],)


def test_a_relative_root_and_target_meet_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    write_manifest(mine(Sample("query/a.jpg"), root=Path("../data")), Path("rows.csv"))
    assert read_data(Path("rows.csv")).manifest.samples[0].path == "../data/query/a.jpg"


def test_absolute_paths_stay_absolute(tmp_path: Path) -> None:
    sample = Sample(str(tmp_path / "x.jpg"))
    write_manifest(mine(sample, root=tmp_path / "data"), tmp_path / "out" / "rows.csv")
    assert read_data(tmp_path / "out" / "rows.csv").manifest.samples == (sample,)


def test_a_linked_folder_does_not_lead_astray(tmp_path: Path) -> None:
    """`..` out of a link goes to the real folder's parent, which lies at another depth."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jpg").touch()
    (tmp_path / "very" / "deep" / "place").mkdir(parents=True)
    (tmp_path / "short").symlink_to(tmp_path / "very" / "deep" / "place")
    write_manifest(mine(Sample("a.jpg"), root=tmp_path / "data"), tmp_path / "short" / "rows.csv")
    assert read_data(tmp_path / "short" / "rows.csv").manifest.files()[0].is_file()


def test_a_failed_write_leaves_the_former_file(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    write_manifest(mine(Sample("a.jpg")), target)
    former = target.read_bytes()
    with pytest.raises(UnicodeEncodeError):
        write_manifest(mine(Sample("\udcff.jpg")), target)
    assert target.read_bytes() == former
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScingError, match=r"Cannot write .*rows\.csv"):
        write_manifest(mine(Sample("a.jpg")), tmp_path / "file" / "rows.csv")


@given(
    st.lists(st.sampled_from(["a.jpg", "x/b.jpg", "../c.jpg", "../y/../d.jpg", "/e/f.jpg", "/r/s/g.jpg"]), min_size=1)
)
def test_own_paths_name_the_same_files_below_the_root(paths: list[str]) -> None:
    before = mine(*(Sample(path, str(number)) for number, path in enumerate(paths)), root=Path("/r/s"))
    after = with_own_paths(before)
    assert [os.path.normpath(file) for file in after.files()] == [os.path.normpath(file) for file in before.files()]
    assert not any(row.path.startswith(("/", "..")) for row in after)
    assert [row.identity for row in after] == [row.identity for row in before]
    assert with_own_paths(after) == after
