"""`--compile` on the command line: recorded, refused if torch cannot compile, and resumed bit by bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from patience import HANG
from pipeline.conftest import FAST, MODEL
from safetensors import safe_open

from scing_cli.core.encoders import compiled
from scing_cli.core.training import Trainer
from scing_cli.core.training import state as state_module

NOTE = "The towers' blocks are compiled"


@pytest.fixture
def quick(monkeypatch):
    """Make graphs, and run them without machine code."""
    monkeypatch.setattr(compiled, "ENGINE", "aot_eager")


def figures(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def weights(file):
    with safe_open(file, framework="pt") as source:
        return {name: source.get_slice(name).get_shape() for name in source.keys()}  # noqa: SIM118


def test_both_stages_are_compiled_where_asked_for_and_say_so(scing, world, finished, tmp_path, quick):
    run, config = tmp_path / "run", tmp_path / "settings.toml"
    config.write_text("[train-visual]\ncompile = true\n")
    first = scing("train-prompts", "--data", world, *MODEL, *FAST, "--compile", "--run", run)
    second = scing("train-visual", *FAST, "--config", config, "--run", run)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert NOTE in first.err
    assert NOTE in second.err
    settings = json.loads((run / "run.json").read_text())["settings"]
    assert [settings[stage]["compile"] for stage in ("train-prompts", "train-visual")] == [True, True]
    for file in ("prompts/prompts.safetensors", "visual/image_encoder.safetensors"):
        assert weights(run / file) == weights(finished / file)
    for row, plain in zip(figures(run), figures(finished), strict=True):
        assert row["loss"] == pytest.approx(plain["loss"], rel=0.02)  # bf16, where this CPU has it


def test_an_option_goes_before_the_file(scing, own_run, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text("[train-visual]\ncompile = true\n")
    shutil.rmtree(own_run / "visual")
    done = scing("train-visual", *FAST, "--config", config, "--no-compile", "--run", own_run)
    assert done.code == 0
    assert NOTE not in done.err


@pytest.mark.parametrize("stage", ["train-prompts", "train-visual"])
def test_without_a_compiler_there_is_one_message_and_nothing_is_written(world, own_run, tmp_path, stage):
    shutil.rmtree(own_run / "visual")
    before = {file: file.stat().st_mtime_ns for file in own_run.rglob("*")}
    own = {"CXX": "/no/such/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    given = {"train-prompts": ("--data", world, *MODEL, "--run", "new"), "train-visual": ("--run", own_run)}
    command = [sys.executable, "-m", "scing_cli", stage, "--compile", *map(str, given[stage])]
    (tmp_path / "here").mkdir()
    environment = os.environ | own | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "here", env=environment, timeout=HANG)
    assert done.returncode == 2, done.stderr
    said = " ".join(done.stderr.split())
    assert "Error: --compile: torch cannot compile here:" in said
    assert "/no/such/g++" in said
    assert "remove --compile" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "here").iterdir())
    assert {file: file.stat().st_mtime_ns for file in own_run.rglob("*")} == before


def test_a_failure_at_the_first_step_leaves_nothing(scing, world, tmp_path, monkeypatch):
    def failing(graph, inputs):
        raise RuntimeError("the compiler is gone")

    monkeypatch.setattr(compiled, "ENGINE", failing)
    monkeypatch.setattr("scing_cli.core.encoders.compiled.prepare_compiling", lambda *_: None)
    done = scing("train-prompts", "--data", world, *MODEL, *FAST, "--compile", "--run", tmp_path / "new")
    assert done.code == 2
    assert "--compile: torch cannot compile here" in done.err
    assert "the compiler is gone" in done.err
    assert not list((tmp_path / "new").glob("*"))


def test_a_training_goes_on_as_it_was_compiled(scing, world, tmp_path, monkeypatch, quick):
    """The other way is refused; `--resume` alone takes the training's own."""
    monkeypatch.setattr(state_module, "SHARE", 0)
    real, count = Trainer._gradients, []

    def stopping(self, *arguments, **options):
        count.append(1)
        if len(count) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Trainer, "_gradients", stopping)
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--run", tmp_path / "cut")
    assert scing(*command, "--compile").code == 130
    refused = scing(*command)
    assert refused.code == 2
    assert "compile is True there, False here" in refused.err
    refused = scing("train-prompts", "--resume", "--no-compile", "--run", tmp_path / "cut")
    assert refused.code == 2
    assert "compile is True there, False here" in refused.err
    done = scing("train-prompts", "--resume", "--run", tmp_path / "cut")
    assert done.code == 0
    assert NOTE in done.err


def test_ctrl_c_while_it_compiles_ends_as_ever(scing, world, tmp_path, monkeypatch):
    def interrupted(graph, inputs):
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("the compiler was interrupted, too")

    monkeypatch.setattr("scing_cli.core.encoders.compiled.prepare_compiling", lambda *_: None)
    monkeypatch.setattr(compiled, "ENGINE", interrupted)
    done = scing("train-prompts", "--data", world, *MODEL, *FAST, "--compile", "--run", tmp_path / "new")
    assert done.code == 130
    assert "Interrupted before anything was saved." in done.err
    assert not list((tmp_path / "new").glob("*"))


@pytest.mark.long
def test_compiled_to_machine_code_a_training_goes_on_to_the_same_bits(world, tmp_path):
    """Both stages in processes of their own, each run compiling anew; the losses are those without it."""
    hook = tmp_path / "stop"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(STOPPING)

    def run(*arguments, cache, stop=0):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(hook), *sys.path]),
            "STOP": str(stop),
            "OMP_NUM_THREADS": "2",
            "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"cache-{cache}"),
        }
        command = [sys.executable, "-m", "scing_cli", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=HANG)
        return done.returncode, done.stderr

    prompts = ("train-prompts", "--data", world, *MODEL, *FAST, "--precision", "fp32", "--run")
    visual = ("train-visual", *FAST, "--precision", "fp32", "--run")
    for name, more in (("plain", ()), ("whole", ("--compile",)), ("cut", ("--compile",))):
        for command in (prompts, visual):
            given = (*command, name, *more)
            if name == "cut":
                code, said = run(*given, cache=f"{name}-stopped", stop=3)
                assert code == 130, said
                assert "saved: 2 steps" in said
            code, said = run(*given, cache=name)
            assert code == 0, said
    for file in ("prompts/prompts.safetensors", "visual/image_encoder.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert figures(tmp_path / "cut") == figures(tmp_path / "whole")
    for row, plain in zip(figures(tmp_path / "whole"), figures(tmp_path / "plain"), strict=True):
        assert row["loss"] == pytest.approx(plain["loss"], rel=1e-3)


STOPPING = """
import os, signal, sys
stop = int(os.environ["STOP"])
if stop and "scing_cli" in sys.orig_argv:
    import scing_cli.core.training.loop as loop
    real, count = loop.Trainer._gradients, []
    def gradients(self, *arguments, **options):
        count.append(1)
        if len(count) == stop + 1:
            signal.raise_signal(signal.SIGINT)
        return real(self, *arguments, **options)
    loop.Trainer._gradients = gradients
"""
