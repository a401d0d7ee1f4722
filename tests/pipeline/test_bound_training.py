"""dmpt from data of three spectra to scores: one stage, its run, what stage 2 says, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from pipeline.conftest import FAST, MODEL

from scing_cli.core.datasets import read_data
from scing_cli.core.encoders.bound_prompts import BoundPromptEncoder
from scing_cli.core.encoders.encoder_file import encoder_digest, load_image_encoder
from scing_cli.core.index.index_stamp import read_stamp
from scing_cli.core.training import Trainer
from scing_cli.core.training import state as state_module

SIZES = ("--specific-tokens", "2", "--semantic-tokens", "3", "--bind-tokens", "2")
DMPT = ("--method", "dmpt", *MODEL, *FAST, *SIZES, "--warmup-epochs", "0")


@pytest.fixture(scope="module")
def three(world, tmp_path_factory):
    """The drawn people as a table of three spectra; some observations lack one."""
    folder = tmp_path_factory.mktemp("three")
    manifest = read_data(world).manifest
    rows = []
    for number, row in enumerate(manifest):
        visible = Image.open(manifest.file(row)).convert("RGB")
        grey = ImageOps.grayscale(visible).convert("RGB")
        names = {}
        for column, image in (("path", visible), ("near_infrared", grey), ("thermal", ImageOps.invert(grey))):
            names[column] = f"{column}/{number}.png"
            (folder / column).mkdir(exist_ok=True)
            image.save(folder / names[column])
        if number % 5 == 1:
            names["thermal" if number % 2 else "near_infrared"] = ""
        rows.append({**names, "identity": row.identity, "camera": row.camera, "split": row.split})
    table = folder / "three.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


@pytest.fixture(scope="module")
def trained(three, tmp_path_factory):
    """A run of dmpt. Tests copy what they change."""
    from tiny import TINY_MODEL

    from scing_cli.core.settings import PromptSettings
    from scing_cli.core.workflows.train.prompts_stage import train_prompts

    run = tmp_path_factory.mktemp("bound") / "run"
    learnt = {"method": "dmpt", "specific_tokens": 2, "semantic_tokens": 3, "bind_tokens": 2, "warmup_epochs": 0}
    settings = {"epochs": 2, "batch_size": 16, "lr": 1e-3, **learnt}
    report = train_prompts(three, PromptSettings(model=TINY_MODEL, pretrained="random", **settings), run=run)
    assert dict(report.trainable).keys() == {"prompts", "heads"}
    return run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_one_stage_writes_the_encoder_and_says_so(scing, three):
    done = scing("train-prompts", "--data", three, *DMPT, "--run", "run")
    assert done.code == 0, done.err
    assert "Next: scing embed --run run" in done.out
    info, stamp = (json.loads(Path("run", name).read_text()) for name in ("run.json", "visual/stamp.json"))
    assert stamp["trained_by"] == "train-prompts"
    assert stamp["started_from"] == info["model"]["digest"]
    assert set(info["settings"]) == {"train-prompts"}
    assert stamp["model"]["spectra"] == ["rgb", "nir", "tir"]
    assert stamp["model"]["dmpt"] == {"specific": 2, "semantic": 3, "bind": 2}
    encoder, _ = load_image_encoder(Path("run/visual"), verify=True)
    assert isinstance(encoder, BoundPromptEncoder)
    assert encoder_digest(encoder.tower) == info["model"]["digest"]  # the tower is that of the start
    assert not encoder.bound.projections[0].weight.eq(0).all()  # W starts at zero
    prompts = json.loads(Path("run/prompts/stamp.json").read_text())
    assert prompts["spectra"] == ["rgb", "nir", "tir"]
    assert [file.name for file in Path("run/prompts").iterdir()] == ["stamp.json"]
    again = scing("train-prompts", "--data", three, *DMPT, "--run", "again", "--json")
    assert Path("again/visual/image_encoder.safetensors").read_bytes() == (
        Path("run/visual/image_encoder.safetensors").read_bytes()
    )
    payload = again.json
    assert set(payload["last_epoch"]) >= {"identity", "triplet"}
    # W and b of two blocks, R, S, Bd0, and two attentions with their layer norms
    prompts = (
        2 * (16 * 32 + 32) + 3 * 2 * 2 * 32 + 2 * 3 * 32 + 2 * 32 + 2 * (3 * (32 * 96 + 96) + 96 * 32 + 32 + 4 * 32)
    )
    assert payload["trainable"] == {"prompts": prompts, "heads": 2 * (6 * 48 + 48)}


def test_the_run_is_opened_as_any_other(scing, three, trained):
    run = shutil.copytree(trained, "run")
    scores = scing("evaluate", "--run", run, "--json")
    assert scores.code == 0, scores.err
    own = scing("evaluate", "--run", run, "--descriptor", "class", "--json")
    assert own.code == 0, own.err
    assert 0 < own.json["mAP"] <= 100
    made = scing("embed", "--run", run, "--output", "g.faiss", "--json")
    assert made.code == 0, made.err
    wide = scing("embed", "--run", run, "--output", "c.faiss", "--descriptor", "class", "--json")
    assert wide.code == 0, wide.err
    assert [read_stamp(Path(name)).width for name in ("g.faiss", "c.faiss")] == [96, 48]
    photo = three.parent / "path" / "20.png"
    found = scing("search", photo, "--index", "g.faiss", "--json")
    assert found.code == 0, found.err
    assert found.json["results"][0]["hits"]


def test_there_is_no_stage_2(scing, trained):
    said = "is of --method dmpt, which has one stage, and train-prompts has trained it. Use it as it is"
    for more in ((), ("--as", "other"), ("--resume",), ("--as", "other", "--resume"), ("--no-resume",)):
        refused = scing("train-visual", "--run", trained, *more)
        assert refused.code != 0
        assert f"{trained} {said}" in refused.err, more
        assert refused.err.count("dmpt") == 1
    assert not (trained.parent / "other").exists()
    Path("runs").mkdir()
    shutil.copytree(trained, "runs/newest")
    newest = scing("train-visual")
    assert f"{Path('runs/newest')} {said}: scing embed --run runs/newest" in newest.err
    Path("both.toml").write_text("[train-prompts]\nmethod = 'dmpt'\n[train-visual]\nepochs = 1\n")
    planned = scing("train-prompts", "--config", "both.toml", "--data", trained)
    assert "[train-visual]: --method dmpt has one stage, which train-prompts trains." in planned.err


def test_an_interrupted_stage_resumes_to_the_same_bits(scing, three, monkeypatch):
    monkeypatch.setattr(state_module, "SHARE", 0)
    command = ("train-prompts", "--data", three, *DMPT, "--run")
    assert scing(*command, "whole").code == 0
    real, count = Trainer._gradients, []

    def stopped(self, *arguments, **options):
        count.append(1)
        if len(count) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "_gradients", stopped)
    assert scing(*command, "cut").code == 130
    assert not Path("cut/visual").exists()
    assert not Path("cut/prompts").exists()
    assert scing("train-prompts", "--resume", "--run", "cut").code == 0
    weights = [Path(run, "visual/image_encoder.safetensors").read_bytes() for run in ("whole", "cut")]
    assert weights[0] == weights[1]
    assert not Path("cut/state").exists()


@pytest.mark.parametrize("name", ["visual/image_encoder.safetensors", "visual/stamp.json"])
def test_damaged_files_are_named(scing, trained, name):
    run = shutil.copytree(trained, "run")
    file = Path(run, name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refused = scing("evaluate", "--run", run)
    assert refused.code != 0
    assert name in refused.err


def test_data_of_one_spectrum_need_a_word(scing, world):
    refused = scing("train-prompts", "--data", world, *DMPT)
    assert refused.code != 0
    assert "has visible images alone" in refused.err
    assert "--spectra rgb" in refused.err
    assert not Path("runs").exists()
    done = scing("train-prompts", "--data", world, *DMPT, "--spectra", "rgb", "--run", "run")
    assert done.code == 0, done.err
    assert scing("evaluate", "--run", "run", "--json").code == 0
    assert json.loads(Path("run/visual/stamp.json").read_text())["model"]["spectra"] == ["rgb"]


def test_exports_are_refused_by_name(scing, trained):
    for more in ((), ("--descriptor", "class")):
        refused = scing("embed", "--run", trained, "--export", "encoder.onnx", *more)
        assert refused.code == 2, refused.err
        assert not Path("encoder.onnx").exists()


def test_words_are_refused(scing, trained):
    assert scing("embed", "--run", trained, "--output", "words.faiss").code == 0
    for command in (
        ("search", "--text", "a man", "--index", "words.faiss"),
        ("evaluate", "--run", trained, "--queries", "text"),
    ):
        refused = scing(*command)
        assert refused.code == 2, refused.err
        assert "--method dmpt learns without words" in refused.err
