"""`--spectra`: both stages, embed and evaluate on observations of three images, some of them with fewer."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from pipeline.conftest import FAST, MODEL

from scing_cli.core.datasets import read_data
from scing_cli.core.encoders.encoder_file import load_image_encoder
from scing_cli.core.methods.prompts_file import load_texts

ALL = ("--spectra", "rgb,nir,tir")
TRAINED = {"scing": ("--views", "bank:2"), "clip-reid": ("--independent-augmentation",)}


def write_spectra(world, folder, *, lacking=()):
    """Write a CSV of three spectra beside their images: green as near infra-red, the negative of blue as thermal.

    Args:
        world: Visible images.
        folder: To write into.
        lacking: Of every fifth row, the spectra that are missing.
    """
    shutil.copytree(world, folder)
    rows = [["path", "identity", "camera", "split", "near_infrared", "thermal"]]
    for number, row in enumerate(read_data(folder).manifest):
        image = Image.open(folder / row.path).convert("RGB")
        _, green, blue = image.split()
        further = {"nir": green, "tir": ImageOps.invert(blue)}
        names = {"rgb": row.path}
        for name, grey in further.items():
            names[name] = f"{name}/{Path(row.path).stem}.png"
            (folder / name).mkdir(exist_ok=True)
            grey.save(folder / names[name])
        if number % 5 == 1:
            names.update(dict.fromkeys(lacking, ""))
        rows.append([names["rgb"], row.identity, row.camera, row.split, names["nir"], names["tir"]])
    with (folder / "spectra.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "spectra.csv"


@pytest.fixture(scope="session")
def spectra(world, tmp_path_factory):
    """The drawn world in three spectra; a fifth of the rows has no visible and no thermal image."""
    return write_spectra(world, tmp_path_factory.mktemp("spectra") / "world", lacking=("rgb", "tir"))


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
