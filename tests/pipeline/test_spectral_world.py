"""`prepare --synthetic --spectra`: what is drawn, what is said, and that several spectra are worth having at night."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import scing_cli
from scing_cli.core.datasets import read_data
from scing_cli.core.evaluation.metrics import average_precision
from scing_cli.core.synthetic import OBSERVATIONS, write_world

SMALL = ("--identities", "3", "--cameras", "2", "--images-per-camera", "1")
COLUMNS = {"rgb": "path", "nir": "near_infrared", "tir": "thermal"}


def test_it_draws_reads_and_says_how_to_go_on(scing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = scing("prepare", "night", "--synthetic", "--spectra", "rgb,nir,tir", "--night", *SMALL, "--json")
    assert result.code == 0, result.err
    assert result.json["manifest"] == "night.csv"
    assert {name: part["images"] for name, part in result.json["parts"].items()} == {
        "train": 6,
        "query": 6,
        "gallery": 6,
    }
    assert result.json["next"] == "scing train-prompts --method dmpt --data night/observations.csv"
    data = read_data(tmp_path / "night" / OBSERVATIONS).manifest
    assert data.spectra() == ("rgb", "nir", "tir")
    assert all(file.exists() for source in data.sources(("rgb", "nir", "tir")) for file in source.files)
    again = scing("prepare", "night", "--synthetic", "--spectra", "rgb")
    assert "night is not empty" in again.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--spectra", "rgb,xray"), "--spectra rgb,xray: there is no spectrum 'xray'. Known: rgb (visible)"),
        (("--night",), "--night needs --spectra. Add --spectra rgb,nir,tir"),
        (("--spectra", "rgb", "--wording", "usual"), "--wording usual: images of several spectra get no captions."),
        (
            ("--spectra", "rgb", "--layout", "market1501"),
            "--layout market1501: a synthetic data set has the layout csv.",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused_and_nothing_is_drawn(scing, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = scing("prepare", "night", "--synthetic", *words, *SMALL)
    assert result.code == 2
    assert message in result.err
    assert not list(tmp_path.iterdir())


def test_at_night_an_untrained_clip_finds_people_by_three_spectra_but_hardly_by_the_visible_one(tmp_path):
    world = tmp_path / "w"
    write_world(world, identities=1, test_identities=12, images_per_camera=1, spectra=tuple(COLUMNS), night=True)
    rows = [row for row in csv.DictReader((world / OBSERVATIONS).open(encoding="utf-8")) if row["split"] != "train"]
    model = scing_cli.load_model(model="scing-tiny")
    vectors = {one: model.embed([world / row[column] for row in rows]) for one, column in COLUMNS.items()}
    visible, joined = (
        _mean_average_precision(vectors["rgb"], rows),
        _mean_average_precision(np.hstack([*vectors.values()]), rows),
    )
    assert visible < 35
    assert visible + 15 < joined < 90


def _mean_average_precision(vectors, rows):
    """Return mAP in percent, images of the query's person by its camera left out; written from the definition."""
    precisions = []
    for query, row in enumerate(rows):
        if row["split"] != "query":
            continue
        valid = [
            number
            for number, other in enumerate(rows)
            if other["split"] == "gallery" and (other["identity"], other["camera"]) != (row["identity"], row["camera"])
        ]
        ranked = sorted(valid, key=lambda number: -float(vectors[query] @ vectors[number]))
        precisions.append(
            average_precision(np.array([rows[number]["identity"] == row["identity"] for number in ranked]))
        )
    return 100 * float(np.mean(precisions))
