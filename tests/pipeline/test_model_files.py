"""Models in the layouts that people have, through the commands: embed, evaluate, and training on from a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pipeline.conftest import FAST, MODEL
from safetensors.torch import load_file, save_file
from tiny import TINY_MODEL

from scing_cli.core.index import read_stamp


@pytest.fixture
def folder(tmp_path, finished):
    """The small model's configuration in a folder of open_clip, with the image encoder of a run and CLIP's statistics."""
    place = tmp_path / "model"
    place.mkdir()
    stated = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bilinear"}
    content = json.loads(Path(TINY_MODEL).read_text(encoding="utf-8"))
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": content, "preprocess_cfg": stated}))
    tower = load_file(finished / "visual" / "image_encoder.safetensors")
    save_file({f"visual.{name}": tensor for name, tensor in tower.items()}, place / "open_clip_model.safetensors")
    return place


def test_a_folder_is_a_model_with_its_own_weights_and_pixels(scing, world, folder, tmp_path):
    made = scing("embed", "--data", world, "--model", folder, "--output", tmp_path / "stated.faiss")
    assert made.code == 0, made.err
    assert "open_clip_config.json states: mean 0.48, 0.46, 0.41; std 0.27, 0.26, 0.28; bilinear." in made.err
    chosen = ("--statistics", "half", "--interpolation", "bicubic")
    assert scing("embed", "--data", world, "--model", folder, *chosen, "--output", tmp_path / "half.faiss").code == 0
    stated, half = (read_stamp(tmp_path / f"{name}.faiss") for name in ("stated", "half"))
    assert stated.model_digest != half.model_digest
    photo = next((world / "query").glob("*.jpg"))
    for name in ("stated", "half"):  # the index reopens its model with the same pixels
        assert scing("search", photo, "--index", tmp_path / f"{name}.faiss").code == 0


def test_the_run_and_its_file_are_one_model(scing, world, finished, tmp_path):
    file = finished / "visual" / "image_encoder.safetensors"
    options = ("--data", world, "--precision", "fp32", "--json")
    run = scing("evaluate", "--run", finished, *options).json
    plain = scing("evaluate", "--model", TINY_MODEL, "--pretrained", file, *options).json
    assert (plain["mAP"], plain["mINP"]) == (run["mAP"], run["mINP"])


def test_training_goes_on_from_an_image_encoder_alone(scing, world, finished, folder, tmp_path):
    tower = finished / "visual" / "image_encoder.safetensors"
    refused = scing("train-prompts", "--data", world, *MODEL[:2], "--pretrained", tower, *FAST, "--run", tmp_path / "r")
    assert refused.code == 2
    assert "has an image encoder alone, but training needs CLIP's text tower too" in refused.err
    assert not (tmp_path / "r").exists()


def test_training_on_takes_the_text_encoder_of_the_shipped_model(scing, world, tmp_path):
    from scing_cli.core.encoders.hub import shipped_weights

    whole = load_file(shipped_weights("scing-tiny"))
    tower = tmp_path / "tower.safetensors"
    save_file({name: tensor for name, tensor in whole.items() if name.startswith("visual.")}, tower)
    options = ("--data", world, "--model", "scing-tiny", "--epochs", "1", "--batch-size", "16")
    from_tower = scing("train-prompts", *options, "--pretrained", tower, "--run", tmp_path / "tower")
    assert from_tower.code == 0, from_tower.err
    assert "has an image encoder alone: the text tower is that of scing-tiny (rendered)" in from_tower.err
    assert scing("train-prompts", *options, "--run", tmp_path / "whole").code == 0
    ours, theirs = (load_file(tmp_path / name / "prompts" / "prompts.safetensors") for name in ("tower", "whole"))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


@pytest.mark.parametrize("command", ["embed", "evaluate"])
def test_pixels_are_chosen_for_a_plain_model_alone(scing, finished, command, tmp_path):
    for option, value in (("--statistics", "clip"), ("--interpolation", "bilinear")):
        result = scing(command, "--run", finished, option, value)
        assert result.code == 2
        assert f"{option} needs --model: a run has its own" in result.err
    unknown = scing(command, "--model", "scing-tiny", "--statistics", "imagenet", "--data", tmp_path)
    assert unknown.code == 2
    shutil.rmtree(tmp_path)
