"""Embeddings that are not finite: refused by every command, with their rows or files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from faults.hostile import forged, refused, rewrite
from safetensors.numpy import load_file, save_file
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.artifacts import file_digest
from scing_cli.core.encoders.encoder_file import save_encoders
from scing_cli.core.index import GalleryIndex

BAD = (float("nan"), float("inf"), -float("inf"))


@pytest.fixture(params=BAD, ids=str)
def bad(request):
    return request.param


def saved(folder, **arrays):
    draw = np.random.default_rng(0)
    people = {"query_identity": np.arange(8), "gallery_identity": np.arange(8)}
    vectors = {name: draw.standard_normal((8, 4)).astype(np.float32) for name in ("query", "gallery")}
    np.savez(folder / "arrays.npz", **{**people, **vectors, **arrays})
    return folder / "arrays.npz"


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_saved_ones(scing, side, bad, tmp_path):
    vectors = np.eye(8, 4, dtype=np.float32) + 1
    vectors[[2, 5], [0, 3]] = bad
    file = saved(tmp_path, **{side: vectors})
    assert refused(scing("evaluate", "--embeddings", file), file, side, "rows 2, 5 ")
    assert scing("evaluate", "--embeddings", saved(tmp_path)).code == 0


def test_a_run_whose_weights_are_not(scing, bad, own_run, finished, world, tmp_path):
    clip = tiny_clip()
    with torch.no_grad():
        clip.image.proj[0, 0] = bad
    shutil.rmtree(own_run / "visual")
    save_encoders(own_run / "visual", clip.image, {})
    photo = min((world / "query").iterdir())
    said = scing("embed", "--run", own_run, "--output", tmp_path / "g.faiss")
    assert refused(said, "not finite", world / "bounding_box_test")
    assert not (tmp_path / "g.faiss").exists()
    assert refused(scing("evaluate", "--run", own_run), "not finite", world / "query")
    for further in ((), ("--box", "0,0,8,8")):
        said = scing("search", photo, "--index", finished.parent / "gallery.faiss", "--run", own_run, *further)
        assert refused(said)


def test_weights_that_are_not(scing, bad, world, tmp_path):
    clip = tiny_clip()
    state = {f"visual.{name}": value.numpy().copy() for name, value in clip.image.state_dict().items()}
    state |= {name: value.numpy().copy() for name, value in clip.text.state_dict().items()}
    state["visual.class_embedding"][0] = bad
    save_file({**state, "logit_scale": np.array(4.6, np.float32)}, tmp_path / "w.safetensors")
    model = ("--model", TINY_MODEL, "--pretrained", tmp_path / "w.safetensors")
    said = scing("embed", *model, "--images", world / "query", "--output", tmp_path / "g.faiss")
    assert refused(said, "not finite", world / "query")
    train = ("--epochs", "1", "--batch-size", "16", "--run", tmp_path / "run")
    assert refused(scing("train-prompts", *model, "--data", world, *train))


def test_a_box_names_the_photo(scing, bad, own_run, finished, world, tmp_path):
    clip = tiny_clip()
    with torch.no_grad():
        clip.image.proj.fill_(bad)
    shutil.rmtree(own_run / "visual")
    digest = save_encoders(own_run / "visual", clip.image, {})
    index = forged(finished, tmp_path, model_digest=digest, model={"run": str(own_run)})
    photo = min((world / "query").iterdir())
    for further in ((), ("--box", "0,0,8,8")):
        assert refused(scing("search", photo, "--index", index, *further), "not finite", photo)


def test_kept_ones_are_made_anew(scing, bad, own_run):
    good = _figures(scing, own_run)
    for file in (own_run / "embeddings").glob("*.safetensors"):
        vectors = load_file(file)["vectors"]
        vectors[0, 0] = bad
        save_file({"vectors": vectors}, file)
        rewrite(file.with_suffix(".json"), file_digest=file_digest(file))
    assert _figures(scing, own_run) == good


def _figures(scing, run):
    return scing("evaluate", "--run", run, "--json").json


def test_those_of_an_index(scing, bad, finished, world, tmp_path):
    row = GalleryIndex.read(finished.parent / "gallery.faiss").vectors()[3].tobytes()
    index = forged(finished, tmp_path, vectors=(row, np.float32(bad).tobytes() + row[4:]))
    photo = min((world / "query").iterdir())
    for command in (
        ("search", photo, "--index", index, "-k", "100"),
        ("search", photo, "--index", index, "-k", "100", "--rerank"),
        ("search", photo, "--index", index, "--group", "identity", "-k", "100"),
        ("evaluate", "--run", finished, "--index", index),
    ):
        assert refused(scing(*command), index, "1 vector is not finite", world / "bounding_box_test"), command
