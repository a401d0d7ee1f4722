"""Methods and their settings from command to run: raw dot products through both stages, runs of older versions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from artifacts import edit_json, edit_run
from pipeline.conftest import FAST, MODEL
from tiny import tiny_clip
from torch.nn import functional

from scing_cli.core.artifacts import open_run
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.manifest import labels
from scing_cli.core.methods.prompts_file import load_texts
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.shared.run_data import run_manifest

STILL = ("--epochs", "1", "--batch-size", "16", "--lr", "1e-9", "--precision", "fp32")
PLAIN = ("--flip", "0", "--erase", "0", "--crop", "0", "--warmup-epochs", "0")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def raw_features(part):
    options = {"device": torch.device("cpu"), "precision": "fp32", "batch_size": 8, "workers": 1}
    embedder = TorchEmbedder(tiny_clip().image, kind="projected", **options)
    return torch.from_numpy(embedder.files(part.files(), unit=False, reporter=Silent(), text="x"))


def test_dot_products_reach_from_the_features_of_stage_1_to_the_losses_of_stage_2(scing, world, here):
    """Nothing is learnt at this rate, so both stages' losses can be computed from the towers' raw features."""
    command = ("train-prompts", "--data", world, *MODEL, *STILL, "--run", "run")
    given = ("--method", "clip-reid", "--similarity", "dot", "--sampler", "random")
    command = (*("64" if word == "16" else word for word in command), *given)
    assert scing(*command).code == 0
    run = open_run(Path("run"))
    texts = load_texts(run.stage("prompts"))
    assert texts.similarity == "dot"
    assert float((texts.vectors.norm(dim=1) - 1).abs().min()) > 0.05
    part = run_manifest(run).part("train")
    features, classes = raw_features(part), torch.tensor(labels(part, part.identities()))
    logits = features @ texts.vectors[classes].T  # all images are one batch
    positive = (classes[:, None] == classes[None, :]).float()
    ways = (logits.log_softmax(1), logits.T.log_softmax(1))
    expected = sum(float(-((way * positive).sum(1) / positive.sum(1)).mean()) for way in ways)
    assert json.loads(run.metrics.read_text().splitlines()[0])["contrast"] == pytest.approx(expected, rel=1e-4)

    assert scing("train-visual", "--run", "run", *STILL, *PLAIN).code == 0
    found = json.loads(run.metrics.read_text().splitlines()[-1])["identity"]
    scale = texts.logit_scale
    cosines = functional.normalize(features, dim=1) @ functional.normalize(texts.vectors, dim=1).T
    dot, cosine = (
        float(functional.cross_entropy(each, classes)) for each in (features @ texts.vectors.T, scale * cosines)
    )
    assert abs(dot - cosine) > 1
    assert found == pytest.approx(dot, abs=0.1)  # a batch holds some images twice


def test_a_run_of_an_older_version_still_opens(scing, own_run):
    """Without what this version writes anew: the layout, the kind of similarity, the settings of its methods."""
    assert scing("evaluate", "--run", own_run, "--json").code == 0

    def age(info):
        del info["data"]["layout"]
        for name in ("similarity", "sampler", "consistency", "schedule", "final-lr", "first-epoch", "warmup-lr"):
            del info["settings"]["train-prompts"][name]
        for name in ("stage2-loss", "camera-embedding"):
            del info["settings"]["train-visual"][name]

    edit_json(own_run / "prompts" / "stamp.json", lambda stamp: stamp.pop("similarity"))
    edit_run(own_run, age)
    assert scing("evaluate", "--run", own_run, "--json").code == 0
    assert load_texts(own_run / "prompts").similarity == "cosine"
    shutil.rmtree(own_run / "visual")
    again = scing("train-visual", "--run", own_run, *FAST, "--json")
    assert again.code == 0, again.err


def test_what_a_method_does_not_read_is_told_before_its_weights_are_looked_for(scing, world, here):
    refused = scing("train-prompts", "--data", world, "--method", "clip-reid", "--no-consistency", "--gate", "token")
    assert refused.code == 2
    assert "--gate, --no-consistency are not read by --method clip-reid" in refused.err
    unknown = scing("train-prompts", "--data", world, "--method", "coop")
    assert unknown.code == 2
    assert "--method 'coop' is unknown" in unknown.err
    assert "Did you mean cocoop?" in unknown.err
