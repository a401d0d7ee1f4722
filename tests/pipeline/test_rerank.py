"""`evaluate --rerank` and `search --rerank` as a user types them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from oracles.sides import of_case
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse
from safetensors.numpy import load_file

from scing_cli.core.datasets import read_data
from scing_cli.core.evaluation import Reranking, evaluate
from scing_cli.core.evaluation.cost import Cost
from scing_cli.core.workflows.evaluate import ranked as workflow

FIGURES = ("mAP", "mINP", "rank1", "rank5", "rank10")
USUAL = {"k1": 20, "k2": 6, "lambda": 0.3}
SETTINGS = ("--k1", "4", "--k2", "2", "--lambda", "0.5")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def parts(scing, own_run, world, here):
    """The run's own vectors and labels of queries and gallery, by the names of `evaluate`."""
    assert scing("evaluate", "--run", own_run).code == 0
    manifest, arrays = read_data(world).manifest, {}
    for part in ("query", "gallery"):
        arrays[part] = load_file(own_run / "embeddings" / f"{manifest.name}-{part}.safetensors")["vectors"]
        arrays[f"{part}_identities"] = [row.identity for row in manifest.part(part)]
        arrays[f"{part}_cameras"] = [row.camera for row in manifest.part(part)]
    return arrays


@pytest.fixture
def saved(parts):
    """The same as a file of arrays."""
    np.savez(
        "all.npz",
        query=parts["query"],
        gallery=parts["gallery"],
        query_identity=np.array(parts["query_identities"]),
        gallery_identity=np.array(parts["gallery_identities"]),
        query_camera=np.array(parts["query_cameras"]),
        gallery_camera=np.array(parts["gallery_cameras"]),
    )


@pytest.fixture
def costly(monkeypatch):
    """Make every re-ranking seem to take some time and memory."""
    return lambda seconds, memory: monkeypatch.setattr(workflow, "reranking_cost", lambda *_: Cost(seconds, memory))


def figures(parts, settings=None):
    scores = of_case(evaluate, **parts, protocol="market", reranking=settings)
    return {name: getattr(scores, name) for name in FIGURES}


def rows(shown):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]


