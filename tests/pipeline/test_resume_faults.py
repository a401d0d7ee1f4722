"""Obstacles to resuming: closed streams, other processes, files of the user, changed inputs."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from patience import HANG
from pipeline.conftest import FAST, MODEL
from pipeline.test_resume import encoder, here, prompts, stop_at
from safetensors.torch import load_file, save_file
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.artifacts import acquire_lock
from scing_cli.core.methods import scing as scing_method
from scing_cli.core.settings import VisualSettings
from scing_cli.core.training import MetricsLog
from scing_cli.core.workflows.train import unfinished
from scing_cli.core.workflows.train import visual_stage as workflow
from scing_cli.core.workflows.train.run_lock import RunLockedError

__all__ = ["here", "stop_at"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_reader_of_its_words_that_has_ended_keeps_it_from_nothing(finished, tmp_path, number, code):
    """As with `scing train-visual 2>&1 | tee log`: tee ends by the same Ctrl-C."""
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("visual", "state"))
    command = ("train-visual", "--run", run, "--epochs", "5000", "--batch-size", "16")
    process = subprocess.Popen(
        [sys.executable, "-m", "scing_cli", *map(str, command)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + HANG
    while not list(run.glob("state/*.[0-9]*-[0-9]*.safetensors")) and time.monotonic() < end:
        time.sleep(0.02)
    process.stderr.close()
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(timeout=HANG) == code
    epochs = len((run / "metrics.jsonl").read_text().splitlines()) - 2  # of stage 2
    newest = max(file.name for file in run.glob("state/*.[0-9]*-[0-9]*.safetensors"))
    assert int(newest.split(".")[1].split("-")[0]) == epochs


def test_files_of_ones_own_stay(scing, world, here):
    Path("run/.mine").mkdir(parents=True)
    for name in (".mine.part", ".tmpmine", ".tmpabc123", ".mine/.run.json.01234567.part"):
        Path("run", name).touch()
    Path("run/.run.json.01234567.part").touch()  # what a killed start of ours leaves
    before = {path.name for path in Path("run").iterdir()}
    assert scing("train-prompts", "--data", world, *MODEL, *FAST, "--run", "run").code == 0
    assert before - {path.name for path in Path("run").iterdir()} == {".run.json.01234567.part"}


def test_a_full_disk_says_how_to_go_on(scing, world, monkeypatch, here):
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--run")
    assert scing(*command, "whole").code == 0
    real = MetricsLog.write

    def write(self, row):
        real(MetricsLog(Path("/dev/full")) if row["epoch"] == 2 else self, row)

    monkeypatch.setattr(MetricsLog, "write", write)
    failed = scing(*command, "cut")
    assert failed.code == 2
    assert "Saved: 4 steps. To resume: scing train-prompts --resume --run cut" in failed.err
    monkeypatch.setattr(MetricsLog, "write", real)
    assert scing(*command, "cut").code == 0
    assert prompts("cut") == prompts("whole")


def test_images_that_were_written_since_are_told(scing, own_run, own_world, stop_at):
    shutil.rmtree(own_run / "visual")
    command = ("train-visual", *FAST, "--run", own_run, "--data", own_world)
    stop_at(2)
    assert scing(*command).code == 130
    file = min((own_world / "bounding_box_train").glob("*.jpg"))
    os.utime(file, ns=(1, 1))
    stop_at(99)
    again = scing(*command)
    assert again.code == 0
    assert "Image files were modified since the training started" in again.err


def test_another_text_tower_is_another_model(scing, world, here, stop_at):
    clip = tiny_clip(seed=4)
    state = {f"visual.{name}": value for name, value in clip.image.state_dict().items()}
    state |= dict(clip.text.state_dict())
    state["logit_scale"] = torch.tensor(clip.logit_scale).log()
    save_file({name: value.contiguous() for name, value in state.items()}, "clip.safetensors")
    command = ("train-prompts", "--data", world, "--model", TINY_MODEL, "--pretrained", "clip.safetensors", *FAST)
    stop_at(2)
    assert scing(*command, "--run", "run").code == 130
    state = load_file("clip.safetensors")
    save_file(state | {"text_projection": 1.5 * state["text_projection"]}, "clip.safetensors")
    stop_at(99)
    refused = scing(*command, "--run", "run")
    assert refused.code == 2
    assert "model is" in refused.err


def test_stage_2_finds_its_own_unfinished_run_beside_a_newer_one(scing, world, here, stop_at):
    first = ("train-prompts", "--data", world, *MODEL, *FAST, "--run")
    assert scing(*first, "runs/a").code == 0
    stop_at(2)
    assert scing("train-visual", *FAST).code == 130
    stop_at(99)
    assert scing(*first, "runs/b").code == 0
    other = scing("train-visual", *FAST, "--seed", "5", "--json")
    assert other.json["run"] == "runs/b"
    again = scing("train-visual", *FAST, "--json")
    assert again.json["run"] == "runs/a"
    assert "Resuming the unfinished train-visual in runs/a" in again.err


def test_resume_passes_over_what_is_damaged_or_being_trained(scing, world, here, stop_at):
    first = ("train-prompts", "--data", world, *MODEL, *FAST, "--run")
    for name in "abc":
        assert scing(*first, f"runs/{name}").code == 0
        stop_at(2)
        assert scing("train-visual", *FAST, "--run", f"runs/{name}").code == 130
        stop_at(99)
    Path("runs/c/state/train-visual.json").write_text("{")
    handle = acquire_lock(Path("runs/b/.training.lock"))
    again = scing("train-visual", "--resume", "--json")
    assert again.json["run"] == "runs/a"
    assert "runs/c/state/train-visual.json is damaged" in again.err
    os.close(handle)


def test_two_that_start_in_one_second_get_folders_of_their_own(scing, world, here, monkeypatch):
    """Both look for a free name before either has made its folder."""
    names = [Path("runs/taken"), Path("runs/free")]
    names[0].mkdir(parents=True)
    handle = acquire_lock(names[0] / ".training.lock")
    monkeypatch.setattr(unfinished, "fresh_folders", lambda name: iter(names))
    assert scing("train-prompts", "--data", world, *MODEL, *FAST, "--json").json["run"] == "runs/free"
    os.close(handle)


def test_no_resume_begins_anew_in_a_named_folder_too(scing, world, here, stop_at):
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--run")
    assert scing(*command, "whole").code == 0
    for damage in (False, True):
        stop_at(2)
        assert scing(*command, "cut").code == 130
        stop_at(99)
        if damage:
            Path("cut/state/train-prompts.json").write_text("{")
            assert "--no-resume" in scing(*command, "cut").err
        anew = scing(*command, "cut", "--no-resume")
        assert anew.code == 0
        assert "Resuming" not in anew.err
        assert prompts("cut") == prompts("whole")
        shutil.rmtree("cut")
    assert scing(*command, "whole", "--no-resume").code == 2  # what is done is never overwritten


def test_resume_takes_up_validation_and_device(scing, world, here, stop_at):
    rows = [
        (file, file.name[:4], file.name[6], "train") for file in sorted((world / "bounding_box_train").glob("*.jpg"))
    ]
    rows += [(file, file.name[:4], file.name[6], "val") for file in sorted((world / "bounding_box_test").glob("*.jpg"))]
    lines = ["path,identity,camera,split", *(",".join(map(str, row)) for row in rows)]
    Path("mine.csv").write_text("\n".join(lines) + "\n")
    assert scing("train-prompts", "--data", "mine.csv", *MODEL, *FAST, "--run", "run").code == 0
    stop_at(2)
    assert scing("train-visual", "--run", "run", *FAST, "--validate", "--device", "cpu").code == 130
    begun = json.loads(Path("run/state/train-visual.json").read_text())["given"]
    assert (begun["validate"], begun["device"]) == (True, "cpu")
    stop_at(99)
    assert scing("train-visual", "--resume", "--run", "run", "--json").json["validation"] is not None


def test_the_look_and_the_training_are_under_one_lock(scing, own_run, monkeypatch, here):
    """Else who looked first could train over what another has made meanwhile."""
    shutil.rmtree(own_run / "visual")
    (first, second), refused = scing_method.stages, []

    def load(folder):
        with pytest.raises(RunLockedError):
            workflow.train_visual(VisualSettings(epochs=1, batch_size=16), run=own_run)
        refused.append(folder)
        return first.load(folder)

    monkeypatch.setattr(scing_method, "stages", (dataclasses.replace(first, load=load), second))
    assert scing("train-visual", *FAST, "--run", own_run).code == 0
    assert len(refused) == 1
    before = encoder(own_run)
    assert "already has a trained image encoder" in scing("train-visual", *FAST[:-1], "5e-3", "--run", own_run).err
    assert encoder(own_run) == before
