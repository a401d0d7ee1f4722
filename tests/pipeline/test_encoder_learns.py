"""`--stage1-learns all` from the command to the run: what it says before, what it saves, and where stage 2 starts."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline.conftest import FAST, MODEL
from pipeline.test_refused import nothing_in, refuse
from three_spectra import write_spectra
from torch.nn import functional as F

from scing_cli.core.artifacts import open_run
from scing_cli.core.datasets import read_data
from scing_cli.core.encoders.encoder_file import load_image_encoder
from scing_cli.core.methods.prompts_file import load_texts
from scing_cli.core.runtime import Silent
from scing_cli.core.training import state as state_module
from scing_cli.core.workflows.paper.modality_gap import measure_gaps
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.starting_encoder import starting_clip
from scing_cli.core.workflows.train.stage1_input import Stage1Input

ALL = ("--stage1-learns", "all")
SHORT = FAST[:4]  # without a rate


def start_of(run, *, learnt):
    """The image encoder from which stage 2 of a run starts; with `learnt`, as stage 1 left it."""
    opened = open_run(Path(run))
    texts = load_texts(opened.stage("prompts"))
    encoder = starting_clip(opened, texts.model_digest, None, Silent()).image
    if learnt:
        texts.start(encoder)
    return encoder, texts


@pytest.mark.parametrize("method", ["scing", "clip-reid", "cocoop"])
def test_stage_2_starts_from_the_encoder_that_stage_1_left(scing, world, here, method):
    command = (
        "train-prompts",
        "--data",
        world,
        "--method",
        method,
        *MODEL,
        *SHORT,
        "--lr",
        "1e-2",
        *ALL,
        "--run",
        "run",
    )
    result = scing(*command)
    assert result.code == 0, result.err
    assert "The image encoder learns too. Judged from 8 images, a step of " in result.err
    assert "Frozen parameters: text encoder" in result.err
    (before, _), (after, texts) = start_of("run", learnt=False), start_of("run", learnt=True)
    assert not torch.equal(before.proj, after.proj)
    # without a step, stage 2 would be this encoder
    assert scing("train-visual", "--run", "run", *SHORT, "--lr", "1e-12", "--warmup-epochs", "0").code == 0
    found, _ = load_image_encoder(Path("run/visual"))
    torch.testing.assert_close(found.proj, after.proj, atol=1e-6, rtol=0)
    if method == "clip-reid":  # its texts do not depend on images
        return
    # w_k are conditioned on V of the encoder as stage 1 left it (R6): the gap after stage 1 is that of these vectors
    (row, *_) = measure_gaps([Path("run")], reporter=Silent())
    part = read_data(world).manifest.part("train")
    vectors = Machine().embedder(after).files(part.sources(), unit=True, reporter=Silent(), text="encode")
    names = texts.identities
    own = F.normalize(texts.vectors, dim=1).numpy()[[names.index(sample.identity) for sample in part]]
    assert row.gap.cosine == pytest.approx(float(np.mean((vectors * own).sum(1))), abs=1e-5)


def test_two_rates_and_the_run_of_a_second_stage_2(scing, world, here):
    """The encoder's rate is the rate times its factor; a run with `--as` starts from the same encoder."""
    for run, more in (("quick", ()), ("slow", ("--encoder-lr-factor", "1e-6"))):
        command = ("train-prompts", "--data", world, *MODEL, *SHORT, "--lr", "1e-2", *ALL, *more, "--run", run)
        assert scing(*command).code == 0
    moved = {}
    for run in ("quick", "slow"):
        (before, _), (after, _) = start_of(run, learnt=False), start_of(run, learnt=True)
        moved[run] = float((before.proj - after.proj).abs().mean())
    assert moved["slow"] < 1e-3 * moved["quick"]
    assert scing("train-visual", "--run", "quick", "--as", "second", *SHORT, "--lr", "1e-12").code == 0
    torch.testing.assert_close(
        load_image_encoder(Path("second/visual"))[0].proj, start_of("quick", learnt=True)[0].proj, atol=1e-6, rtol=0
    )
    saved = json.loads(Path("slow/run.json").read_text())["settings"]["train-prompts"]
    assert (saved["stage1-learns"], saved["encoder-lr-factor"]) == ("all", 1e-6)


def test_the_last_step_is_saved_when_the_second_encoding_is_interrupted(scing, world, here, monkeypatch):
    """V is encoded twice: before the first step, and with the encoder that the last one left."""
    monkeypatch.setattr(state_module, "SHARE", 1e9)  # no end of an epoch is saved
    command = ("train-prompts", "--data", world, *MODEL, *SHORT, "--lr", "1e-2", *ALL, "--save-minutes", "60", "--run")
    assert scing(*command, "whole").code == 0
    real, count = Stage1Input.encode, []

    def encode(self, reporter):
        count.append(1)
        if len(count) == 2:
            signal.raise_signal(signal.SIGINT)
        return real(self, reporter)

    monkeypatch.setattr(Stage1Input, "encode", encode)
    stopped = scing(*command, "cut")
    assert stopped.code == 130, stopped.err
    assert "saved: " in stopped.err
    monkeypatch.setattr(Stage1Input, "encode", real)
    again = scing(*command, "cut")
    assert again.code == 0, again.err
    assert "after 2 epochs" in again.err
    assert (
        Path("cut/prompts/prompts.safetensors").read_bytes() == Path("whole/prompts/prompts.safetensors").read_bytes()
    )


def test_an_encoder_of_several_spectra_learns_too(scing, world, here, tmp_path):
    """Observations without one of the images, too: nothing is NaN, and stage 2 starts from what stage 1 left."""
    table = write_spectra(world, tmp_path / "spectra", lacking=("tir",))
    command = (
        "train-prompts",
        "--data",
        table,
        *MODEL,
        *SHORT,
        "--lr",
        "1e-2",
        *ALL,
        "--spectra",
        "all",
        "--run",
        "run",
    )
    result = scing(*command)
    assert result.code == 0, result.err
    assert scing("train-visual", "--run", "run", *SHORT, "--lr", "1e-12", "--warmup-epochs", "0").code == 0
    encoder, _ = load_image_encoder(Path("run/visual"))
    texts = load_texts(open_run(Path("run")).stage("prompts"))
    assert texts.encoder is not None
    torch.testing.assert_close(encoder.proj, texts.encoder["tower.proj"], atol=1e-6, rtol=0)
    found = scing("evaluate", "--run", "run", "--json")
    assert found.code == 0, found.err


def test_cameras_have_their_vectors_in_the_second_views_of_stage_2_too(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    options = ("--camera-embedding", "--view-weight", "1", "--prototype-weight", "1", "--prototype-cameras")
    result = scing("train-visual", "--run", own_run, *FAST, *options)
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in (own_run / "metrics.jsonl").read_text().splitlines()]
    last = rows[-1]
    assert {"view", "prototype", "centroid_cosine", "gradient_view"} <= set(last)
    assert last["gradient_view"] > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((*ALL, "--views", "bank:2"), "--views bank:2 are encoded once"),
        (("--encoder-lr-factor", "2"), "--encoder-lr-factor has no effect with --stage1-learns prompts"),
        (("--method", "prompt-decoupling", *ALL), "--stage1-learns"),
        ((*ALL, "--encoder-lr-factor", "0"), "--encoder-lr-factor"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(scing, world, here, options, said):
    refuse(scing("train-prompts", "--data", world, *MODEL, *FAST, *options, "--run", "run"), said)
    nothing_in(here)
