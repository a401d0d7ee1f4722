"""Paths from outside: URLs are refused by name, empty folders are reported as empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from scing_cli.core.errors import DataError, SettingError
from scing_cli.core.paths import as_path, as_paths, check_csv_name, check_local, check_not_empty

URLS = ["https://host/a.jpg", "HTTP://host/a.jpg", "s3://bucket/crops/", "file:///data/a.jpg", "ftp://host/a"]


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_refused_and_named_as_it_was_given(url):
    for read in (as_path, as_paths, lambda given: check_local(Path(given))):
        with pytest.raises(DataError) as caught:
            read(url)
        assert caught.value.what == f"{url.rstrip('/')} is not a file: scing reads local files; download it first."


@pytest.mark.parametrize(
    "name", ["a.jpg", "http", "https:", "c:/a.jpg", "weights:1/a.pt", "data/https:/a.jpg", "-", "."]
)
def test_other_names_pass(name):
    assert as_path(name) == Path(name)


def test_an_empty_path_is_not_the_current_folder():
    for read in (as_path, as_paths):
        with pytest.raises(DataError, match="The path is empty"):
            read("")


def test_a_folder_of_that_name_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("http:").mkdir()
    Path("http:/a.jpg").touch()
    assert as_path("http:/a.jpg") == Path("http:/a.jpg")


def test_only_a_folder_without_entries_is_empty(tmp_path):
    with pytest.raises(DataError, match="is empty"):
        check_not_empty(tmp_path, "Fill it.")
    check_not_empty(tmp_path / "none", "Fill it.")
    (tmp_path / ".hidden").touch()
    check_not_empty(tmp_path, "Fill it.")


@pytest.mark.parametrize("name", ["hits.xlsx", "a.JPG", "x/rows.json", "g.faiss"])
def test_a_table_is_not_called_like_another_kind_of_file(name: str) -> None:
    with pytest.raises(SettingError, match=r"--csv .*: a CSV file is written, not a \.\w+ file\.\nName it \w+\.csv\."):
        check_csv_name(Path(name), "--csv")


@pytest.mark.parametrize("name", ["hits.csv", "hits.tsv", "hits.txt", "hits", "2024.05.01", "-"])
def test_other_names_of_tables_are_free(name: str) -> None:
    check_csv_name(Path(name), "--csv")
