"""Labels that would give wrong figures in silence: junk, and cameras or identities that are spelled in two ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures import put
from pipeline.conftest import MODEL

from scing_cli.core.index import GalleryIndex, entry_of

ALIKE = (
    "Warning: Cameras '01' and '1' are counted as different cameras, but are spelled nearly alike: no gallery row "
    "shares a query's camera, so nothing is left out of a ranking."
)

BATCH = ("--batch-size", 4, "--instances", 2)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A CSV whose queries spell camera 1 as 01, with two rows of junk."""
    monkeypatch.chdir(tmp_path)
    rows = ["path,identity,camera,split"]
    for who in (1, 2, 3):
        for split, camera in (("train", "1"), ("train", "2"), ("query", "01"), ("gallery", "1"), ("gallery", "2")):
            path = f"{split}{who}{camera}.jpg"
            put(tmp_path / path, who, int(camera) + 5 * (split == "query"))
            rows.append(f"{path},{who},{camera},{split}")
    for number in (1, 2):
        put(tmp_path / f"junk{number}.jpg", number, 3)
        rows.append(f"junk{number}.jpg,-1,3,gallery")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_every_command_says_it_and_leaves_junk_out(scing, here):
    shown = scing("prepare", "m.csv")
    assert ALIKE in shown.err
    assert "2 files of identity -1, which marks junk: left out." in shown.out
    evaluated = scing("evaluate", *MODEL, "--data", "m.csv", "--json")
    assert (evaluated.json["gallery"], evaluated.json["queries"]) == (6, 3)
    assert evaluated.err.count(ALIKE) == 1
    assert "2 files of identity -1, which marks junk: left out." in evaluated.err
    trained = scing("train-prompts", "--data", "m.csv", *MODEL, "--epochs", 1, *BATCH, "--run", "run")
    assert trained.code == 0
    assert ALIKE in trained.err
    again = scing("train-visual", "--run", "run", "--epochs", 1, *BATCH, "--warmup-epochs", 0)
    assert again.code == 0
    assert ALIKE in scing("evaluate", "--run", "run").err


def test_an_index_is_a_gallery_like_another(scing, here):
    """Its rows are compared with the queries, and junk that the library put into it does not count."""
    assert scing("embed", *MODEL, "--data", "m.csv", "--output", "g.faiss").code == 0
    index = GalleryIndex.read(Path("g.faiss"))
    index.add(index.vectors()[:1], [entry_of(here / "junk1.jpg", identity="-1", camera="3")])
    index.write(Path("g.faiss"))
    text = (here / "m.csv").read_text()
    queries = "\n".join(line for line in text.splitlines() if "gallery" not in line).replace(",01,", ",001,")
    put(here / "extra.jpg", 1, 1)
    (here / "q.csv").write_text(f"{queries}\nextra.jpg,1,2,gallery\n")
    evaluated = scing("evaluate", *MODEL, "--data", "q.csv", "--index", "g.faiss", "--json")
    assert evaluated.json["gallery"] == 6
    assert "1 gallery row of identity -1 (junk): left out." in evaluated.err
    assert "Cameras '001' and '1' are counted as different cameras" in evaluated.err


@pytest.mark.parametrize("gallery_camera", [np.array(["c01", "c02"] * 3), np.array([b"01", b"2"] * 3)])
def test_saved_arrays_are_compared_too(scing, here, gallery_camera):
    vectors = np.random.default_rng(0).standard_normal((9, 8)).astype(np.float32)
    np.savez(
        "a.npz",
        query=vectors[:3],
        gallery=vectors[3:],
        query_identity=np.arange(3),
        gallery_identity=np.array(["000", "001", "002"] * 2),
        query_camera=np.array([1, 2, 1]),
        gallery_camera=gallery_camera,
    )
    evaluated = scing("evaluate", "--embeddings", "a.npz")
    assert "'0' and '000' (and 2 more such groups) are counted as different people" in evaluated.err
    assert "3 queries do not match the gallery images under the other spelling" in evaluated.err
    assert "are counted as different cameras, but are spelled nearly alike" in evaluated.err


def test_saved_arrays_say_what_a_table_says_and_which_queries_are_copied(scing, here):
    vectors = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    names = np.array(["nan", "None", "unknown", "1E+15", "anna", "ben"])
    arrays = {"query": vectors, "gallery": vectors, "query_identity": names, "gallery_identity": names}
    np.savez("a.npz", **arrays)
    evaluated = scing("evaluate", "--embeddings", "a.npz", "--json")
    for name, what in (
        ("nan", "other programs"),
        ("None", "other programs"),
        ("unknown", "several"),
        ("1E+15", "sheet"),
    ):
        assert what in evaluated.err.partition(f"2 rows have the identity {name},")[2][:60]
    assert [(caution["kind"], caution["count"]) for caution in evaluated.json["cautions"]] == [
        ("copies", 6),
        ("no-camera", 6),
    ]
    assert "(same vector and identity), such as query 0 and gallery 0" in evaluated.err
    np.savez("b.npz", **arrays, query_camera=np.arange(6), gallery_camera=np.arange(6))
    assert "true match" in scing("evaluate", "--embeddings", "b.npz").err
