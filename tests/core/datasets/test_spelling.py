"""Identities and cameras that are spelled in two ways: found for any respelling, with the effect."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.spelling import camera_key, identity_key, spelling_notes
from scing_cli.core.manifest import Manifest, Sample

LETTERS = st.text(st.sampled_from("abcdxyzßäéåñ한あ "), min_size=1, max_size=8).filter(str.strip)
FORMS = st.sampled_from(["NFC", "NFD"])


def manifest(*rows: tuple[str, str, str]) -> Manifest:
    """Rows of (identity, camera, split)."""
    samples = (Sample(f"{number}.jpg", who, camera, split) for number, (who, camera, split) in enumerate(rows))
    return Manifest(Path(), tuple(samples), "own")


@given(name=LETTERS, form=FORMS, upper=st.booleans(), before=st.text(" \t", max_size=2), after=st.text(" ", max_size=2))
def test_names_meet_whatever_their_case_spaces_and_unicode_form(name, form, upper, before, after) -> None:
    other = before + unicodedata.normalize(form, name.upper() if upper else name) + after
    assert identity_key(other) == identity_key(name)
    assert camera_key(other) == camera_key(name)


@given(number=st.integers(0, 99999), zeros=st.integers(0, 4), point=st.sampled_from(["", ".0"]))
def test_numbers_meet_whatever_their_zeros(number, zeros, point) -> None:
    assert identity_key("0" * zeros + str(number) + point) == identity_key(str(number))


@given(
    number=st.integers(0, 999),
    zeros=st.integers(0, 3),
    prefix=st.sampled_from(["", "c", "C", "cam", "CAM_", "camera ", "Camera-", "cam."]),
)
def test_cameras_meet_whatever_their_prefix(number, zeros, prefix) -> None:
    assert camera_key(prefix + "0" * zeros + str(number)) == camera_key(str(number))


@given(first=st.integers(0, 999), second=st.integers(0, 999))
def test_different_numbers_never_meet(first, second) -> None:
    assume(first != second)
    assert identity_key(f"{first:04}") != identity_key(str(second))
    assert camera_key(f"cam{first}") != camera_key(f"c{second:03}")
    assert spelling_notes(manifest((str(first), f"c{first}", "query"), (str(second), f"c{second}", "gallery"))) == ()


@settings(max_examples=50)
@given(st.lists(st.tuples(LETTERS, LETTERS), max_size=6))
def test_one_spelling_each_is_never_reported(rows) -> None:
    known = {identity_key(name): name for pair in rows for name in pair}
    assert spelling_notes(manifest(*((known[identity_key(a)], "1", "train") for a, _ in rows))) == ()


def test_cameras_of_no_common_spelling_leave_nothing_out() -> None:
    rows = [(str(who), "01", "query") for who in (1, 2)] + [(str(who), c, "gallery") for who in (1, 2) for c in "12"]
    (note,) = spelling_notes(manifest(*rows))
    assert note == (
        "Cameras '01' and '1' are counted as different cameras, but are spelled nearly alike: no gallery row shares a "
        "query's camera, so nothing is left out of a ranking. If they are the same, spell them alike."
    )


def test_cameras_that_differ_for_some_queries_are_counted() -> None:
    rows = [
        ("1", "c1", "query"),
        ("2", "2", "query"),
        ("1", "1", "gallery"),
        ("1", "2", "gallery"),
        ("2", "2", "gallery"),
    ]
    (note,) = spelling_notes(manifest(*rows))
    assert "Cameras '1' and 'c1' are counted as different cameras" in note
    assert "gallery images under the other spelling of the query's camera stay in the ranking of 1 query." in note


def test_identities_of_queries_that_do_not_match_are_counted() -> None:
    rows = [
        ("0001", "1", "query"),
        ("1", "2", "gallery"),
        ("Ann", "1", "query"),
        ("ann ", "2", "gallery"),
        ("7", "3", "train"),
    ]
    (note,) = spelling_notes(manifest(*rows))
    assert note == (
        "'0001' and '1' (and 1 more such group) are counted as different people, but are spelled nearly alike: each "
        "spelling is a person of its own, and 2 queries do not match the gallery images under the other spelling. If "
        "they are the same, spell them alike."
    )


def test_spellings_that_look_the_same_are_escaped() -> None:
    (note,) = spelling_notes(manifest(("Zoë", "", "train"), ("Zoe\u0308", "", "train")))
    assert "'Zoe\\u0308' and 'Zo\\xeb' are counted as different people" in note


@pytest.mark.parametrize("layout", ["csv", "folders"])
def test_every_layout_is_checked(tmp_path: Path, layout: str) -> None:
    (tmp_path / "m.csv").write_text("path,identity,camera\na.jpg,anna,1\nb.jpg,Anna,1\n")
    for name in ("own/anna/door/1.jpg", "own/Anna/door/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (note,) = read_data(tmp_path / ("m.csv" if layout == "csv" else "own")).warnings
    assert note.startswith("'Anna' and 'anna' are counted as different people")
