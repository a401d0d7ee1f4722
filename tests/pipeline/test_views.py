"""`--views` from the command to the run: what is read, what is saved, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from pipeline.conftest import FAST, MODEL
from pipeline.test_refused import nothing_in, refuse


@pytest.fixture
def opened(monkeypatch):
    """The files that Pillow opens, as they are opened."""
    files, real = [], Image.open

    def watching(file, *rest, **options):
        files.append(file)
        return real(file, *rest, **options)

    monkeypatch.setattr(Image, "open", watching)
    return files


def stage1_of(run):
    return json.loads((Path(run) / "run.json").read_text())["settings"]["train-prompts"]


def test_with_a_bank_images_are_read_before_training_alone(scing, world, here, opened):
    """As often as without PDCA, and once more for each view; with fresh views, every epoch reads."""
    reads = {}
    first = ("train-prompts", "--data", world, *MODEL, *FAST, "--no-consistency", "--run", "first")
    assert scing(*first).code == 0  # which checks the images, once
    for given in (("--no-consistency",), ("--views", "bank:3"), ("--views", "fresh")):
        for epochs in (1, 3):
            run = f"{given[-1]}-{epochs}".lstrip("-")
            opened.clear()
            command = ("train-prompts", "--data", world, *MODEL, *FAST[2:], *given, "--epochs", epochs, "--run", run)
            result = scing(*command, "--json")
            assert result.code == 0, result.err
            reads[given[-1], epochs] = len(opened)
    images = result.json["images"]
    assert reads["--no-consistency", 1] == reads["--no-consistency", 3]
    assert reads["bank:3", 1] == reads["bank:3", 3] == reads["--no-consistency", 1] + 3 * images
    assert reads["fresh", 3] - reads["fresh", 1] >= images
    assert "gradient_consistency" in Path("bank:3-1", "metrics.jsonl").read_text()


def test_training_twice_with_a_bank_gives_the_same_bits(scing, world, here):
    for run in ("first", "second"):
        command = ("train-prompts", "--data", world, *MODEL, *FAST, "--views", "bank:2", "--run", run)
        result = scing(*command)
        assert result.code == 0, result.err
        assert "2 perturbed views of each of" in result.err
    weights = [next(Path(run, "prompts").glob("*.safetensors")).read_bytes() for run in ("first", "second")]
    assert weights[0] == weights[1]
    assert stage1_of("first")["views"] == "bank:2"
    assert scing("train-visual", "--run", "first", *FAST).code == 0


def test_the_file_says_it_and_the_option_goes_before(scing, world, here):
    Path("own.toml").write_text('[train-prompts]\nviews = "bank:3"\n')
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--config", "own.toml")
    assert scing(*command, "--run", "file").code == 0
    assert scing(*command, "--run", "option", "--views", "fresh").code == 0
    assert [stage1_of(run)["views"] for run in ("file", "option")] == ["bank:3", "fresh"]
    Path("own.toml").write_text('[train-prompts]\nviews = "bank"\n')
    refuse(scing(*command, "--run", "bad"), "own.toml, [train-prompts]: --views bank: must be fresh, or bank:N")


@pytest.mark.parametrize("value", ["bank:1", "bank:65", "bank:x", "bank:", "bank", "often", "bank:02", "bank:2.5", ""])
def test_an_unknown_source_of_views_is_refused(scing, world, here, value):
    known = "must be fresh, or bank:N with N from 2 to 64, as in bank:8"
    refuse(
        scing("train-prompts", "--data", world, *MODEL, "--views", value),
        f"--views {value}: {known}".replace("  ", " "),
    )
    nothing_in(here)


@pytest.mark.parametrize("value", ["fresh", "bank:4"])
@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (("--no-consistency",), "--views has no effect with --no-consistency"),
        (("--consistency-weight", "0"), "--views has no effect with --consistency-weight 0"),
        (("--method", "clip-reid"), "--views is not read by --method clip-reid"),
        (("--method", "cocoop"), "--views is not read by --method cocoop"),
    ],
)
def test_views_without_pdca_are_refused(scing, world, here, value, beside, message):
    refuse(scing("train-prompts", "--data", world, *MODEL, "--views", value, *beside), message)
    nothing_in(here)


def test_help_names_it(scing):
    assert "--views" in scing("train-prompts", "--help").out
