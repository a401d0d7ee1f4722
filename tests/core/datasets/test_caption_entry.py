"""The schema of an entry: what is taken, and the reason why the rest is not, on one line."""

from __future__ import annotations

from typing import Any

import pytest

from scing_cli.core.datasets.caption_entry import LONGEST, CaptionEntry, EntryOfImagePath, check_entry
from scing_cli.core.datasets.caption_file import MOST_CAPTIONS

GOOD = {"split": "train", "id": 7, "file_path": "cam_a/1.bmp", "captions": ["A man."], "processed_tokens": [["a"]]}
FAULTS: dict[str, tuple[Any, str]] = {
    "a text": ("cam_a/1.bmp", "it is 'cam_a/1.bmp', not an object with the fields of an image"),
    "a list": ([1, 2], "it is a list, not an object with the fields of an image"),
    "nothing": (None, "it is None, not an object with the fields of an image"),
    "no split": ({name: GOOD[name] for name in GOOD if name != "split"}, "the field split is missing"),
    "another field for the path": ({**GOOD, "file_path": 5}, "file_path is 5, not a text"),
    "an identity of a fraction": ({**GOOD, "id": 7.5}, "id is 7.5, not a number or a text"),
    "an identity of truth": ({**GOOD, "id": True}, "id is True, not a number or a text"),
    "an empty identity": ({**GOOD, "id": " "}, "id is empty"),
    "an empty path": ({**GOOD, "file_path": ""}, "file_path is empty"),
    "no captions": ({**GOOD, "captions": None}, "captions is None, not a list of texts"),
    "captions by name": ({**GOOD, "captions": {"a": "b"}}, "captions is an object, not a list of texts"),
    "a number as caption": ({**GOOD, "captions": ["A man.", 5]}, "captions 2 is 5, not a text"),
    "words as caption": ({**GOOD, "captions": [["a", "man"]]}, "captions 1 is a list, not a text"),
    "a caption with NUL": ({**GOOD, "captions": ["A\0man"]}, "captions 1 has a NUL character"),
    "a path with NUL": ({**GOOD, "file_path": "a\0.jpg"}, "file_path has a NUL character"),
    "half a character": ({**GOOD, "captions": ["A \ud800"]}, "captions 1 has half a Unicode character"),
    "a long caption": (
        {**GOOD, "captions": ["a" * (LONGEST + 1)]},
        "captions 1 has 20,001 characters; at most 20,000 are read",
    ),
    "many captions": ({**GOOD, "captions": ["a"] * 51}, f"it has 51 captions; at most {MOST_CAPTIONS} are read"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_wrong_is_said_with_field_and_value(kind: str) -> None:
    item, reason = FAULTS[kind]
    assert check_entry(item, CaptionEntry) == reason


def test_a_long_value_is_cut_and_escaped() -> None:
    reason = check_entry({**GOOD, "captions": "\x1b[31m" * 5_000}, CaptionEntry)
    assert isinstance(reason, str)
    assert "characters; at most" in reason
    reason = check_entry({**GOOD, "id": ["\x1b[31m"], "split": "x"}, CaptionEntry)
    assert reason == "id is a list, not a number or a text"


@pytest.mark.parametrize(
    ("given", "identity", "captions"),
    [
        ({}, "7", ["A man."]),
        ({"id": "p 7"}, "p 7", ["A man."]),
        ({"id": 0}, "0", ["A man."]),
        ({"captions": "One text."}, "7", ["One text."]),
        ({"captions": []}, "7", []),
        ({"captions": ["", "一个男人", "a " * 300]}, "7", ["", "一个男人", "a " * 300]),
    ],
)
def test_fields_are_taken_as_they_are(given: dict[str, Any], identity: str, captions: list[str]) -> None:
    entry = check_entry({**GOOD, **given}, CaptionEntry)
    assert isinstance(entry, CaptionEntry)
    assert (entry.path, entry.identity, entry.captions, entry.split) == ("cam_a/1.bmp", identity, captions, "train")


def test_rstpreid_names_its_images_in_another_field() -> None:
    assert check_entry(GOOD, EntryOfImagePath) == "the field img_path is missing"
    entry = check_entry({**GOOD, "img_path": "0000_c1_0004.jpg"}, EntryOfImagePath)
    assert isinstance(entry, EntryOfImagePath)
    assert entry.path == "0000_c1_0004.jpg"
