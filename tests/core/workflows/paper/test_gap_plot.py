"""The picture of the modality gap: the gap at its full length, one scale for all panels."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from scing_cli.core.errors import SettingError
from scing_cli.core.workflows.paper.gap_plot import UMAP_AXES, GapPanel, Plane, gap_picture, gap_plane, umap_plane
from scing_cli.core.workflows.paper.modality_gap import measure_gaps


def clouds(seed: int, *, gap: float, count: int = 40, width: int = 9) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    images, texts = draw.gamma(1.0, 0.2, (count, width)), draw.gamma(1.0, 0.1, (count, width))
    towards = draw.normal(size=width)
    texts += images.mean(0) - texts.mean(0) + gap * towards / np.linalg.norm(towards)
    return images, texts


@pytest.mark.parametrize("gap", [0.0, 0.01, 1.3])
def test_the_gap_is_kept_and_no_distance_grows(gap: float) -> None:
    images, texts = clouds(0, gap=gap)
    plane = gap_plane(images, texts)
    centres = plane.images.mean(0), plane.texts.mean(0)
    assert np.array(centres) == pytest.approx(np.array([[-gap / 2, 0], [gap / 2, 0]]), abs=1e-9)
    near, far = np.concatenate([plane.images, plane.texts]), np.concatenate([images, texts])
    shown, true = (np.linalg.norm(points[:, None] - points[None], axis=2) for points in (near, far))
    assert (shown <= true + 1e-9).all()


def test_the_second_axis_is_the_widest_direction_across_the_gap() -> None:
    draw = np.random.default_rng(1)
    images, texts = (
        np.concatenate([np.full((50, 1), x), draw.normal(size=(50, 3)) * [0.1, 2, 0.3]], 1) for x in (0, 4)
    )
    texts[:, 1:] += images[:, 1:].mean(0) - texts[:, 1:].mean(0)
    plane = gap_plane(images, texts)
    wide = images[:, 2] - images[:, 2].mean()
    assert abs(np.corrcoef(plane.images[:, 1], wide)[0, 1]) > 0.99
    assert plane.images[:, 1].std() == pytest.approx(wide.std(), rel=0.01)


def test_the_picture_does_not_hang_on_the_axes_of_the_space() -> None:
    """A turned or mirrored joint space gives the same plane, signs and all."""
    images, texts = clouds(2, gap=0.7)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(9, 9)))[0]
    plane, turned = gap_plane(images, texts), gap_plane(images @ turn, texts @ turn)
    assert turned.images == pytest.approx(plane.images, abs=1e-9)
    assert turned.texts == pytest.approx(plane.texts, abs=1e-9)


def test_one_pair_is_a_line() -> None:
    plane = gap_plane(np.array([[1.0, 0, 0]]), np.array([[0, 1.0, 0]]))
    assert plane.images == pytest.approx(np.array([[-np.sqrt(0.5), 0]]))
    assert plane.texts == pytest.approx(-plane.images)


def panel(gap: float, heading: str = "a run") -> GapPanel:
    up = np.linspace(-0.5, 0.5, 21)
    return GapPanel(heading, Plane(*(np.stack([np.full(21, x), up], axis=1) for x in (-gap / 2, gap / 2))))


def two_places(marked: np.ndarray) -> np.ndarray:
    """Return the mean columns of the marked pixels left and right of the widest gap between them."""
    columns = np.sort(np.argwhere(marked)[:, 1])
    left = np.diff(columns).argmax() + 1
    return np.array([columns[:left].mean(), columns[left:].mean()])


def test_panels_have_one_scale() -> None:
    picture = np.asarray(gap_picture([[panel(1.0)], [panel(0.5)]])).astype(int)
    red, _, blue = np.moveaxis(picture[len(picture) // 4 :], 2, 0)  # below legend and headings
    wide, narrow = two_places(blue - red > 80) - two_places(red - blue > 80)
    assert wide > 100
    assert wide == pytest.approx(2 * narrow, rel=0.02)


def test_a_column_may_be_shorter_and_a_heading_is_no_formula() -> None:
    picture = np.asarray(gap_picture([[panel(1.0), panel(0.8)], [panel(0.6, r"run $\frac{$")]]))
    height, width, _ = picture.shape
    empty = picture[height * 6 // 10 : height * 9 // 10, width * 6 // 10 :]
    assert (empty == 255).all()
    assert (picture[height * 6 // 10 : height * 9 // 10, : width * 4 // 10] != 255).any()
    with pytest.raises(ValueError, match="no panels"):
        gap_picture([[]])


def test_umap_draws_each_text_once_and_every_image(monkeypatch) -> None:
    """With a stand-in for umap-learn, which is not needed to run the tests: the first two values of each vector."""
    asked = {}

    class First:
        def __init__(self, **options: object) -> None:
            asked.update(options)

        def fit_transform(self, points: np.ndarray) -> np.ndarray:
            asked["points"] = points
            return points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=First))
    draw = np.random.default_rng(2)
    own = np.array([0, 1, 1, 2, 0])
    images, names = draw.normal(size=(5, 4)), draw.normal(size=(3, 4))
    plane = umap_plane(images, names[own], seed=7)
    assert len(asked["points"]) == 5 + 3
    assert (asked["random_state"], asked["metric"], asked["n_neighbors"]) == (7, "cosine", 7)
    origin = asked["points"][:, :2].mean(0)
    assert plane.images == pytest.approx(images[:, :2] - origin, abs=1e-6)
    assert plane.texts == pytest.approx(names[own][:, :2] - origin, abs=1e-6)
    drawn = [gap_picture([[GapPanel("a run", plane)]], **axes).tobytes() for axes in ({"axes": UMAP_AXES}, {}, {})]
    assert drawn[0] != drawn[1] == drawn[2]


def test_umap_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(SettingError, match=r"--umap needs umap-learn"):
        measure_gaps([Path("no run at all")], umap=True)  # before anything is read
