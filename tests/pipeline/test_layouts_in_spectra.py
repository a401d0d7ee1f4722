"""Every layout of several spectra through all commands, with a model that reads all of them: from folders to hits."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from fixtures import FIXTURES, Fixture
from pipeline.conftest import MODEL

from scing_cli.core.index import GalleryIndex
from scing_cli.core.spectra import SPECTRA

LAYOUTS = ("rgbnt201", "rgbnt100", "msvr310", "wmveid863", "spectrum-folders")
SPECTRAL = [name for name, fixture in FIXTURES.items() if fixture.layout in LAYOUTS]


@pytest.mark.parametrize("name", SPECTRAL)
def test_prepare_train_evaluate_embed_and_search(scing, tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    fixture: Fixture = FIXTURES[name]
    data = fixture.write(tmp_path / "data")
    table = Path(scing("prepare", data, "--json").json["manifest"])
    options = ("--epochs", "1", "--batch-size", "4", "--instances", "2", "--warmup-epochs", "0")
    trained = scing("train-prompts", "--data", data, "--method", "dmpt", *MODEL, *options, "--run", "run", "--json")
    assert trained.json["steps"] >= 1
    assert "which has one stage" in scing("train-visual", "--run", "run").err
    found = scing("evaluate", "--run", "run", "--json").json
    assert (found["protocol"], found["queries"]) == (fixture.protocol, fixture.parts["query"][1])
    grey = scing("evaluate", "--run", "run", "--drop", "thermal", "--missing", "zero", "--json").json
    assert grey["queries"] == found["queries"]
    embedded = scing("embed", "--run", "run", "--output", "gallery.faiss", "--json").json
    assert embedded["added"] == fixture.parts["gallery"][1]
    rows = GalleryIndex.read(Path("gallery.faiss")).rows()
    assert all(set(row.images) == set(SPECTRA) for row in rows)
    with table.open(encoding="utf-8", newline="") as file:
        query = next(row for row in csv.DictReader(file) if row["split"] == "query")
    photo, asked = tmp_path / query["path"], []
    if query.get("crops") != "3x1":
        asked = ["--near-infrared", tmp_path / query["near_infrared"], "--thermal", tmp_path / query["thermal"]]
    searched = scing("search", photo, *asked, "--index", "gallery.faiss", "--json", "--montage", "hits.png")
    assert ("read as a strip" in searched.err) == (fixture.layout == "rgbnt100")
    (own,) = searched.json["results"]
    assert len(own["hits"]) == min(10, len(rows))
    assert all(len(hit["images"]) == 3 for hit in own["hits"])
    assert Path("hits.png").stat().st_size > 0
