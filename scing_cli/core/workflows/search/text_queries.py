"""Queries in words: check the texts, embed them, and join them with photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scing_cli.core.embeddings import Vectors
from scing_cli.core.embeddings.text_embedder import tokens_of
from scing_cli.core.errors import DataError, SettingError, counted, spelled
from scing_cli.core.index import Stamp
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.search.match_threshold import MatchRule
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.text_tower import open_text_embedder

SHOWN = 60  # characters of a text that a message quotes


def check_texts(texts: Sequence[str], stamp: Stamp, *, photos: bool, rerank: bool, wanted: MatchRule) -> list[str]:
    """Check texts before any model is loaded, and return them without spaces around them.

    Args:
        texts: What the user wrote; at least one.
        stamp: The stamp of the index.
        photos: Whether there are photos too.
        rerank: Whether the hits are re-ranked.
        wanted: The threshold of a match.

    Raises:
        SettingError: If a text is empty or not Unicode, or words cannot be used in this search.
    """
    found = checked_words(texts)
    if photos and len(found) > 1:
        raise SettingError(
            f"{len(found)} texts were given with photos: one text is joined with each photo.",
            "Give one --text, or leave the photos out.",
        )
    check_descriptor_of_texts(stamp.descriptor)
    if rerank:
        raise SettingError(
            "--rerank orders hits by the neighbours that images share; a text has no such neighbours.", "Leave it out."
        )
    if wanted.false_match_rate is not None and photos:
        raise SettingError(
            "--false-match-rate is measured with photos or with words, not with both joined.",
            "Give a --threshold instead.",
        )
    return found


def checked_words(texts: Sequence[str]) -> list[str]:
    """Return texts without spaces around them.

    Raises:
        SettingError: If one is empty, has no word or is not Unicode.
    """
    found = []
    for number, given in enumerate(texts, 1):
        which = "--text" if len(texts) == 1 else f"--text, number {number} of {len(texts)}"
        if not isinstance(given, str):
            raise SettingError(f"{which}: {given!r} is not a text.", 'Describe a person: "a man in a red shirt".')
        text = " ".join(given.split())
        found.append(text)
        if not any(letter.isalnum() for letter in text):
            what = f"{spelled(text[:SHOWN])} has no word" if text else "the text is empty"
            raise SettingError(f"{which}: {what}.", 'Describe a person: "a man in a red shirt".')
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise SettingError(f"{which}: {spelled(text)[:SHOWN]} is not UTF-8.", "Write it in UTF-8.") from None
    return found


def check_descriptor_of_texts(descriptor: str) -> None:
    """Check that vectors of images can be compared with those of texts.

    Raises:
        SettingError: If they have parts that texts do not have.
    """
    if descriptor != "projected":
        raise SettingError(
            f"Words are compared in the space that images and texts share; vectors of --descriptor {descriptor} lie in "
            "another.",
            "Embed the gallery again without --descriptor.",
        )


def text_vectors(texts: Sequence[str], model: OpenedModel, *, reporter: Reporter) -> Vectors:
    """Embed texts with the text tower that belongs to a model.

    Args:
        texts: Q texts.
        model: The model of the index.
        reporter: Receives a warning for texts that are cut, and a note on texts that CLIP hardly knows.

    Returns:
        Shape (Q, D), float32, unit length.

    Raises:
        SettingError: If the model has no text tower.
    """
    embedder = open_text_embedder(model, reporter=reporter)
    if not texts:
        return embedder.texts(texts)
    cut = tokens_of(texts, embedder.context_length).cut
    if cut:
        first = spelled(texts[cut[0]][:SHOWN])
        reporter.warn(
            f"{counted(len(cut), 'text is', 'texts are')} longer than the {embedder.context_length} tokens that the "
            f"model reads; the rest has no effect: {first} …"
        )
    foreign = [text for text in texts if not any(letter.isascii() and letter.isalpha() for letter in text)]
    if foreign:
        reporter.warn(f"{spelled(foreign[0][:SHOWN])}: CLIP has learned English words; others mean little to it.")
    return embedder.texts(texts)


def join_words(photos: Vectors, words: Vectors, weight: float) -> Vectors:
    """Join each photo with a text: the weighted sum of both unit vectors, scaled to unit length.

    Args:
        photos: Shape (Q, D), float32, unit length.
        words: Shape (1, D), float32, unit length.
        weight: The weight of the words, from 0 to 1; the photo has the rest.

    Returns:
        Shape (Q, D), float32, unit length.

    Raises:
        DataError: If a photo and the text cancel each other out.
    """
    joined = (1 - weight) * photos.astype(np.float64) + weight * words.astype(np.float64)
    lengths = np.linalg.norm(joined, axis=1, keepdims=True)
    if not (lengths > 1e-6).all():
        raise DataError("A photo and the words cancel each other out.", "Search with one of them.")
    return np.asarray(joined / lengths, np.float32)
