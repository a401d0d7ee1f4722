"""Captions in words that `scing-tiny` has met and in others: two per image, true, different and always the same."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageStat

from scing_cli.core.errors import SettingError
from scing_cli.core.synthetic import draw_cameras, draw_people, render_view, worker, write_world
from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.captions import LEAST, TOLD, WORDINGS, Caption, Seen, visible_facts, write_captions
from scing_cli.core.synthetic.dice import dice
from scing_cli.core.synthetic.palette import COLOURS, HAIR_COLOURS
from scing_cli.core.synthetic.unmet import UNMET
from scing_cli.core.synthetic.wording import USUAL, Wording

PEOPLE = draw_people(16, "test wording")
CAMERAS = draw_cameras(6, "test wording")
SMALL = {"identities": 3, "cameras": 2, "images_per_camera": 1, "occluded_queries": True, "seed": 3}
FUNCTION_WORDS = frozenset(
    (
        "a",
        "an",
        "the",
        "and",
        "or",
        "of",
        "in",
        "on",
        "with",
        "to",
        "from",
        "that",
        "is",
        "are",
        "as",
        "at",
        "by",
        "who",
        "whose",
    )
)
MEANS = {
    "bounding_box_test/0004_c1s1_000002_00.jpg": (144.0, 136.8, 153.5),
    "bounding_box_test/0006_c1s1_000002_00.jpg": (110.7, 110.9, 126.7),
    "bounding_box_train/0002_c1s1_000001_00.jpg": (131.2, 129.1, 148.4),
    "query/0004_c1s1_000001_00.jpg": (134.3, 105.8, 128.3),
    "query/0006_c1s1_000001_00.jpg": (133.6, 136.8, 128.8),
}


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def phrases(wording: Wording) -> Iterator[str]:
    """Yield everything in the tables of a wording."""
    for table in (getattr(wording, field.name) for field in dataclasses.fields(wording)):
        if isinstance(table, tuple):
            yield from table
        elif not callable(table):
            yield from (words for row in table.values() for words in row)


def captions(key: int, wording: str, *, occluded: bool = False) -> tuple[Caption, ...]:
    view = render_view(PEOPLE[key % 16], CAMERAS[key % 6], "wording", key, occluded=occluded, wording=wording)
    return view.captions


@given(key=st.integers(0, 2**40), wording=st.sampled_from(list(WORDINGS)), occluded=st.booleans())
@settings(deadline=None, max_examples=60)
def test_both_captions_of_any_image_name_the_same_facts_in_other_words(key: int, wording: str, occluded: bool) -> None:
    both = captions(key, wording, occluded=occluded)
    assert len(both) == TOLD
    assert both[0].text != both[1].text
    assert len(both[0].named) == len(both[1].named) >= LEAST
    for caption in both:
        assert len(set(caption.named)) == len(caption.named)
        assert all(words.lower() in caption.text.lower() for words in caption.named)
        assert caption.text[0].isupper()
        assert caption.text.endswith(".")
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|[{}]|  ", caption.text.lower()), caption.text
    assert captions(key, wording, occluded=occluded) == both


@given(
    counts=st.lists(st.integers(0, 120), min_size=len(Part), max_size=len(Part)),
    who=st.integers(0, 15),
    yaw=st.floats(-3.2, 3.2),
    clarity=st.floats(0.1, 1.2),
)
@settings(deadline=None, max_examples=40)
def test_what_can_be_named_does_not_depend_on_the_wording(
    counts: list[int], who: int, yaw: float, clarity: float
) -> None:
    """Whatever an image shows, all wordings and all draws name the same attributes of it: those that it shows."""
    person = PEOPLE[who]
    shown = dict(zip(Part, counts, strict=True)) | {Part.SLEEVE: 1 + counts[0]}  # no image shows nothing
    if not person.hat.kind:
        shown[Part.HAT] = 0
    if not person.bag.kind:
        shown[Part.BAG] = 0
    seen = Seen(shown, yaw, clarity)
    told = [
        [(fact.name, fact.role, fact.weight) for fact in visible_facts(person, seen, dice("any", turn), wording)]
        for wording in (USUAL, UNMET)
        for turn in range(3)
    ]
    assert all(one == told[0] for one in told)
    assert len({name for name, _, _ in told[0]}) == len(told[0]) >= LEAST


def test_a_pattern_that_the_camera_loses_is_in_no_caption() -> None:
    person = PEOPLE[0]
    style = dataclasses.replace(person.top.style, kind="sweater", pattern="striped", colour="grey", second="teal")
    person = dataclasses.replace(person, top=dataclasses.replace(person.top, style=style, prints=()))
    shown = dict.fromkeys(Part, 0) | {Part.TOP: 900, Part.LEGS: 0, Part.SLEEVE: 0}
    teal = set(UNMET.colours["teal"])
    for wording in WORDINGS:
        clear, lost = (
            " ".join(
                c.text
                for key in range(12)
                for c in write_captions(person, Seen(shown, 0.0, clarity), key, wording=wording)
            )
            for clarity in (1.0, 0.0)
        )
        assert any(name in clear for name in teal)
        assert not any(name in lost for name in (*teal, "strip", "hoops", "bars"))


def test_the_first_usual_caption_is_the_one_without_a_wording() -> None:
    for key in range(20):
        assert captions(key, "usual")[0] == captions(key, "")[0]


@pytest.fixture(scope="module")
def many() -> dict[str, list[str]]:
    return {name: [one.text for key in range(100) for one in captions(key, name)] for name in WORDINGS}


def test_at_least_60_percent_of_the_content_words_are_not_met(many: dict[str, list[str]]) -> None:
    """Pretraining's vocabulary: the words of its tables, of the colours, and of many captions in the usual wording."""
    met = {word for words in (*phrases(USUAL), *COLOURS, *HAIR_COLOURS, *many["usual"]) for word in words_of(words)}
    shares = []
    for text in many["unmet"]:
        content = [word for word in words_of(text) if word not in FUNCTION_WORDS]
        shares.append(sum(word not in met for word in content) / len(content))
    assert np.mean(shares) >= 0.6
    assert np.quantile(shares, 0.1) > 0.35


