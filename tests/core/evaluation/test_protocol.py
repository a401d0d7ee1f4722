"""Which protocol `auto` takes, and why."""

from __future__ import annotations

import pytest

from scing_cli.core.errors import SettingError
from scing_cli.core.evaluation import PROTOCOLS, Choice, choose_protocol


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


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_named_protocol_is_taken(name: str) -> None:
    assert choose_protocol(name, [""], [""]) == Choice(name, "asked for")


def test_an_unknown_protocol_lists_the_known() -> None:
    with pytest.raises(SettingError, match="--protocol 'cuhk' is unknown") as caught:
        choose_protocol("cuhk", [], [])
    assert caught.value.remedy == "Known: auto, market, no-camera, text."