def test_both_rows_stand_in_one_table(scing, own_run, parts, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    plain, reranked = figures(parts), figures(parts, Reranking())
    assert plain != reranked
    told = scing("evaluate", "--run", own_run, "--rerank", "--json").json
    assert {name: told[name] for name in FIGURES} == plain
    assert told["reranked"] == reranked | USUAL
    shown = scing("evaluate", "--run", own_run, "--rerank").out
    assert rows(shown) == [
        [told["data"], *(f"{value:.2f}" for value in plain.values())],
        ["re-ranked", *(f"{value:.2f}" for value in reranked.values())],
    ]
    assert "Re-ranked by k-reciprocal neighbours: k1 = 20, k2 = 6, lambda = 0.3." in shown
    assert max(map(len, shown.splitlines())) <= 80
    without = scing("evaluate", "--run", own_run, "--json").json
    assert without == {name: value for name, value in told.items() if name != "reranked"}
    assert "e-ranked" not in scing("evaluate", "--run", own_run).out


def test_settings_are_those_of_the_options(scing, own_run, parts):
    told = scing("evaluate", "--run", own_run, "--rerank", *SETTINGS, "--json").json
    assert told["reranked"] == figures(parts, Reranking(4, 2, 0.5)) | {"k1": 4, "k2": 2, "lambda": 0.5}
    assert told["reranked"] != figures(parts, Reranking()) | {"k1": 4, "k2": 2, "lambda": 0.5}
    assert "k1 = 4, k2 = 2, lambda = 0.5" in scing("evaluate", "--run", own_run, "--rerank", *SETTINGS).out


def test_saved_embeddings_an_index_and_a_plain_model_are_re_ranked(scing, own_run, finished, world, parts, saved):
    expected = pytest.approx(figures(parts, Reranking(4, 2, 0.5)) | {"k1": 4, "k2": 2, "lambda": 0.5}, abs=1e-9)
    options = ("--rerank", *SETTINGS, "--json")
    assert scing("evaluate", "--embeddings", "all.npz", *options).json["reranked"] == expected
    index = finished.parent / "gallery.faiss"
    assert scing("evaluate", "--run", own_run, "--index", index, *options).json["reranked"] == expected
    other = scing("evaluate", *MODEL, "--data", world, *options).json
    assert other["reranked"] != expected
    assert other["reranked"]["mAP"] > 0


def test_of_several_data_sets_each_has_its_row(scing, finished, world, own_world, here):
    renamed = own_world.rename(own_world.with_name("other"))
    both = ("evaluate", "--run", finished, "--data", world, "--data", renamed, "--rerank")
    told = scing(*both, "--json").json["evaluations"]
    shown = scing(*both).out
    assert [row[:2] for row in rows(shown)] == [
        [name, f"{own['mAP']:.2f}"]
        for report in told
        for name, own in ((report["data"], report), ("re-ranked", report["reranked"]))
    ]
    assert "other: Re-ranked by k-reciprocal neighbours" in shown


def test_a_split_searched_in_itself_is_re_ranked_without_finding_itself(scing, world, here):
    lines = ["path,identity,camera,split"]
    files = sorted((world / "bounding_box_train").glob("*.jpg"))
    for number, file in enumerate(files):  # identities at random: only an image itself would be found
        lines.append(f"{file},p{number * 7 % 6},{number % 2 or ''},val")
    Path("mine.csv").write_text("\n".join(lines) + "\n")
    told = scing("evaluate", *MODEL, "--data", "mine.csv", "--split", "val", "--rerank", "--json").json
    assert 0 < told["reranked"]["rank1"] < 90


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--k1", "9"), "--k1 has no effect without --rerank"),
        (("--k2", "9", "--lambda", "0"), "--k2, --lambda have no effect without --rerank"),
        (("--yes",), "--yes has no effect without --rerank"),
        (("--rerank", "--k1", "0"), "--k1 0: must be at least 1"),
        (("--rerank", "--k2", "0"), "--k2 0: must be at least 1"),
        (("--rerank", "--lambda", "1.5"), "--lambda 1.5: must be between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(scing, here, options, message):
    refuse(scing("evaluate", "--embeddings", "nowhere.npz", *options), message)
    refuse(scing("evaluate", "--run", "nowhere", *options), message)


def test_much_time_or_memory_is_said_beforehand(scing, saved, costly):
    asked = ("evaluate", "--embeddings", "all.npz", "--rerank")
    assert "takes about" not in scing(*asked).err
    costly(60, 1.4e9)
    result = scing(*asked)
    said = "Re-ranking 18 queries and 18 gallery rows takes about 1 min on two cores and 1.4 GB of memory."
    assert result.err.count(said) == 1
    assert "re-ranked" in result.out
    costly(59, 1e9)
    assert "takes about" not in scing(*asked).err


@pytest.mark.parametrize(("seconds", "memory"), [(601, 1e9), (60, 8.1e9)])
def test_very_much_needs_a_yes(scing, own_run, finished, world, saved, costly, seconds, memory):
    costly(seconds, memory)
    shutil.rmtree(own_run / "embeddings")
    ways = (
        ("--embeddings", "all.npz"),
        (*MODEL, "--data", world),
        ("--run", own_run, "--index", finished.parent / "gallery.faiss"),
        ("--run", own_run),
    )
    for way in ways:
        refuse(
            scing("evaluate", *way, "--rerank"),
            f"takes {Cost(seconds, memory)}",
            "add --yes; else leave --rerank out",
        )
    assert not (own_run / "embeddings").exists()  # it stopped before anything was embedded
    for way in ways:
        agreed = scing("evaluate", *way, "--rerank", "--yes", "--json")
        assert agreed.json["reranked"]["k1"] == 20
        assert f"takes {Cost(seconds, memory)}" in agreed.err


# search


@pytest.fixture
def ask(scing, finished, world, here):
    """Search with all query images, with some options; for each photo the hits."""
    photos = sorted((world / "query").glob("*.jpg"))
    command = ("search", *photos, "--index", finished.parent / "gallery.faiss", "--json")
    said = "Re-ranked within the first 200 hits of a photo (k1 = 20, k2 = 6, lambda = 0.3); scores are cosines."

    def hits(*options):
        result = scing(*command, *options)
        assert (said in result.err) == ("--rerank" in options)
        return [one["hits"] for one in result.json["results"]]

    return hits


def test_a_search_is_re_ranked_among_its_hits(ask):
    plain, reranked = ask("-k", "18"), ask("-k", "18", "--rerank")
    for before, after in zip(plain, reranked, strict=True):
        assert [hit["rank"] for hit in after] == list(range(1, 19))
        assert {hit["path"]: hit["score"] for hit in after} == {hit["path"]: hit["score"] for hit in before}
    paths = [[[hit["path"] for hit in hits] for hits in all_hits] for all_hits in (plain, reranked)]
    assert paths[0] != paths[1]
    assert ask("-k", "3", "--rerank") == [hits[:3] for hits in reranked]


def test_a_camera_left_out_stays_out(ask):
    found = ask("-k", "18", "--rerank", "--exclude-camera", "1")
    assert {len(hits) for hits in found} == {12}
    assert not any(hit["camera"] == "1" for hits in found for hit in hits)


def test_the_picture_shows_the_re_ranked_order(scing, finished, world, here):
    photos = sorted((world / "query").glob("*.jpg"))[:5]
    pictures = []
    for options in ((), ("--rerank",)):
        target = f"{len(options)}.png"
        command = ("search", *photos, "--index", finished.parent / "gallery.faiss", "--montage", target)
        assert scing(*command, *options).code == 0
        pictures.append(Path(target).read_bytes())
    assert pictures[0] != pictures[1]


def test_too_many_hits_to_re_rank_are_refused(scing, finished, world, here):
    photo = min((world / "query").glob("*.jpg"))
    result = scing("search", photo, "--index", finished.parent / "gallery.faiss", "-k", "1001", "--rerank")
    refuse(result, "-k 1001: --rerank orders at most 1,000 hits of a photo")
