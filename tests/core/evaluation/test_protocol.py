"""Which protocol `auto` takes, and why."""

from __future__ import annotations

import pytest

from scing_cli.core.errors import DataError, SettingError
from scing_cli.core.evaluation import PROTOCOLS, Choice, Labels, choose_protocol
from scing_cli.core.evaluation.truth import checked_truth, find_truth

ONE_CAMERA = "all images are of one camera (1)"


@pytest.mark.parametrize(
    ("query", "gallery", "name", "reason"),
    [
        (["1", "2"], ["1", "3"], "market", "the data names 3 cameras"),
        (["1", ""], ["2", ""], "market", "the data names 2 cameras"),
        (["1"], ["1", "1", ""], "no-camera", "all images are of one camera (1)"),
        (["", ""], ["1", "2"], "no-camera", "no camera is known of the queries"),
        (["1", "2"], ["", ""], "no-camera", "no camera is known of the gallery"),
        ([""], [""], "no-camera", "no camera is known of the queries and the gallery"),
    ],
)
def test_auto_follows_the_cameras(query: list[str], gallery: list[str], name: str, reason: str) -> None:
    assert choose_protocol("auto", query, gallery) == Choice(name, reason)


@pytest.mark.parametrize(
    ("query", "gallery", "name", "reason"),
    [
        (["1", "2"], ["1", "1"], "scene", "every image names its scene, 2 scenes"),
        (["1", ""], ["1", "2"], "no-camera", f"{ONE_CAMERA}; scenes are not used: 1 of 4 images name none"),
        (["", "2"], ["1", ""], "no-camera", f"{ONE_CAMERA}; scenes are not used: 2 of 4 images name none"),
        (["1", "1"], ["1", "1"], "no-camera", ONE_CAMERA),
        ([], [], "no-camera", ONE_CAMERA),
    ],
)
def test_auto_takes_scenes_where_every_row_has_one(
    query: list[str], gallery: list[str], name: str, reason: str
) -> None:
    cameras = ["1", "1"]
    found = choose_protocol("auto", cameras, cameras, query_scenes=query, gallery_scenes=gallery)
    assert found == Choice(name, reason)


def test_auto_takes_cameras_before_scenes() -> None:
    """A table of one's own may have a column of this name."""
    found = choose_protocol("auto", ["1", "2"], ["1", "2"], query_scenes=["a", "b"], gallery_scenes=["a", "b"])
    assert found.name == "market"


def test_scenes_that_are_asked_for_must_be_known() -> None:
    assert choose_protocol("scene", [""], [""], query_scenes=["1"], gallery_scenes=["", "2"]).reason == "asked for"
    with pytest.raises(SettingError, match="no scene is known of the gallery"):
        choose_protocol("scene", ["1"], ["2"], query_scenes=["1"], gallery_scenes=[""])


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "scene"])
def test_a_named_protocol_is_taken(name: str) -> None:
    assert choose_protocol(name, [""], [""]) == Choice(name, "asked for")


def test_an_unknown_protocol_lists_the_known() -> None:
    with pytest.raises(SettingError, match="--protocol 'cuhk' is unknown") as caught:
        choose_protocol("cuhk", [], [])
    assert caught.value.remedy == "Known: auto, market, scene, no-camera, text."


def test_true_matches_of_the_own_scene_alone_are_named() -> None:
    one = Labels(identities=["a", "b"], cameras=["", ""], scenes=["x", "y"])
    other = Labels(identities=["a", "b"], cameras=["3", "3"], scenes=["x", "z"])
    name, truth = checked_truth(one, other, "auto")
    assert (name, truth.hits(0).tolist(), truth.hits(1).tolist()) == ("scene", [], [1])
    assert truth.lost.reasons() == "1 has true matches from its own scene only"
    with pytest.raises(DataError, match="under the protocol scene: 2 have true matches from their own scene only"):
        checked_truth(one, Labels(identities=["a", "b"], cameras=["3", "3"], scenes=["x", "y"]), "scene")


def test_a_row_with_all_images_of_the_query_or_some_of_them_alone_is_its_own() -> None:
    """A thermal query, and gallery rows of the same observation, of another one, and of an ordinary image."""
    query = Labels(identities=["a", "a"], cameras=["", ""], keys=["t1", "v2"], images=[("t1",), ("v2", "t2")])
    gallery = Labels(
        identities=["a", "a", "a"],
        cameras=["", "", ""],
        keys=["v1", "v2", "v3"],
        images=[("v1", "t1"), ("v2",), ("v3",)],
    )
    truth = find_truth(query, gallery, protocol="no-camera")
    assert [truth.hits(number).tolist() for number in range(2)] == [[1, 2], [0, 2]]
    ordinary = Labels(identities=["a"], cameras=[""], keys=["v1"])
    assert find_truth(ordinary, gallery, protocol="no-camera").hits(0).tolist() == [1, 2]


def test_a_file_that_stands_for_missing_images_makes_no_row_a_querys_own() -> None:
    """Rows of four observations that share one grey image; the last one is the query's, without its first image."""
    query = Labels(identities=["a"], cameras=[""], keys=["v1"], images=[("v1", "n1", "grey")])
    gallery = Labels(
        identities=["a", "b", "a", "a"],
        cameras=["", "", "", ""],
        keys=["v2", "v3", "v4", "n1"],
        images=[("v2", "n2", "grey"), ("v3", "n3", "grey"), ("v4", "grey", "grey"), ("n1", "grey")],
    )
    truth = find_truth(query, gallery, protocol="no-camera")
    assert truth.hits(0).tolist() == [0, 2]


def test_scenes_that_are_known_in_part_are_named_in_the_reason() -> None:
    chosen = choose_protocol("auto", ["", ""], ["", ""], query_scenes=["x", ""], gallery_scenes=["x", "y"])
    assert chosen.name == "no-camera"
    assert "scenes are not used: 1 of 4 images name none" in chosen.reason
