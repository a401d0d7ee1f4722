"""`scing evaluate`: saved embeddings, several data sets in one table, and the queries that are not counted."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pipeline.test_refused import refuse
from safetensors.numpy import load_file

from scing_cli.core.datasets import read_data

FIGURES = ("mAP", "mINP", "rank1", "rank5", "rank10", "queries", "valid_queries", "gallery", "protocol")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def saved(scing, own_run, world, here):
    """A run's own vectors and labels, saved as arrays; and what evaluating the run gave."""
    figures = scing("evaluate", "--run", own_run, "--json").json
    manifest = read_data(world).manifest
    arrays = {}
    for part in ("query", "gallery"):
        arrays[part] = load_file(own_run / "embeddings" / f"{manifest.name}-{part}.safetensors")["vectors"]
        arrays[f"{part}_identity"] = np.array([row.identity for row in manifest.part(part)])
        arrays[f"{part}_camera"] = np.array([int(row.camera) for row in manifest.part(part)])
    np.savez(here / "all.npz", **arrays)
    (here / "arrays").mkdir()
    for name, array in arrays.items():
        np.save(here / "arrays" / f"{name}.npy", array)
    return {name: figures[name] for name in FIGURES}


@pytest.mark.parametrize("place", ["all.npz", "arrays"])
def test_saved_embeddings_score_as_the_run_they_come_from(scing, saved, place):
    told = scing("evaluate", "--embeddings", place, "--json")
    assert {name: told.json[name] for name in FIGURES} == pytest.approx(saved, abs=1e-9)
    assert (told.json["data"], told.json["model"], told.json["run"]) == (place, "saved embeddings", None)
    assert "unit length" not in told.err


def test_vectors_of_any_length_and_of_sixteen_bits_are_taken(scing, saved, here):
    arrays = dict(np.load("all.npz"))
    np.savez("long.npz", **arrays | {"query": 7 * arrays["query"]})
    told = scing("evaluate", "--embeddings", "long.npz", "--json")
    assert {name: told.json[name] for name in FIGURES} == pytest.approx(saved, abs=1e-9)
    assert told.err.count(f"{len(arrays['query'])} query vectors made unit length.") == 1
    np.savez("half.npz", **arrays | {part: arrays[part].astype(np.float16) for part in ("query", "gallery")})
    assert scing("evaluate", "--embeddings", "half.npz", "--json").json["mAP"] == pytest.approx(saved["mAP"], abs=5)


def test_scoring_saved_embeddings_loads_no_torch(saved):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from scing_cli.core.workflows.saved import evaluate_saved\n"
        "evaluate_saved(Path('all.npz'))\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_has_no_meaning_beside_saved_embeddings_is_refused(scing, saved, world):
    refuse(
        scing("evaluate", "--embeddings", "all.npz", "--data", world, "--run", "x"), "--run, --data: of no use beside"
    )
    refuse(scing("evaluate", "--embeddings", "nowhere.npz"), "nowhere.npz does not exist")


def test_several_data_sets_give_one_table(scing, finished, world, own_world, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    renamed = own_world.rename(own_world.with_name("other"))
    max((renamed / "query").glob("*.jpg")).unlink()
    both = ("--data", world, "--data", renamed)
    told = scing("evaluate", "--run", finished, *both, "--json").json["evaluations"]
    assert told == [scing("evaluate", "--run", finished, "--data", data, "--json").json for data in (world, renamed)]
    assert told[0]["queries"] == told[1]["queries"] + 1
    shown = scing("evaluate", "--run", finished, *both).out
    assert shown.count("┏") == 1
    assert [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")] == [world.name, "other"]
    assert f"other: {told[1]['valid_queries']} of {told[1]['queries']} queries count" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_one_faulty_data_set_of_several_is_told_before_anything_is_embedded(scing, finished, world, here):
    result = scing("evaluate", "--run", finished, "--data", world, "--data", "nowhere")
    refuse(result, "nowhere does not exist")
    assert "embed" not in result.err
    refuse(
        scing("evaluate", "--run", finished, "--data", world, "--data", world, "--index", "a.faiss"), "several --data"
    )


def test_lost_queries_are_named_on_request(scing, finished, world, here):
    rows = [
        {"path": str(row.path), "identity": row.identity, "camera": row.camera, "split": row.split}
        for row in read_data(world).manifest
    ]
    queries = [row for row in rows if row["split"] == "query"]
    queries[0]["identity"] = ""
    queries[1]["identity"] = "nobody else"
    with Path("mine.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows({**row, "path": str(world / row["path"])} for row in rows)
    asked = ("evaluate", "--run", finished, "--data", "mine.csv")
    told = scing(*asked, "--list-lost", "--json").json
    assert told["lost"] == [
        {"query": str(world / queries[0]["path"]), "reason": "unknown"},
        {"query": str(world / queries[1]["path"]), "reason": "absent"},
    ]
    assert "lost" not in scing(*asked, "--json").json
    shown = scing(*asked, "--list-lost").out
    assert f"{queries[0]['path']} has no identity" in shown
    assert f"{queries[1]['path']} has no image of its identity in the gallery" in shown
    assert queries[0]["path"] not in scing(*asked).out
