"""Rows of a training: images, or one row per caption; what has no caption is left out and counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.train.training_rows import captioned, training_rows

CAPTIONS = st.lists(st.sampled_from(["a man", "red", "", " ", ".", "женщина", "half \ud83d", "a" * 2000]), max_size=4)


class Heard(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def table(*rows: tuple[str, list[str]], split: str = "train") -> Manifest:
    samples = (
        Sample(f"{number}.jpg", identity, "1", split).with_captions(texts)
        for number, (identity, texts) in enumerate(rows)
    )
    return Manifest(Path("/data"), tuple(samples), "mine")


def test_an_image_with_two_captions_is_two_rows() -> None:
    part = table(("b", ["one", "two"]), ("a", ["three"]), ("b", ["four", "five", "six"]))
    rows = training_rows(part, ("a", "b"), "direct")
    assert (rows.images, rows.classes) == ([0, 0, 1, 2, 2, 2], [1, 1, 0, 1, 1, 1])
    assert rows.captions == ["one", "two", "three", "four", "five", "six"]
    assert rows.describe([0, 5]) == "0.jpg, 2.jpg"
    plain = training_rows(part, ("a", "b"), "scing")
    assert ([*plain.images], [*plain.captions], plain.classes) == ([0, 1, 2], [], [1, 0, 1])


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), CAPTIONS), min_size=1, max_size=8))
def test_every_caption_with_a_word_is_a_row_and_every_image_has_one(rows: list[tuple[str, list[str]]]) -> None:
    manifest, heard = table(*rows), Heard()
    useful = {"a man", "red", "женщина", "a" * 2000}
    kept = [(identity, [text for text in texts if text in useful]) for identity, texts in rows]
    kept = [(identity, texts) for identity, texts in kept if texts]
    if not kept:
        with pytest.raises(DataError, match="mine has no captions in the split 'train', and --method direct learns"):
            captioned(manifest, "direct", heard)
        return
    left = captioned(manifest, "direct", heard)
    found = training_rows(left.part("train"), left.identities(), "direct")
    assert [*found.captions] == [text for _, texts in kept for text in texts]
    assert set(found.images) == set(range(len(left)))
    without, gone = len(rows) - len(kept), {name for name, _ in rows} - {name for name, _ in kept}
    foreign = sum(texts.count("женщина") for _, texts in kept)
    if foreign:
        have = "1 caption has" if foreign == 1 else f"{foreign} captions have"
        assert heard.warnings.pop(0).startswith(f"{have} no Latin letter, such as женщина: CLIP has learned English")
    assert (heard.warnings == []) == (not without)
    if without:
        assert heard.warnings[0].startswith(f"{without} of {len(rows)} training image")
        assert all(name in heard.warnings[0].partition("at all")[2] for name in gone)
        assert ("no caption at all" in heard.warnings[0]) == bool(gone)


def test_other_splits_and_methods_of_images_keep_all() -> None:
    manifest = table(("a", []), ("b", []))
    assert captioned(manifest, "scing", Silent()) is manifest
    samples = (*table(("a", []), ("b", ["x"])).samples, *table(("c", []), split="val").samples)
    left = captioned(Manifest(manifest.root, samples, "m"), "direct", Silent())
    assert [(row.split, row.identity) for row in left] == [("train", "b"), ("val", "c")]
