"""The modality gap of finished runs: the example as a reader runs it, and the data that it measures."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from artifacts import edit_run
from oracles import gap as oracle
from PIL import Image
from safetensors.torch import load_file
from tiny import tiny_clip

from scing_cli.core.artifacts import open_run
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.encoder_file import load_image_encoder, save_encoders
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.manifest import labels
from scing_cli.core.methods.prompts_file import IdentityTexts, save_prompts
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.paper.modality_gap import draw_gaps, measure_gaps
from scing_cli.core.workflows.shared.run_data import run_manifest

SCRIPT = Path(__file__).parents[2] / "examples" / "modality_gap.py"


@pytest.fixture
def example(monkeypatch, capsys):
    """Run the example in this process: what it exits with (None for success), and what it prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        capsys.readouterr()
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as left:
            return left.code, capsys.readouterr().out
        return None, capsys.readouterr().out

    return run


def embedded(encoder, run, *, cameras=False):
    """Return a run's training images as an encoder sees them."""
    part = run_manifest(open_run(run)).part("train")
    embedder = TorchEmbedder(
        encoder, kind="projected", device=torch.device("cpu"), precision="fp32", batch_size=64, workers=2
    )
    names = [sample.camera for sample in part] if cameras else None
    return embedder.files(part.files(), cameras=names, reporter=Silent(), text="x").tolist()


def expected(vectors, run):
    """Return the oracle's numbers of a run's training images."""
    opened = open_run(run)
    texts = load_file(opened.stage("prompts") / "prompts.safetensors")["identity_texts"]
    own = labels(run_manifest(opened).part("train"), opened.identities)
    return pytest.approx(oracle.gap(vectors, texts.tolist(), own), abs=1e-6)


def numbers(row):
    return row["distance"], row["nearest"], row["cosine"]


def test_the_example_measures_both_stages_of_each_run(example, finished, own_run, tmp_path):
    half = own_run.rename(tmp_path / "half")
    shutil.rmtree(half / "visual")
    picture, report = tmp_path / "gap.png", tmp_path / "gap.json"
    code, out = example(finished, half, "--output", picture, "--json", report)
    assert code is None
    rows = json.loads(report.read_text(encoding="utf-8"))["modality_gap"]
    assert [(row["label"], row["stage"]) for row in rows] == [("run", 1), ("run", 2), ("half", 1)]
    assert {(row["images"], row["identities"]) for row in rows} == {(18, 6)}
    assert numbers(rows[0]) == expected(embedded(tiny_clip().image, finished), finished)
    assert numbers(rows[1]) == expected(embedded(load_image_encoder(finished / "visual")[0], finished), finished)
    assert numbers(rows[2]) == numbers(rows[0])
    assert all(f"{row['distance']:.3f}" in out for row in rows)
    first = Image.open(picture).tobytes()
    assert example(finished, half, "--output", picture, "--json", report)[0] is None  # its own files it writes again
    assert Image.open(picture).tobytes() == first


def test_a_bad_place_is_refused_before_any_work(example, finished, tmp_path):
    (tmp_path / "mine.png").write_bytes(b"a photo")
    (tmp_path / "run.json").write_text('{"format": 1}')
    for options, said in (
        (["--output", "gap.pdf"], "unknown kind of picture"),
        (["--output", tmp_path / "mine.png"], "not a picture written by scing"),
        (["--json", "gap.txt"], "must end in .json"),
        (["--json", tmp_path / "run.json"], "does not contain a modality gap"),
    ):
        code, _ = example(tmp_path / "no run at all", "--output", tmp_path / "gap.png", *options)
        assert said in code


def test_runs_are_named_by_their_method_where_that_tells_them_apart(finished, own_run, tmp_path):
    edit_run(own_run, lambda info: info["settings"]["train-prompts"].update(consistency=False))
    third = shutil.copytree(own_run, tmp_path / "deeper" / "run")
    labels_of = [[row.label for row in measure_gaps(runs)][::2] for runs in ([finished, own_run], [own_run, third])]
    assert labels_of == [["scing", "scing, no consistency"], [str(own_run), str(third)]]


def test_an_encoder_that_knows_cameras_is_told_them(finished, own_run):
    encoder = load_image_encoder(own_run / "visual")[0]
    encoder.learn_cameras(run_manifest(open_run(own_run)).part("train").cameras(), 0)
    with torch.no_grad():
        encoder.camera_embedding.mul_(100)
    save_encoders(own_run / "visual", encoder, {})
    row = measure_gaps([own_run])[1].numbers()
    assert numbers(row) == expected(embedded(encoder, own_run, cameras=True), own_run)
    assert numbers(row) != expected(embedded(encoder, own_run), own_run)


def test_texts_of_any_length_are_compared_by_their_direction(finished, own_run):
    run = open_run(own_run)
    stamp = json.loads((run.stage("prompts") / "stamp.json").read_text(encoding="utf-8"))
    texts = load_file(run.stage("prompts") / "prompts.safetensors")["identity_texts"] * torch.arange(1, 7)[:, None]
    save_prompts(run.stage("prompts"), {}, IdentityTexts(texts, run.identities, 1.0, stamp["model_digest"], "dot"), {})
    long, unit = (measure_gaps([folder])[0] for folder in (own_run, finished))
    assert numbers(long.numbers()) == pytest.approx(numbers(unit.numbers()), abs=1e-6)
    assert long.plane.texts == pytest.approx(unit.plane.texts, abs=1e-5)


def test_images_are_drawn_by_seed(finished):
    few, again, others = (measure_gaps([finished], images=7, seed=seed)[0] for seed in (1, 1, 2))
    assert few.images == 7
    assert few.identities == 6
    assert np.array_equal(few.plane.images, again.plane.images)
    assert not np.array_equal(few.plane.images, others.plane.images)


def test_what_cannot_be_measured_is_refused(own_run, tmp_path):
    with pytest.raises(SettingError, match="--images 0: must be at least 1"):
        measure_gaps([own_run], images=0)
    edit_run(own_run, lambda info: info["settings"]["train-prompts"].update(seed=99))  # of the weights `random`
    with pytest.raises(RunError, match="is not the model that"):
        measure_gaps([own_run])
    shutil.rmtree(own_run / "prompts")
    with pytest.raises(RunError, match="has no prompts"):
        measure_gaps([own_run])


def test_a_single_run_is_drawn_side_by_side(finished):
    rows = measure_gaps([finished])
    both, first = draw_gaps(rows), draw_gaps(rows[:1])
    assert both.width > 1.5 * first.width
    assert both.height < 1.2 * first.height
