"""`scing evaluate`: saved embeddings, several data sets in one table, and invalid queries."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from artifacts import edit_run
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse
from safetensors.numpy import load_file

from scing_cli.core.datasets import published_counts, read_data
from scing_cli.core.datasets.inspect import count_parts

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
        "from scing_cli.core.workflows.evaluate.evaluate_saved import evaluate_saved\n"
        "evaluate_saved(Path('all.npz'))\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_what_has_no_meaning_beside_saved_embeddings_is_refused(scing, saved, world):
    refuse(
        scing("evaluate", "--embeddings", "all.npz", "--data", world, "--run", "x"), "--run, --data have no effect with"
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
    assert f"other: {told[1]['valid_queries']} of {told[1]['queries']} queries are valid" in shown
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


@pytest.fixture
def as_published(world, monkeypatch):
    """Publish the drawn world's counts as those of a data set, with some counts of its training part changed."""

    def publish(name, **counts):
        counted = count_parts(read_data(world).manifest)
        parts = {name: dataclasses.replace(count, captions=0) for name, count in counted.items()}  # as of all but words
        parts["train"] = dataclasses.replace(parts["train"], **counts)
        own = published_counts.Published("market1501", parts, "drawn")
        monkeypatch.setattr(published_counts, "PUBLISHED", {**published_counts.PUBLISHED, name: own})

    return publish


def test_published_rows_stand_beside_a_run_on_data_as_published(scing, finished, as_published, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    as_published("Occluded-Duke")
    told = scing("evaluate", "--run", finished, "--json").json
    figures = {"mAP": 63.4, "rank1": 71.1, "note": ""}
    assert told["published"] == [
        {"table": 2, "row": "SCING", "source": "SCING paper, Table 2", **figures},
        {"table": 3, "row": "CLIP-ReID + SVIP + PDCA", "source": "SCING paper, Table 3", **figures},
    ]
    assert "published_note" not in told
    shown = scing("evaluate", "--run", finished).out
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]
    assert rows[0] == [told["data"], *(f"{told[name]:.2f}" for name in ("mAP", "mINP", "rank1", "rank5", "rank10"))]
    assert rows[1:] == [[f"published, Table {table}", "63.4", "", "71.1", "", ""] for table in (2, 3)]
    assert "Published: Table 2, SCING; Table 3, CLIP-ReID + SVIP + PDCA." in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_must_be_known_of_a_published_row_is_said(scing, finished, world, as_published, here):
    as_published("Market-1501")
    shown = scing("evaluate", "--run", finished, "--data", world).out
    assert "Published: Table 1, SCING (from section 4.4: the row is garbled in our copy of the table)." in shown


def test_of_several_data_sets_each_has_its_own_published_rows(scing, finished, world, own_world, as_published, here):
    as_published("Market-1501")
    lacking = own_world.rename(own_world.with_name("lacking"))
    max((lacking / "query").glob("*.jpg")).unlink()
    both = ("evaluate", "--run", finished, "--data", world, "--data", lacking)
    first, second = scing(*both, "--json").json["evaluations"]
    assert [row["table"] for row in first["published"]] == [1]
    assert second["published"] == []
    why = "the data is not Market-1501 as published, query has 17 images (published: 18)"
    assert second["published_note"] == f"No published figures to compare with: {why}."
    shown = scing(*both).out
    names = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")]
    assert names == [world.name, "published, Table 1", "lacking"]
    assert f"lacking: {second['published_note']}" in shown.splitlines()


def test_a_run_of_other_training_rows_has_no_published_rows(scing, finished, own_run, world, as_published, here):
    as_published("Market-1501", images=99)
    told = scing("evaluate", "--run", finished, "--json").json
    assert told["published"] == []
    assert told["published_note"].endswith(
        "the run was not trained on Market-1501 as published, train has 18 images (published: 99)."
    )
    (own_run / "manifest.csv").unlink()
    told = scing("evaluate", "--run", own_run, "--data", world, "--json").json
    assert told["published_note"] == f"No published figures to compare with: {own_run / 'manifest.csv'} is missing."


def test_a_run_without_consistency_stands_beside_the_row_without(scing, own_run, as_published, here):
    as_published("Occluded-Duke")
    edit_run(own_run, lambda info: info["settings"]["train-prompts"].update(consistency=False))
    told = scing("evaluate", "--run", own_run, "--json").json
    assert [(row["table"], row["row"], row["mAP"]) for row in told["published"]] == [(3, "CLIP-ReID + SVIP", 62.1)]


@pytest.mark.parametrize("options", ["plain", "index", "split", "embeddings", "unlike"])
def test_nothing_is_said_of_what_is_no_run_on_a_published_test(scing, finished, saved, world, as_published, options):
    if options != "unlike":
        as_published("Market-1501")
    given = {
        "plain": (*MODEL, "--data", world),
        "index": ("--run", finished, "--index", finished.parent / "gallery.faiss"),
        "split": ("--run", finished, "--split", "gallery"),
        "embeddings": ("--embeddings", "all.npz"),
        "unlike": ("--run", finished),
    }
    told = scing("evaluate", *given[options], "--json").json
    assert told["published"] == []
    assert "published_note" not in told
