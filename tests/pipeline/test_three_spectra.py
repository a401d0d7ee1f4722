"""`--spectra`: both stages, embed and evaluate on observations of three images, some of them with fewer."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from pipeline.conftest import FAST, MODEL

from scing_cli.core.datasets import read_data
from scing_cli.core.encoders.encoder_file import load_image_encoder
from scing_cli.core.index import GalleryIndex
from scing_cli.core.methods.prompts_file import load_texts

ALL = ("--spectra", "rgb,nir,tir")
TRAINED = {"scing": ("--views", "bank:2"), "clip-reid": ("--independent-augmentation",)}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("method", TRAINED)
def test_both_stages_embed_and_evaluate(scing, spectra, method):
    options = () if method == "clip-reid" else TRAINED[method]
    own = ("--independent-augmentation",) if method == "clip-reid" else ()
    first = scing("train-prompts", "--data", spectra, *MODEL, *FAST, *ALL, "--method", method, *options, "--run", "run")
    assert first.code == 0, first.err
    texts = load_texts(Path("run/prompts")).vectors
    second = scing("train-visual", *FAST, *own, "--run", "run")
    assert second.code == 0, second.err
    assert "An encoder of visible, near-infrared and thermal images has no OpenVINO model: torch embeds." in second.err
    encoder, stamp = load_image_encoder(Path("run/visual"), verify=True)
    assert (encoder.spectra, encoder.missing) == (("rgb", "nir", "tir"), "mean")
    assert stamp["model"]["spectra"] == ["rgb", "nir", "tir"]
    assert encoder.embed_dim == 3 * texts.shape[1]
    info = json.loads(Path("run/run.json").read_text())
    assert info["model"]["spectra"] == ["rgb", "nir", "tir"]
    embedded = scing("embed", "--run", "run", "--output", "g.faiss", "--json")
    assert embedded.code == 0, embedded.err
    assert embedded.json["width"] == encoder.embed_dim
    scored = scing("evaluate", "--run", "run", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["mAP"] > 0


def test_a_plain_model_reads_several_spectra_and_no_export_does(scing, spectra):
    plain = (*MODEL, "--spectra", "rgb,tir")
    embedded = scing("embed", *plain, "--data", spectra, "--output", "g.faiss", "--json")
    assert embedded.code == 0, embedded.err
    one = scing("embed", *MODEL, "--data", spectra, "--output", "one.faiss", "--json")
    assert embedded.json["width"] == 2 * one.json["width"]
    assert GalleryIndex.read(Path("g.faiss")).stamp.model["spectra"] == ["rgb", "tir"]
    grey = scing("evaluate", *plain, "--missing", "zero", "--data", spectra, "--json")
    assert grey.code == 0, grey.err
    for name, chosen in (("e.onnx", "onnx"), ("clip", "open_clip")):
        refused = scing("embed", *plain, "--data", spectra, "--export", name)
        assert refused.code == 2
        assert f"--export: {chosen} cannot hold an encoder of visible and thermal images" in refused.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--spectra", "rgb,uv"), "must be all or names of rgb, nir, tir, each once"),
        (("--missing", "zero"), "--missing has no effect with --spectra rgb."),
        (("--spectra", "all", "--method", "direct"), "--spectra are not read by --method direct"),
        (("--spectra", "nir"), "--spectra nir: wörld of crops has no near-infrared images. Spectra that it has: rgb."),
    ],
)
def test_what_training_cannot_read_is_refused(scing, world, options, message):
    refused = scing("train-prompts", "--data", world, *MODEL, *FAST, *options, "--run", "run")
    assert refused.code == 2
    assert message in refused.err


def test_options_of_spectra_belong_to_a_plain_model(scing, finished):
    refused = scing("embed", "--run", finished, "--spectra", "rgb,nir", "--output", "g.faiss")
    assert refused.code == 2
    assert "--spectra needs --model: a run has its own." in refused.err
    alone = scing("train-visual", "--run", finished, "--as", "other", *FAST, "--independent-augmentation")
    assert alone.code == 2
    assert "--independent-augmentation has no effect" in alone.err


def test_the_ordinary_model_reads_the_visible_images_and_counts_the_others(scing, spectra):
    done = scing("train-prompts", "--data", spectra, *MODEL, *FAST, "--method", "clip-reid", "--run", "run")
    assert done.code == 0, done.err
    assert "Only the visible images are read; the data have near-infrared and thermal ones too" in done.err
    assert "training rows have no visible image: left out." in done.err
    assert "spectra" not in json.loads(Path("run/run.json").read_text())["model"]


@pytest.fixture
def thermal(world, tmp_path):
    """The same images as data of thermal images, and as ordinary data."""
    folder = tmp_path / "world"
    shutil.copytree(world, folder)
    rows = [[row.path, row.identity, row.camera, row.split] for row in read_data(folder).manifest]
    for name, place in (("plain.csv", 0), ("thermal.csv", 1)):
        own = [["" if place else file, *labels, file if place else ""] for file, *labels in rows]
        with (folder / name).open("w", newline="") as table:
            csv.writer(table).writerows([["path", "identity", "camera", "split", "thermal"], *own])
    return folder


def test_one_spectrum_trains_to_the_bits_of_the_ordinary_model(scing, thermal):
    method = ("--method", "scing", *FAST, *MODEL)
    for name, options in (("plain", ()), ("thermal", ("--spectra", "tir"))):
        first = scing("train-prompts", "--data", thermal / f"{name}.csv", *method, *options, "--run", name)
        assert first.code == 0, first.err
        second = scing("train-visual", *FAST, "--stage2-loss", "clip-reid", "--camera-embedding", "--run", name)
        assert second.code == 0, second.err
    plain, own = (load_image_encoder(Path(name, "visual"))[0] for name in ("plain", "thermal"))
    assert own.spectra == ("tir",)
    for name, value in plain.state_dict().items():
        assert torch.equal(own.state_dict()[f"tower.{name}"], value), name
    texts = [load_texts(Path(name, "prompts")).vectors for name in ("plain", "thermal")]
    assert torch.equal(*texts)
