"""`embed --append` gives rows of unchanged images the labels that the data have now."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures import put
from pipeline.conftest import MODEL

from scing_cli.core.index import GalleryIndex

EMBED = ("embed", *MODEL, "--data", "m.csv", "--append")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        put(tmp_path / "crops" / f"{number}.jpg", number, 1)
    return tmp_path


def write(labels):
    lines = [f"crops/{number}.jpg,{label},gallery" for number, label in enumerate(labels)]
    Path("m.csv").write_text("\n".join(["path,identity,camera,split", *lines]) + "\n")


def stored():
    index = GalleryIndex.read(Path("gallery.faiss"))
    rows = {Path(row.path).name: (row.id, row.identity, row.camera) for row in index.rows()}
    return [rows[name] for name in sorted(rows)], index.vectors()


def test_corrected_labels_reach_the_rows_under_the_same_ids(scing, here):
    write(["anna,1", "ben,1", "ben,2", "cleo,2"])
    assert scing(*EMBED).code == 0
    _, before = stored()
    write(["anna,1", "anna,1", "ben,3", "cleo,2"])
    done = scing(*EMBED, "--json").json
    assert [done[name] for name in ("added", "replaced", "relabelled", "skipped", "count")] == [0, 0, 2, 2, 4]
    rows, after = stored()
    assert rows == [(0, "anna", "1"), (1, "anna", "1"), (2, "ben", "3"), (3, "cleo", "2")]
    assert np.array_equal(before, after)
    write(["anna,1", "anna,1", "ben,2", "cleo,2"])
    put(here / "crops" / "0.jpg", 9, 9)
    shown = " ".join(scing(*EMBED).out.split())
    assert "0 rows added, 1 had changed and were replaced, 1 relabelled, 2 were there already" in shown
    unchanged = Path("gallery.faiss").read_bytes()
    assert scing(*EMBED, "--json").json["relabelled"] == 0
    assert Path("gallery.faiss").read_bytes() == unchanged


def test_images_without_labels_keep_those_of_their_rows(scing, here):
    write(["anna,1", "ben,1", "ben,2", "cleo,2"])
    assert scing(*EMBED).code == 0
    before, _ = stored()
    put(here / "crops" / "3.jpg", 9, 9)
    done = scing("embed", *MODEL, "--images", "crops", "--append", "--json")
    assert [done.json[name] for name in ("replaced", "relabelled", "skipped")] == [1, 0, 3]
    assert "no identity" not in done.err
    assert stored()[0] == [*before[:3], (4, "cleo", "2")]


@pytest.mark.parametrize("labelled_first", [True, False])
def test_mixing_labelled_and_unlabelled_rows_is_said(scing, here, labelled_first):
    write(["anna,1", "ben,1", "ben,2", "cleo,2"])
    put(here / "more" / "9.jpg", 8, 8)
    both = [EMBED, ("embed", *MODEL, "--images", "more", "--append")]
    first, second = both if labelled_first else both[::-1]
    assert "no identity" not in scing(*first).err
    assert "Warning: 1 of 5 rows has no identity now: in evaluate --index" in scing(*second).err
    assert "no identity" not in scing(*second).err
