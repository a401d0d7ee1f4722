"""Which rows are searched for which, and that no image is counted for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_clip

from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.errors import DataError
from scing_cli.core.evaluation import Scores
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.shared.scoring import labels_of, score_parts, sides


@pytest.fixture(scope="module")
def embedder() -> TorchEmbedder:
    return TorchEmbedder(
        tiny_clip().image, kind="projected", device=torch.device("cpu"), precision="fp32", batch_size=8, workers=2
    )


@pytest.fixture
def noise(tmp_path: Path) -> Manifest:
    """Pictures that have nothing to do with their labels: 6 people, 4 images each, by 2 cameras."""
    draw, samples = np.random.default_rng(1), []
    for number in range(24):
        name = f"{number}.png"
        Image.fromarray(draw.integers(0, 255, (32, 16, 3), dtype=np.uint8)).save(tmp_path / name)
        samples.append(Sample(name, f"p{number % 6}", f"c{number // 6 % 2}", "val"))
    return Manifest(tmp_path, tuple(samples), "noise")


def score(manifest: Manifest, embedder: TorchEmbedder, protocol: str) -> Scores:
    return score_parts(*sides(manifest, "val"), embedder, protocol=protocol, reporter=Silent())


@pytest.mark.parametrize(("protocol", "matches"), [("market", 2), ("no-camera", 3), ("auto", 2)])
def test_no_image_of_a_split_finds_itself(
    noise: Manifest, embedder: TorchEmbedder, protocol: str, matches: int
) -> None:
    queries, gallery = sides(noise, "val")
    assert queries == gallery == noise
    scores = score(noise, embedder, protocol)
    assert set(scores.per_query.matches.tolist()) == {matches}
    assert scores.rank1 < 60  # 100 if each found itself


def test_rows_without_a_camera_do_not_find_themselves_either(noise: Manifest, embedder: TorchEmbedder) -> None:
    bare = Manifest(noise.root, tuple(Sample(s.path, s.identity, "", "val") for s in noise.samples[:12]), "mixed")
    mixed = Manifest(noise.root, bare.samples + noise.samples[12:], "mixed")
    for manifest in (mixed, bare):
        assert score(manifest, embedder, "market").rank1 < 60


def test_the_same_file_in_query_and_gallery_counts_for_nothing(noise: Manifest, embedder: TorchEmbedder) -> None:
    """By whatever path it is named."""
    again = f"../{noise.root.name}/"
    gallery = [Sample(again + s.path, s.identity, "", "gallery") for s in noise]
    query = [Sample(s.path, s.identity, "", "query") for s in noise]
    both = Manifest(noise.root, (*query, *gallery), "both")
    scores = score_parts(*sides(both, "query"), embedder, protocol="auto", reporter=Silent())
    assert scores.per_query.matches.tolist() == [3] * 24
    assert scores.mAP == pytest.approx(score(noise, embedder, "no-camera").mAP)


def test_people_with_one_image_each_cannot_be_evaluated(noise: Manifest, embedder: TorchEmbedder) -> None:
    one = Manifest(noise.root, noise.samples[:6], "one each")
    with pytest.raises(DataError, match="6 have no image of their identity in the gallery but themselves"):
        score(one, embedder, "no-camera")


def test_labels_of_observations_name_all_their_images(tmp_path: Path) -> None:
    rows = (
        Sample("v.jpg", "a", extra=(("thermal", "t.jpg"),)),
        Sample("t.jpg", "a", extra=(("thermal", "t.jpg"),)),
        Sample("s.jpg", "a", extra=(("crops", "3x1"),)),
    )
    found = labels_of(Manifest(tmp_path, rows, "data"))
    place = tmp_path.resolve().as_posix()
    assert found.images == [(f"{place}/v.jpg", f"{place}/t.jpg"), (f"{place}/t.jpg",), (f"{place}/s.jpg",)]
    assert labels_of(Manifest(tmp_path, (Sample("v.jpg", "a"),), "data")).images == ()
