"""Labels that other programs write for a missing value, and test images without a camera, are said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.datasets.missing_values import FOR_SEVERAL, WRITTEN_FOR_NONE, missing_notes
from scing_cli.core.manifest import Manifest, Sample


def manifest(*rows):
    samples = (Sample(f"{number}.jpg", *row) for number, row in enumerate(rows))
    return Manifest(Path("/data"), tuple(samples), "data")


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "NULL", "<NA>", "#N/A", "#NV", "?", "-"])
def test_such_an_identity_is_told_with_its_count(word):
    (note,) = missing_notes(manifest((word, "1", "query"), (word, "2", "gallery"), ("anna", "1", "gallery")))
    assert note.startswith(f"2 rows have the identity {word}, which other programs write for a missing value")


def test_such_a_camera_is_told(tmp_path):
    table = tmp_path / "own.csv"
    table.write_text("path,identity,camera,split\na.jpg,anna,nan,query\nb.jpg,anna,2,gallery\n")
    (warning,) = read_data(table).warnings
    assert warning.startswith("1 row has the camera nan,")


def test_test_images_without_a_camera_are_counted():
    rows = [("anna", "1", "query"), ("anna", "", "gallery"), ("ben", "", "query"), ("ben", "2", "gallery")]
    (note,) = missing_notes(manifest(*rows, ("carl", "", "train")))
    assert note.startswith("2 of 4 query and gallery rows have no camera:")
    assert not list(missing_notes(manifest(*((name, "", split) for name, _, split in rows))))


@pytest.mark.parametrize("word", ["unknown", "Unknown", "tbd", "TBA", "not  known", "others"])
def test_a_name_for_whoever_is_not_known_is_told_in_a_table(word, tmp_path):
    (note,) = missing_notes(manifest((word, "1", "query"), (word, "2", "gallery"), ("anna", "1", "gallery")))
    assert note.startswith(f"2 rows have the identity {word}, which may stand for several people")
    table = tmp_path / "own.csv"
    table.write_text(f"path,identity,camera\na.jpg,{word},1\nb.jpg,anna,{word}\n")
    assert [warning.split(",")[0] for warning in read_data(table).warnings] == [
        f"1 row has the identity {word}",
        f"1 row has the camera {word}",
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("1E+15", "shorten"),
        ("1.00E+15", "shorten"),
        ("1,23457e+11", "shorten"),
        ("1-Jan", "date"),
        ("01. Mrz", "date"),
        ("Mar-01", "date"),
        ("3e5", ""),
        ("1-1", ""),
        ("May", ""),
        ("Jan 1", ""),
        ("1e15f", ""),
    ],
)
def test_a_name_that_a_spreadsheet_has_changed_is_told(name, told):
    notes = list(missing_notes(manifest((name, "1", "query"), ("anna", "2", "gallery"))))
    assert [told in note and note.startswith(f"1 row has the identity {name}") for note in notes] == [True] * bool(told)


@given(st.text(min_size=1))
def test_no_other_name_is_told(name):
    notes = list(missing_notes(manifest((name, "1", "query"), (name, "2", "gallery"))))
    assert bool(notes) == (" ".join(name.casefold().split()) in WRITTEN_FOR_NONE | FOR_SEVERAL)