def test_no_unmet_sentence_begins_or_runs_as_a_usual_one(many: dict[str, list[str]]) -> None:
    usual, unmet = ({words_of(text)[0] for text in many[name]} for name in ("usual", "unmet"))
    assert not {"someone", "seen", "in", "facing", "turned"} & unmet
    assert {"someone", "a", "seen"} <= usual
    text = " ".join(many["unmet"]).lower()
    for words in ("wearing", "dressed in", "who wears", "carrying", "a person", "a pedestrian", "someone", "a walker"):
        assert words not in text


def test_every_name_is_in_both_wordings() -> None:
    assert set(UNMET.colours) == set(COLOURS)
    assert set(UNMET.hair_colours) == set(HAIR_COLOURS)
    for table in ("tops", "patterns", "bottoms", "shoes", "bags", "hats", "hair", "others"):
        assert set(getattr(UNMET, table)) == set(getattr(USUAL, table))
    names = [name for key, names in UNMET.colours.items() for name in names if name != key]
    assert len(set(names)) == len(names)


def rows(folder: Path) -> list[tuple[str, str]]:
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as stream:
        header, *content = csv.reader(stream)
    assert header == ["path", "caption"]
    return [(path, caption) for path, caption in content]


@pytest.mark.parametrize("wording", list(WORDINGS))
def test_a_world_has_two_lines_per_image_and_the_same_images(
    wording: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_world(tmp_path / "plain", **SMALL, workers=1)
    write_world(tmp_path / "told", **SMALL, workers=1, wording=wording)
    monkeypatch.setattr(worker, "WORTH_PROCESSES", 1)
    write_world(tmp_path / "again", **SMALL, workers=3, wording=wording)
    files = [path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*") if path.is_file()]
    for file in files:
        told = (tmp_path / "told" / file).read_bytes()
        assert told == (tmp_path / "again" / file).read_bytes()
        assert (told == (tmp_path / "plain" / file).read_bytes()) is (file.name != "captions.csv")
    once, twice = rows(tmp_path / "plain"), rows(tmp_path / "told")
    assert [path for path, _ in twice] == [path for path, _ in once for _ in range(2)]
    assert len(set(twice)) == len(twice)


def test_a_world_without_a_wording_is_the_one_it_has_always_been(tmp_path: Path) -> None:
    """Captions to the byte; of the images the mean colours, because JPEG bytes depend on the version of a library."""
    write_world(tmp_path / "w", **SMALL, workers=1)
    content = (tmp_path / "w" / "captions.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "f720826521148aaab9c4aec611f9f42e246ea5c3a0ccfa79a0ab7573424c3fd3"
    for name, colours in MEANS.items():
        with Image.open(tmp_path / "w" / name) as image:
            assert ImageStat.Stat(image).mean == pytest.approx(colours, abs=0.5)


def test_an_unknown_wording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"--wording odd: not a wording\.\nGive one of: usual, unmet\."):
        write_world(tmp_path / "w", **SMALL, wording="odd")
    assert not list(tmp_path.iterdir())
