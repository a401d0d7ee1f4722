"""Which files are missing, however few names are known at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.workflows.embed import upkeep
from scing_cli.core.workflows.embed.upkeep import Folders

PLACES = [f"{folder}/{name}" for folder in ("a", "b", "a/c", "none", "a/1.jpg", "") for name in ("1.jpg", "2.jpg", "L")]


@settings(deadline=None, max_examples=100)
@given(most=st.integers(0, 12), asked=st.lists(st.sampled_from(PLACES), max_size=40))
def test_what_is_forgotten_is_looked_at(tmp_path_factory, most, asked):
    """A link counts by where it leads, and a folder that is missing or a file has nothing."""
    root = tmp_path_factory.getbasetemp() / "files"
    if not root.exists():
        for folder in ("a/c", "b"):
            (root / folder).mkdir(parents=True)
            (root / folder / "1.jpg").touch()
        (root / "a" / "1.jpg").touch()
        (root / "a" / "L").symlink_to("1.jpg")
        (root / "b" / "L").symlink_to("nowhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "MOST_NAMES", most)
        folders = Folders()
        for place in asked:
            assert folders.lack(f"{root}/{place}") == (not Path(f"{root}/{place}").exists()), place


@pytest.fixture
def calls(monkeypatch):
    """Count the folders that are listed and the files that are looked at."""
    found = {"listed": 0, "files": 0}
    for name, kind in (("_names", "listed"), ("_is_missing", "files")):
        real = getattr(upkeep, name)

        def counted(given, real=real, kind=kind):
            found[kind] += 1
            return real(given)

        monkeypatch.setattr(upkeep, name, counted)
    return found


@pytest.fixture
def files(tmp_path):
    """Files in twenty folders, a folder after the other."""
    found = [tmp_path / str(folder) / f"{number:060d}.jpg" for folder in range(20) for number in range(100)]
    for file in found:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    return [str(file) for file in found]


def test_in_the_order_of_folders_each_is_listed_once_and_few_names_are_known(files, calls, monkeypatch):
    most = {}
    for limit in (1 << 20, 250):
        monkeypatch.setattr(upkeep, "MOST_NAMES", limit)
        calls.update(listed=0, files=0)
        tracemalloc.start()
        folders = Folders()
        assert not any(map(folders.lack, files))
        most[limit] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert calls == {"listed": 20, "files": 0}
    assert most[250] < most[1 << 20] / 3


def test_in_turn_no_folder_is_listed_twice(files, calls, monkeypatch):
    """A listing for each file would take the square of the time."""
    monkeypatch.setattr(upkeep, "MOST_NAMES", 250)
    folders = Folders()
    in_turn = [files[100 * folder + number] for number in range(100) for folder in range(20)]
    assert not any(map(folders.lack, in_turn))
    assert calls["listed"] == 20
    assert calls["files"] <= len(files)


def test_one_folder_of_many_files_is_known_as_a_whole(files, calls, monkeypatch):
    monkeypatch.setattr(upkeep, "MOST_NAMES", 5)
    folders = Folders()
    assert not any(map(folders.lack, files))
    assert calls == {"listed": 20, "files": 0}
