"""The parts of the measurement on photographs that need no video: links of boxes, pairs, and the AUC."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = runpy.run_path(str(Path(__file__).with_name("photographs.py")))
APART, LEAST_TRACK, Box, auc, histogram, measured, pairs_of, tracks = (
    SCRIPT[name] for name in ("APART", "LEAST_TRACK", "Box", "auc", "histogram", "measured", "pairs_of", "tracks")
)


def walk(start: int, step: int, frames: range) -> list:
    return [Box(frame, start + step * frame, 100, start + step * frame + 40, 220) for frame in frames]


def test_boxes_of_two_people_who_walk_are_two_tracks() -> None:
    left, right = walk(10, 3, range(30)), walk(400, -3, range(5, 40))
    found = tracks([*left, *right])
    assert sorted(found, key=len) == [left, right]


def test_a_jump_ends_a_track_and_a_short_track_is_left_out() -> None:
    before, after = walk(10, 1, range(20)), walk(300, 1, range(20, 20 + LEAST_TRACK - 1))
    assert tracks([*before, *after]) == [before]


def test_overlap_is_intersection_over_union() -> None:
    one = Box(0, 0, 0, 10, 20)
    assert one.overlap(one) == 1
    assert one.overlap(Box(0, 5, 0, 15, 20)) == pytest.approx(1 / 3)
    assert one.overlap(Box(0, 10, 0, 20, 20)) == 0


def test_pairs_are_of_one_track_far_apart_or_of_one_frame() -> None:
    owners, frames = np.repeat([0, 1, 2], 40), np.tile(np.arange(40), 3)
    same, other = pairs_of(owners, frames)
    everybody = list(itertools.combinations(range(len(owners)), 2))
    assert {tuple(pair) for pair in same} == {
        (i, j) for i, j in everybody if owners[i] == owners[j] and abs(frames[i] - frames[j]) >= APART
    }
    assert {tuple(pair) for pair in other} == {
        (i, j) for i, j in everybody if owners[i] != owners[j] and frames[i] == frames[j]
    }


def test_the_auc_is_that_of_all_pairs_of_pairs() -> None:
    rng = np.random.default_rng(0)
    same, other = rng.standard_normal(40).round(1), rng.standard_normal(50).round(1)  # rounded: some are equal
    often = rng.integers(0, 3, 40), rng.integers(0, 3, 50)
    for weights in (None, often):
        twice = (same, other) if weights is None else (same.repeat(often[0]), other.repeat(often[1]))
        expected = np.mean([(a > b) + 0.5 * (a == b) for a, b in itertools.product(*twice)])
        assert auc((same, other), weights) == pytest.approx(expected)


def test_the_interval_holds_the_auc_and_is_that_of_whole_tracks() -> None:
    """A quarter of the tracks says less."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 8))
    vectors = np.repeat(centres, 6, axis=0) + rng.standard_normal((240, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    owners, frames = np.repeat(np.arange(40), 6), np.tile(np.arange(6) * APART, 40)
    many = measured(vectors, owners, *pairs_of(owners, frames))
    kept = np.flatnonzero(owners < 10)
    few = measured(vectors[kept], owners[kept], *pairs_of(owners[kept], frames[kept]))
    assert many[1] < many[0] < many[2]
    assert few[2] - few[1] > 1.3 * (many[2] - many[1])


def test_a_histogram_knows_colours_and_where_they_are() -> None:
    red, blue = Image.new("RGB", (30, 90), (200, 20, 20)), Image.new("RGB", (30, 90), (20, 20, 200))
    mixed, turned = Image.new("RGB", (30, 90), (200, 20, 20)), Image.new("RGB", (30, 90), (20, 20, 200))
    mixed.paste(blue.crop((0, 0, 30, 45)), (0, 45))
    turned.paste(red.crop((0, 0, 30, 45)), (0, 45))
    vectors = [histogram(image) for image in (red, blue, mixed, turned)]
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) for vector in vectors)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1]
    assert vectors[2] @ vectors[3] < vectors[0] @ vectors[2]
