"""A real ViT-B/16 with random weights: one step of each stage, an index and a search at 256x128, at stride 16 and 12."""

from __future__ import annotations

import json

import pytest
import torch

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
CASES = [
    pytest.param(16, [16, 8], "cpu"),
    pytest.param(12, [21, 10], "cpu", marks=pytest.mark.long),
    pytest.param(16, [16, 8], "cuda", marks=GPU),
    pytest.param(12, [21, 10], "cuda", marks=GPU),
]
ONE_STEP = ("--epochs", "1", "--batch-size", "4", "--instances", "2")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two people to train on and two to find, two cameras: the smallest data set that all commands take."""
    from scing_cli.core.synthetic import write_world

    folder = tmp_path_factory.mktemp("data") / "pair"
    write_world(folder, identities=2, cameras=2, images_per_camera=1, seed=1)
    return folder


@pytest.mark.parametrize(("stride", "grid", "device"), CASES)
def test_one_step_of_each_stage_then_embed_and_search(scing, pair, tmp_path, monkeypatch, stride, grid, device):
    monkeypatch.chdir(tmp_path)
    model = ("--model", "ViT-B-16-quickgelu", "--pretrained", "random", "--stride", stride)
    first = scing("train-prompts", "--data", pair, *model, *ONE_STEP, "--device", device, "--run", "run", "--json")
    assert first.code == 0, first.err
    assert first.json["trainable"]["visual"] == 394_368
    assert first.json["trainable"]["tokens"] == 2 * 4 * 512
    assert first.json["steps"] == 1
    second = scing("train-visual", "--run", "run", *ONE_STEP, "--device", device, "--json")
    assert second.code == 0, second.err
    assert second.json["steps"] == 1
    stamp = json.loads((tmp_path / "run" / "visual" / "stamp.json").read_text())
    assert stamp["grid"] == grid
    assert (stamp["geometry"]["height"], stamp["geometry"]["width"]) == (256, 128)
    assert scing("embed", "--run", "run", "--device", device, "--json").json["width"] == 512
    photo = min((pair / "query").glob("*.jpg"))
    hits = scing("search", photo, "--index", "gallery.faiss", "--device", device, "--json").json["results"][0]["hits"]
    assert len(hits) == 4
    assert hits[0]["score"] >= hits[-1]["score"]
