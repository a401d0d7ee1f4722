"""The parts of the measurement on photographs that need no video: links of boxes, pairs, and the AUC."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = runpy.run_path(str(Path(__file__).with_name("photographs.py")))
APART, LEAST_TRACK, Box, auc, histogram, pairs_of, tracks = (
    SCRIPT[name] for name in ("APART", "LEAST_TRACK", "Box", "auc", "histogram", "pairs_of", "tracks")
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
    vectors = rng.standard_normal((30, 4)).round(1).astype(np.float32)  # rounded: some cosines are equal
    same, other = rng.integers(0, 30, (40, 2)), rng.integers(0, 30, (50, 2))
    cosine = [[float(vectors[i] @ vectors[j]) for i, j in rows] for rows in (same, other)]
    expected = np.mean([(a > b) + 0.5 * (a == b) for a, b in itertools.product(*cosine)])
    assert auc(vectors, same, other) == pytest.approx(expected, abs=1e-3)


def test_a_histogram_knows_colours_and_where_they_are() -> None:
    red, blue = Image.new("RGB", (30, 90), (200, 20, 20)), Image.new("RGB", (30, 90), (20, 20, 200))
    mixed, turned = Image.new("RGB", (30, 90), (200, 20, 20)), Image.new("RGB", (30, 90), (20, 20, 200))
    mixed.paste(blue.crop((0, 0, 30, 45)), (0, 45))
    turned.paste(red.crop((0, 0, 30, 45)), (0, 45))
    vectors = [histogram(image) for image in (red, blue, mixed, turned)]
    assert all(np.linalg.norm(vector) == pytest.approx(1, abs=1e-5) for vector in vectors)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1]
    assert vectors[2] @ vectors[3] < vectors[0] @ vectors[2]
