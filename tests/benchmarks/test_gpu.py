"""The GPU benchmark runs every part on a CPU at a small size; a part that fails is told, and its counts are right."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from scing_cli.core.encoders.clip import empty_clip

FOLDER = Path(__file__).resolve().parent
PARTS = ["rates", "embedding", "stage2", "stage1", "stages", "files", "evaluation", "compile", "profile"]
AIMED = {"embedding": 1, "stage2": 2, "stages": 2, "files": 1}  # figures with an aim


def test_every_part_runs_without_a_gpu() -> None:
    command = [sys.executable, str(FOLDER / "gpu.py"), "--device", "cpu", "--quick"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(row) for row in done.stdout.splitlines() if row.startswith("{")]
    assert not [told for told in lines if "error" in told or "skipped" in told]
    figures = [told for told in lines if "part" in told and "value" in told]
    assert list(dict.fromkeys(told["part"] for told in figures)) == PARTS
    assert all(math.isfinite(told["value"]) and told["value"] >= 0 and told["unit"] for told in figures)
    names = [(told["part"], told.get("of"), told["name"]) for told in figures]
    assert len(names) == len(set(names))
    aimed = [told["part"] for told in figures if "aim" in told]
    assert {part: aimed.count(part) for part in aimed} == AIMED
    against = [told for told in lines if "ratio" in told]
    assert len(against) == 3  # a step of stage 2, and of stage 1 with either kind of views
    table = done.stdout[done.stdout.index("\nfigure") :].splitlines()[1:]
    assert len(table) == 1 + len(PARTS) + len(figures)
    assert max(map(len, table)) <= 100


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(FOLDER)
    import gpu

    return gpu


@pytest.fixture
def ground(script, tmp_path):
    sizes = script.QUICK
    return script.Ground(torch.device("cpu"), sizes, tmp_path, quick=True, deadline=time.monotonic() + 60)


def test_a_part_that_fails_keeps_what_it_found_and_is_told(script, ground, capsys):
    def broken(ground):
        yield script.Figure("found", 1.0, "s", aim=2.0, least=False)
        raise ValueError("no more")

    (figure,) = script.measured("own", script.Part(broken, 9), ground)
    found, error, end = map(json.loads, capsys.readouterr().out.splitlines())
    assert (figure.name, found["met"]) == ("found", "yes")
    assert error["error"] == "ValueError: no more"
    assert error["where"][-1].startswith("test_gpu.py:")
    assert end["part"] == "own"


def test_a_part_that_takes_too_long_is_stopped(script, ground, capsys):
    def slow(ground):
        time.sleep(30)
        yield script.Figure("never", 1.0, "s")

    start = time.monotonic()
    assert list(script.measured("own", script.Part(slow, 1.2), ground)) == []
    assert time.monotonic() - start < 15
    assert "LateError" in capsys.readouterr().out


def test_no_part_begins_without_time(script, ground, capsys):
    ground.deadline = time.monotonic()
    assert list(script.measured("own", script.PARTS["rates"], ground)) == []
    assert json.loads(capsys.readouterr().out)["skipped"] == "no time left"


def blocks(width: int, heads: int, layers: int, places: int) -> int:
    """All blocks but the last at every place; of the last, one place that asks, and meets the others as they are."""
    products, scores = 2 * 12 * width**2, 4 * places * width
    return (layers - 1) * places * (products + scores) + products + heads * scores


@pytest.mark.parametrize("size", ["FULL", "QUICK"])
def test_operations_are_those_that_the_sizes_of_a_tower_say(script, size):
    from gpu_parts.ground import image_operations, text_operations

    model = getattr(script, size).model
    image, text = empty_clip(model).image, empty_clip(model).text
    shape, geometry = image.config, image.geometry
    rows, columns = geometry.grid
    width = shape["width"]
    patches = 2 * rows * columns * 3 * geometry.patch**2 * width
    inside = blocks(width, shape["heads"], shape["layers"], 1 + rows * columns)
    assert image_operations(model) == patches + inside + 2 * width * image.embed_dim
    stack = text.transformer.resblocks
    inside = blocks(text.width, stack[0].attn.num_heads, len(stack), 12)
    assert text_operations(model, 11) == inside + 2 * text.width * text.embed_dim
