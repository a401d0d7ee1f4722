"""Both stages, interrupted and resumed: messages, saved state, and a result that is equal bit by bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import HANG
from pipeline.conftest import FAST, MODEL

from scing_cli.core.artifacts import acquire_lock
from scing_cli.core.encoders import compiled
from scing_cli.core.methods.perturbed_views import ViewBank
from scing_cli.core.training import Trainer
from scing_cli.core.training import state as state_module
from scing_cli.core.workflows.train import stage2_input as visual_workflow

METHODS = {
    "scing": (),
    "bank": ("--views", "bank:2"),
    "raw": ("--condition", "raw", "--negatives", "query", "--consistency-target", "both"),
    "encoder": ("--stage1-learns", "all", "--encoder-lr-factor", "0.5"),
    "compiled": ("--compile",),
    "compiled-encoder": ("--compile", "--stage1-learns", "all"),
    "clip-reid": ("--method", "clip-reid"),
    "cocoop": ("--method", "cocoop", "--sampler", "random"),
    "prompt-decoupling": ("--method", "prompt-decoupling", "--prompt-tokens", "2", "--prompt-depth", "2"),
}
OF_PAIRS = {"prompt-decoupling": FAST, "direct": (), "compiled": (*FAST, "--compile")}  # options of stage 1
LOSSES = {
    "paper": (),
    "centroids": ("--prototype-weight", "1", "--view-weight", "1"),
    "compiled": ("--compile",),
    "clip-reid": ("--stage2-loss", "clip-reid", "--camera-embedding"),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(state_module, "SHARE", 0)
    monkeypatch.setattr(compiled, "ENGINE", "aot_eager")  # to machine code: test_compile.py
    return folder


@pytest.fixture
def stop_at(monkeypatch):
    """Send a signal before a step's gradients are computed; the dry run's step is number 0."""
    real, count = Trainer._gradients, []

    def stop(step, number=signal.SIGINT):
        count.clear()

        def gradients(self, *arguments, **options):
            count.append(1)
            if len(count) == step + 1:
                signal.raise_signal(number)
            return real(self, *arguments, **options)

        monkeypatch.setattr(Trainer, "_gradients", gradients)

    return stop


def course(run):
    rows = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def prompts(run):
    return Path(run, "prompts/prompts.safetensors").read_bytes(), course(run)


def encoder(run):
    return Path(run, "visual/image_encoder.safetensors").read_bytes(), course(run)


@pytest.mark.parametrize("method", METHODS)
def test_stage_1_goes_on_by_itself_and_ends_the_same(scing, world, stop_at, method):
    command = ("train-prompts", "--data", world, *MODEL, *FAST, *METHODS[method], "--run")
    assert scing(*command, "whole").code == 0
    stop_at(2)
    stopped = scing(*command, "cut")
    assert stopped.code == 130
    assert "Interrupted; saved: 1 step." in stopped.err
    assert "Resume with: scing train-prompts --resume --run cut" in stopped.err
    assert not Path("cut/prompts").exists()
    stop_at(99)
    again = scing(*command, "cut")
    assert again.code == 0
    assert "Resuming the unfinished train-prompts in cut" in again.err
    assert "after 0 epochs and 1 step" in again.err
    assert prompts("cut") == prompts("whole")
    assert not Path("cut/state").exists()
    assert {file.name for file in Path("cut").iterdir()} == {file.name for file in Path("whole").iterdir()}


@pytest.mark.parametrize("loss", LOSSES)
def test_stage_2_goes_on_by_itself_and_ends_the_same(scing, own_run, stop_at, loss):
    shutil.rmtree(own_run / "visual")
    shutil.copytree(own_run, "cut")
    command = ("train-visual", *FAST, *LOSSES[loss], "--run")
    assert scing(*command, own_run).code == 0
    stop_at(3, signal.SIGTERM)
    stopped = scing(*command, "cut")
    assert stopped.code == 143
    assert "Interrupted; saved: 2 steps." in stopped.err
    assert "Resume with: scing train-visual --resume --run cut" in stopped.err
    assert "scing train-visual --resume --run cut" in scing("embed", "--run", "cut").err
    stop_at(99)
    assert scing("train-visual", "--resume", "--run", "cut").code == 0
    assert encoder("cut") == encoder(own_run)
    assert (
        json.loads(Path("cut/run.json").read_text())["settings"]
        == json.loads((own_run / "run.json").read_text())["settings"]
    )
    assert not Path("cut/state").exists()


@pytest.mark.parametrize("given", OF_PAIRS)
def test_stage_2_of_both_encoders_goes_on_by_itself_and_ends_the_same(scing, world, stop_at, given):
    method, more = ("prompt-decoupling", ("--compile",)) if given == "compiled" else (given, ())
    made = ("train-prompts", "--data", world, *MODEL, "--method", method, *OF_PAIRS[given], "--run", "whole")
    assert scing(*made).code == 0
    shutil.copytree("whole", "cut")
    command = ("train-visual", *FAST, "--mask-words", "0.3", "--head-lr-factor", "3", *more, "--run")
    assert scing(*command, "whole").code == 0
    stop_at(3)
    stopped = scing(*command, "cut")
    assert stopped.code == 130
    assert "Interrupted; saved: 2 steps." in stopped.err
    assert not Path("cut/visual").exists()
    stop_at(99)
    assert scing("train-visual", "--resume", "--run", "cut").code == 0
    assert encoder("cut") == encoder("whole")
    text = "visual/text_encoder.safetensors"
    assert Path("cut", text).read_bytes() == Path("whole", text).read_bytes()
    assert json.loads(Path("cut/run.json").read_text())["settings"]["train-visual"]["mask-words"] == 0.3
    assert not Path("cut/state").exists()


def test_resume_needs_no_other_option(scing, world, stop_at):
    command = ("train-prompts", "--data", world, *MODEL, *FAST)
    stop_at(3)
    assert scing(*command).code == 130
    stop_at(99)
    other = scing(*command, "--seed", "3")  # another training: it leaves the unfinished one alone
    assert "Resuming" not in other.err
    assert len(list(Path("runs").iterdir())) == 2
    assert scing("train-prompts", "--resume", "--json").json["steps"] == 4
    assert scing("train-prompts", "--resume").code == 2  # nothing is unfinished any more
    assert len(list(Path("runs").iterdir())) == 2


def test_the_same_command_finds_its_run_and_no_resume_begins_another(scing, world, stop_at):
    command = ("train-prompts", "--data", world, *MODEL, *FAST)
    stop_at(2)
    assert scing(*command).code == 130
    stop_at(99)
    assert scing(*command, "--no-resume").code == 0
    assert len(list(Path("runs").iterdir())) == 2
    unfinished = next(Path("runs").glob("*/state")).parent
    again = scing(*command, "--json")
    assert again.json["run"] == str(unfinished)
    one, other = (prompts(run) for run in Path("runs").iterdir())
    assert one == other


def test_other_settings_are_named_and_nothing_is_lost(scing, world, own_run, stop_at):
    first = ("train-prompts", "--data", world, *MODEL, *FAST, "--run", "run")
    second = ("train-visual", *FAST, "--run", own_run)
    shutil.rmtree(own_run / "visual")
    stop_at(2)
    assert scing(*first).code == 130
    stop_at(2)
    assert scing(*second).code == 130
    stop_at(99)
    for command, run in ((first, Path("run")), (second, own_run)):
        held = {file.name: file.read_bytes() for file in (run / "state").iterdir()}
        changed = [part if part != "1e-3" else "2e-3" for part in command]
        refused = scing(*changed)
        assert refused.code == 2
        assert "lr is 0.001 there, 0.002 here" in refused.err
        refused = scing(command[0], "--resume", "--run", run, "--lr", "0.5")
        assert refused.code == 2
        assert "lr is 0.001 there, 0.5 here" in refused.err
        assert {file.name: file.read_bytes() for file in (run / "state").iterdir()} == held
    anew = scing("train-visual", "--run", own_run, "--no-resume", *FAST[:-1], "2e-3")
    assert anew.code == 0
    assert "Resuming" not in anew.err
    assert not (own_run / "state").exists()


def test_data_that_has_changed_is_another_training(scing, own_world, stop_at):
    command = ("train-prompts", "--data", own_world, *MODEL, *FAST, "--run", "run")
    stop_at(2)
    assert scing(*command).code == 130
    next((own_world / "bounding_box_train").glob("*.jpg")).unlink()
    stop_at(99)
    for again in (command, ("train-prompts", "--resume", "--run", "run")):
        refused = scing(*again)
        assert refused.code == 2
        assert "data is" in refused.err


def test_data_that_has_moved_is_named(scing, own_world, stop_at, tmp_path):
    stop_at(2)
    assert scing("train-prompts", "--data", own_world, *MODEL, *FAST, "--run", "run").code == 130
    own_world.rename(tmp_path / "elsewhere")
    stop_at(99)
    assert scing("train-prompts", "--resume", "--run", "run").code == 2
    assert scing("train-prompts", "--resume", "--run", "run", "--data", tmp_path / "elsewhere").code == 0
    assert scing("train-visual", "--run", "run", *FAST).code == 0  # it is remembered where the data lies now


def test_two_do_not_train_in_one_folder(scing, world, own_run, stop_at):
    command = ("train-prompts", "--data", world, *MODEL, *FAST)
    stop_at(2)
    assert scing(*command, "--run", "runs/one").code == 130
    shutil.rmtree(own_run / "visual")
    handles = [acquire_lock(run / ".training.lock") for run in (Path("runs/one"), own_run)]
    stop_at(99)
    for refused in (scing(*command, "--run", "runs/one"), scing("train-visual", "--run", own_run, *FAST)):
        assert refused.code == 2
        assert "Another process is training in" in refused.err
    other = scing(*command, "--json").json["run"]  # without a name it takes another folder
    assert other != "runs/one"
    for handle in handles:
        os.close(handle)


def test_views_that_were_encoded_are_kept(scing, world, monkeypatch, stop_at):
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--views", "bank:3", "--run")
    assert scing(*command, "whole").code == 0
    real, encoded = ViewBank._encode, []

    def encode(self, batches_of, images, view, advance):
        encoded.append(view)
        if encoded == [0, 1, 2]:
            signal.raise_signal(signal.SIGINT)
        return real(self, batches_of, images, view, advance)

    monkeypatch.setattr(ViewBank, "_encode", encode)
    stopped = scing(*command, "cut")
    assert stopped.code == 130
    assert "earlier saved steps are still there" in stopped.err
    assert scing("train-prompts", "--resume", "--run", "cut").code == 0
    assert encoded == [0, 1, 2, 2]
    assert prompts("cut") == prompts("whole")


def test_an_interruption_before_the_first_step_leaves_nothing(scing, world, own_run, stop_at):
    stop_at(0)
    stopped = scing("train-prompts", "--data", world, *MODEL, *FAST, "--run", "run")
    assert stopped.code == 130
    assert "Interrupted before anything was saved. Run the command again." in stopped.err
    assert not Path("run").exists()
    shutil.rmtree(own_run / "visual")
    before = sorted(own_run.rglob("*"))
    stop_at(0)
    assert scing("train-visual", *FAST, "--run", own_run).code == 130
    assert sorted(own_run.rglob("*")) == before


def test_an_interruption_after_the_last_step_goes_on_to_the_end(scing, own_run, monkeypatch):
    shutil.rmtree(own_run / "visual")
    shutil.copytree(own_run, "cut")
    assert scing("train-visual", *FAST, "--run", own_run).code == 0
    real = visual_workflow.make_openvino_model

    def make_openvino_model(*_arguments, **_options):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(visual_workflow, "make_openvino_model", make_openvino_model)
    stopped = scing("train-visual", *FAST, "--run", "cut")
    assert stopped.code == 130
    assert Path("cut/visual/stamp.json").exists()
    monkeypatch.setattr(visual_workflow, "make_openvino_model", real)
    again = scing("train-visual", *FAST, "--run", "cut")
    assert again.code == 0
    assert encoder("cut") == encoder(own_run)
    assert sorted(file.name for file in Path("cut/visual/inference").iterdir()) == sorted(
        file.name for file in (own_run / "visual/inference").iterdir()
    )
    assert scing("train-visual", *FAST, "--run", "cut").code == 2  # done


def test_a_state_that_does_not_describe_a_training_is_named(scing, own_run, stop_at):
    shutil.rmtree(own_run / "visual")
    stop_at(2)
    assert scing("train-visual", *FAST, "--run", own_run).code == 130
    (own_run / "state/train-visual.json").write_text('{"format": 1, "facts": []}')
    stop_at(99)
    refused = scing("train-visual", *FAST, "--run", own_run)
    assert refused.code == 2
    assert "state/train-visual.json" in refused.err
    assert "--no-resume" in refused.err
    assert scing("train-visual", *FAST, "--run", own_run, "--no-resume").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_saves_says_how_to_go_on_and_leaves_with_its_code(world, finished, tmp_path, scing, number, code):
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("visual", "state"))
    command = ("train-visual", "--run", run, "--epochs", "500", "--batch-size", "16", "--save-minutes", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "scing_cli", *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + HANG
    while not list(run.glob("state/*.[0-9]*-[0-9]*.safetensors")) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=HANG)
    assert process.returncode == code, said
    assert "A second Ctrl-C stops at once" in said
    assert f"scing train-visual --resume --run {run}" in " ".join(said.split())
    assert "Traceback" not in said
    assert len(list(run.glob("state/*.[0-9]*-[0-9]*.safetensors"))) <= 2
    assert not list(run.rglob("*.part"))


def test_both_stages_on_three_spectra_go_on_and_end_the_same(scing, spectra, stop_at):
    first = ("train-prompts", "--data", spectra, *MODEL, *FAST, "--spectra", "all", "--run")
    second = ("train-visual", *FAST, "--independent-augmentation", "--run")
    for command, saved in ((first, prompts), (second, encoder)):
        stop_at(99)
        assert scing(*command, "whole").code == 0
        stop_at(2)
        assert scing(*command, "cut").code == 130
        stop_at(99)
        again = scing(*command, "cut")
        assert again.code == 0, again.err
        assert saved("cut") == saved("whole")
