"""Fixtures: a synthetic data set and a finished run, made once, and the command line in this process."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import sys
from pathlib import Path

import pytest
from three_spectra import write_spectra
from tiny import TINY_MODEL

from scing_cli.__main__ import main

MODEL = ("--model", TINY_MODEL, "--pretrained", "random")
FAST = ("--epochs", "2", "--batch-size", "16", "--lr", "1e-3")


@dataclasses.dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@pytest.fixture
def scing(monkeypatch, capsys):
    """Run one command in this process: `scing("embed", "--run", folder)`."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["scing", *map(str, arguments)])
        capsys.readouterr()
        before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(SystemExit) as left:
            main()
        for number, handler in before:  # the command leaves without hearing any
            signal.signal(number, handler)
        out, err = capsys.readouterr()
        return Result(left.value.code or 0, out, " ".join(err.split()))

    return run


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A data set of drawn people in Market-1501's layout: 6 to train on, 6 to test, 3 cameras."""
    from scing_cli.core.synthetic import write_world

    folder = tmp_path_factory.mktemp("data") / "wörld of crops"
    write_world(folder, identities=6, cameras=3, images_per_camera=1, seed=5, workers=2)
    return folder


@pytest.fixture(scope="session")
def finished(world, tmp_path_factory):
    """A run through both stages, with a gallery index beside it. Tests copy what they change."""
    from scing_cli.core.settings import PromptSettings, VisualSettings
    from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.shared.model import ModelChoice
    from scing_cli.core.workflows.train.prompts_stage import train_prompts
    from scing_cli.core.workflows.train.visual_stage import train_visual

    run = tmp_path_factory.mktemp("runs") / "run"
    settings = {"epochs": 2, "batch_size": 16, "lr": 1e-3}
    train_prompts(world, PromptSettings(model=TINY_MODEL, pretrained="random", **settings), run=run)
    train_visual(VisualSettings(**settings), run=run)
    exact = Machine(precision="fp32")  # the vectors that evaluations compute
    embed(ModelChoice(run=run), GalleryChoice(), output=run.parent / "gallery.faiss", machine=exact)
    return run


@pytest.fixture(scope="session")
def both_towers(world, tmp_path_factory):
    """A run of prompt-decoupling through both stages: it has deep prompts and both encoders. Tests copy it."""
    from scing_cli.core.settings import PromptSettings, VisualSettings
    from scing_cli.core.workflows.train.prompts_stage import train_prompts
    from scing_cli.core.workflows.train.visual_stage import train_visual

    run = tmp_path_factory.mktemp("pairs") / "run"
    settings = {"epochs": 2, "batch_size": 8, "lr": 1e-3}
    learnt = {"method": "prompt-decoupling", "prompt_tokens": 2, "prompt_depth": 2}
    train_prompts(world, PromptSettings(model=TINY_MODEL, pretrained="random", **settings, **learnt), run=run)
    train_visual(VisualSettings(**settings), run=run)
    return run


@pytest.fixture(scope="session")
def spectra(world, tmp_path_factory):
    """The drawn world in three spectra, as a CSV; a fifth of the rows has no visible and no thermal image."""
    return write_spectra(world, tmp_path_factory.mktemp("spectra") / "world", lacking=("rgb", "tir"))


@pytest.fixture
def own_run(finished, tmp_path):
    """A copy of the finished run that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("report.json")))


@pytest.fixture
def own_world(world, tmp_path):
    """A copy of the drawn world that a test may change."""
    return Path(shutil.copytree(world, tmp_path / "world"))


@pytest.fixture
def crops(world: Path, here: Path) -> Path:
    """Thirty images of the world in a folder."""
    folder = here / "crops"
    folder.mkdir()
    for file in sorted(world.glob("*/*.jpg"))[:30]:
        shutil.copy2(file, folder)
    return folder
