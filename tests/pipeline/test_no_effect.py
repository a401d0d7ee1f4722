"""An option that has no effect where it is given is refused, or said where scripts may give it anyway."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures import FIXTURES
from pipeline.test_refused import refuse

MODEL = ("--model", "scing-tiny")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FIXTURES["images"].write(tmp_path / "crops")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("embed", "--images", "crops", "--split", "query", *MODEL), "--split has no effect with --images"),
        (("embed", "--images", "crops", "--layout", "market1501", *MODEL), "--layout has no effect with --images"),
        (("embed", "--layout", "market1501", "--run", "{run}"), "--layout has no effect without --data"),
        (("evaluate", "--layout", "market1501", "--run", "{run}"), "--layout has no effect without --data"),
    ],
)
def test_options_of_data_that_are_not_read_are_refused(scing, here, finished, words, message):
    refuse(scing(*(word.format(run=finished) for word in words)), message)
    assert not Path("gallery.faiss").exists()


def test_identities_that_an_index_lacks_cannot_group_its_rows(scing, here):
    assert scing("embed", "--images", "crops", *MODEL).code == 0
    photo = min(Path("crops").rglob("*.*"))
    refuse(scing("search", photo, "--group", "identity"), "--group identity: the index's rows have no identity")
    allowed = scing("search", photo, "--group", "identity", "--allow-missing")
    assert allowed.code == 0
    assert "Warning: --group identity" in allowed.err


def test_what_scripts_may_always_give_is_said(scing, here):
    assert scing("embed", "--images", "crops", *MODEL).code == 0
    photo = min(Path("crops").rglob("*.*"))
    assert "--allow-missing has no effect" in scing("search", photo, "--allow-missing").err
    notes = scing("prepare", FIXTURES["Market-1501"].write(here / "m"), "--include-val", "--json").json["notes"]
    assert "--include-val has no effect: there is no split val." in notes
