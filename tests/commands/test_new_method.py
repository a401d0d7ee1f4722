"""A new method with a setting needs a row and a field in `core/settings/method_table.py`, and a package that reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from tiny import TINY_MODEL

import scing_cli
from scing_cli.core.synthetic import write_world

ROW = """        "toy": MethodSpec("a narrow meta-net for the first token", "toy"),
"""
FIELD = """    toy_width: Annotated[int, Field(ge=1, le=64), Setting("Width of the meta-net.", METHOD, methods=("toy",))] = 3
"""
PACKAGE = """
import functools

from torch import nn

from scing_cli.core.methods.stage1 import identity_stage, tune_prompts
from scing_cli.core.methods.stage2 import VISUAL_STAGE


class Narrow(nn.Module):
    def __init__(self, feature_width, token_width, *, width):
        super().__init__()
        self.down = nn.Linear(feature_width, width)
        self.up = nn.Linear(width, token_width)

    def forward(self, features):
        return self.up(self.down(features).relu())[:, None, :]


def prompts(settings, inputs):
    visual = functools.partial(Narrow, width=settings.toy_width)
    return tune_prompts(settings, inputs, visual=visual, perturbation=None)


stages = (identity_stage(prompts), VISUAL_STAGE)
"""


def insert(file: Path, before: str, text: str) -> None:
    content = file.read_text(encoding="utf-8")
    assert content.count(before) == 1
    file.write_text(content.replace(before, text + before), encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of the program with a toy method, in a folder with data to train on."""
    folder = tmp_path_factory.mktemp("toy")
    ignored = shutil.ignore_patterns("__pycache__")
    package = Path(shutil.copytree(Path(scing_cli.__file__).parent, folder / "scing_cli", ignore=ignored))
    prompts = package / "core" / "settings" / "prompt_settings.py"
    insert(prompts.with_name("method_table.py"), """        "scing": MethodSpec(""", ROW)
    insert(prompts, """    gate: Annotated[""", FIELD)
    own = package / "core" / "methods" / "toy"
    own.mkdir()
    (own / "__init__.py").write_text(PACKAGE, encoding="utf-8")
    write_world(folder / "world", identities=4, cameras=2, images_per_camera=1, seed=5, workers=2)
    return folder


@pytest.fixture
def scing(place):
    """Run the copy in a process of its own."""

    def run(*arguments):
        environment = os.environ | {"PYTHONPATH": str(place), "COLUMNS": "160"}
        command = [sys.executable, "-m", "scing_cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment)

    return run


def train(scing, place, name, *arguments):
    """Train one epoch of stage 1; return the settings that the run names, and the shapes of the learnt tensors."""
    small = ("--model", TINY_MODEL, "--pretrained", "random", "--epochs", "1", "--batch-size", "8")
    done = scing("train-prompts", "--data", "world", *small, "--device", "cpu", "--run", name, *arguments)
    assert done.returncode == 0, done.stderr
    settings = json.loads((place / name / "run.json").read_text())["settings"]["train-prompts"]
    (file,) = (place / name / "prompts").glob("prompts*.safetensors")
    with safe_open(file, "pt") as tensors:
        shapes = {key.partition(".")[2]: tuple(tensors.get_tensor(key).shape) for key in tensors.keys()}  # noqa: SIM118
    return settings, shapes


def test_help_shows_it(scing):
    done = scing("train-prompts", "--help")
    assert "--toy-width" in done.stdout
    assert "Width of the meta-net (toy; default: 3)." in done.stdout
    assert "One of toy, scing, clip-reid, cocoop, prompt-decoupling, direct" in done.stdout


def test_a_file_or_an_option_sets_it_the_run_names_it_and_the_method_gets_it(scing, place):
    (place / "toy.toml").write_text('[train-prompts]\nmethod = "toy"\ntoy-width = 5\n')
    for name, arguments, width in (
        ("default", ("--method", "toy"), 3),
        ("file", ("--config", "toy.toml"), 5),
        ("option", ("--config", "toy.toml", "--toy-width", "7"), 7),
    ):
        settings, shapes = train(scing, place, name, *arguments)
        assert (settings["method"], settings["toy-width"]) == ("toy", width)
        assert shapes["visual.down.weight"][0] == shapes["visual.up.weight"][1] == width


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "scing", "--toy-width", "3"), "--toy-width is not read by --method scing."),
        (("--method", "toy", "--gate", "token"), "--gate is not read by --method toy."),
        (("--method", "toy", "--toy-width", "0"), "--toy-width 0: must be at least 1."),
    ],
)
def test_where_it_does_not_belong_or_is_out_of_range_it_is_refused_by_name(scing, arguments, message):
    done = scing("train-prompts", "--data", "world", *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
