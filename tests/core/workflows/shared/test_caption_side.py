"""Captions as queries: which ones there are, whose they are, and their vectors."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_clip

from scing_cli.core.embeddings.text_embedder import TorchTextEmbedder
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.shared.caption_side import captions_of, embed_captions, images_of_test

WORDS = ["a man", "  a\tman ", "", "...", "\0", "red coat", "мужчина", "x" * 400, "half \ud83d"]


@pytest.fixture(scope="module")
def tower():
    return TorchTextEmbedder(tiny_clip(reporter=Silent()).text)


def manifest(rows):
    samples = (
        Sample(f"{image}.jpg", identity=person, split=split).with_captions(captions)
        for image, person, split, captions in rows
    )
    return Manifest(Path("data"), tuple(samples), "mine")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["query", "gallery", "val", "train"]),
            st.lists(st.sampled_from(WORDS), max_size=3),
        ),
        max_size=12,
        unique_by=lambda row: (row[0], row[2]),
    ),
    st.sampled_from(["query", "val"]),
)
def test_every_caption_with_a_word_is_there_once_for_each_image(rows, split):
    wanted = ("query", "gallery") if split == "query" else (split,)
    own = [row for name in wanted for row in rows if row[2] == name]
    if not any(set("amnrdcotx") & set(text) or "м" in text for row in own for text in row[3] if "\ud83d" not in text):
        with pytest.raises(DataError):
            captions_of(images_of_test(manifest(rows), split), split)
        return
    images = images_of_test(manifest(rows), split)
    assert [sample.path for sample in images] == [f"{image}.jpg" for image in dict.fromkeys(row[0] for row in own)]
    found = captions_of(images, split)
    expected, people = [], []
    for image in dict.fromkeys(row[0] for row in own):
        same = [row for row in own if row[0] == image]
        texts = [[text for text in row[3] if text.strip()] for row in same]
        told = texts[0] if all(own == texts[0] for own in texts) else [*dict.fromkeys(itertools.chain(*texts))]
        person = next((row[1] for row in same if row[1]), "")
        for text in told:
            if "\ud83d" not in text and any(letter.isalnum() for letter in text):
                expected.append((f"{image}.jpg", " ".join(text.split())))
                people.append(person)
    assert [(row.path, text) for row, text in zip(found.samples(), found.texts, strict=True)] == expected
    assert list(found.labels().identities) == people
    assert set(found.labels().cameras) <= {""}


def test_vectors_are_those_of_each_caption_alone_and_equal_captions_have_equal_bits(tower):
    texts = [f"{'very ' * (n % 9)}red coat {n % 40}" for n in range(150)]
    data = manifest((n, str(n % 7), "gallery", [text]) for n, text in enumerate(texts))
    side, cut = embed_captions(captions_of(data, "query"), tower, Silent())
    alone = np.concatenate([tower.texts([text]) for text in texts])
    np.testing.assert_allclose(side.vectors, alone, atol=1e-5)
    assert cut == 0
    for text in set(texts):
        assert len({side.vectors[n].tobytes() for n in range(150) if texts[n] == text}) == 1
    assert side.texts == texts
    assert side.names == [f"{n}.jpg" for n in range(150)]


def test_what_is_cut_left_out_or_foreign_is_counted(tower):
    class Hearing(Silent):
        heard: list[str] = []  # noqa: RUF012 - of this test alone

        def warn(self, text):
            self.heard.append(text)

    data = manifest([(1, "a", "gallery", ["red " * 300, "a man"]), (2, "a", "query", ["!?", "red " * 300, "王"])])
    side, cut = embed_captions(captions_of(images_of_test(data, "query"), "query"), tower, Hearing())
    assert (len(side), cut) == (4, 2)
    assert Hearing.heard[0] == "1 caption has no word: left out."
    assert Hearing.heard[1].startswith("2 captions are longer than the 77 tokens that the model reads; the rest has no")
    assert Hearing.heard[2].startswith("1 caption has no Latin letter, such as 王: CLIP has learned English words")
