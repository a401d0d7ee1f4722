"""Training of the small CLIP as a reader runs it, in few small steps."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from patience import HANG
from safetensors.torch import load_file

from scing_cli.core.encoders.clip import load_clip

SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain_tiny_clip.py"
SMALL = ("--batch-size", "16", "--chunk", "3", "--passes", "2", "--easy-chunks", "1", "--warmup", "5")
SMALL += ("--workers", "2", "--unseen", "24")
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="training needs torch 2.9")


def pretrain(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments), *SMALL, "--precision", "fp32"]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain") / "whole"
    done = pretrain("--output", folder, "--steps", 20)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@needs_muon
def test_twenty_steps_give_a_model_that_loads(whole):
    folder, told = whole
    clip = load_clip("scing-tiny", str(folder / "scing-tiny.safetensors"))
    assert clip.image.geometry.grid == (8, 4)
    losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["recipe"]["steps"] == 20
    assert figures["caption to image"]["images"] == 24
    assert "caption to image, 24 images of 24 unseen identities, in groups of four look-alikes: rank-1" in told
    assert '"cost": ' in told


@needs_muon
def test_a_stopped_training_goes_on_to_the_same_weights(whole, tmp_path):
    folder = tmp_path / "stopped"
    first = pretrain("--output", folder, "--steps", 20, "--stop-at", 8)
    assert first.returncode == 0, first.stderr
    assert not (folder / "scing-tiny.safetensors").exists()
    second = pretrain("--output", folder, "--steps", 20)
    assert second.returncode == 0, second.stderr
    assert "Resuming at step 8 of 20." in second.stdout
    ours, theirs = (load_file(each / "scing-tiny.safetensors") for each in (folder, whole[0]))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@needs_muon
def test_another_recipe_does_not_go_on_in_the_same_folder(whole):
    done = pretrain("--output", whole[0], "--steps", 21)
    assert done.returncode == 1
    assert "another recipe" in done.stderr


def test_shipped_weights_can_be_examined():
    done = pretrain("--evaluate")
    assert done.returncode == 0, done.stderr
    assert "no two of one group: rank-1" in done.stdout


def test_its_people_are_never_those_of_a_drawn_world_nor_examined_where_trained():
    """A world's keys begin with "world"; other first words meet other people (`test_people`)."""
    script = runpy.run_path(str(SCRIPT))
    met = {}
    for name, task in (("draw_group", (0, 3, 0.0)), ("draw_some_unseen", (0, 2, 1))):
        draw, keys = script[name], []
        draws = draw.__globals__

        def people(count, *key, keys=keys, own=draws["draw_people"]):
            keys.append(key)
            return own(count, *key)

        former, draws["draw_people"] = draws["draw_people"], people
        try:
            assert draw(task)
        finally:
            draws["draw_people"] = former
        met[name] = set(keys)
    assert {key[0] for keys in met.values() for key in keys} == {"pretrain"}
    assert met["draw_group"].isdisjoint(met["draw_some_unseen"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--evaluate", "--output", "x"), "either --output FOLDER to train, or --evaluate"),
        (("--weights", "x.safetensors", "--output", "x"), "--weights FILE needs --evaluate"),
        (("--output", "x", "--steps", "0"), "--steps must be at least 1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options, *SMALL])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
