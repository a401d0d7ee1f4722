"""The captions of a test as one side of an evaluation: each is a text, with the identity of its image."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from scing_cli.core.embeddings import Vectors
from scing_cli.core.embeddings.text_embedder import AT_ONCE, TextEmbedder, tokens_of
from scing_cli.core.errors import DataError, agreeing, counted, spelled
from scing_cli.core.evaluation import Labels, Side
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Reporter

SHOWN = 60  # characters of a caption that a message quotes
SOURCES = (
    "Captions are read from the columns caption, caption_2 and so on of a CSV, and of captions.csv in the root of a "
    "folder of images."
)


@dataclasses.dataclass(frozen=True)
class Captions:
    """The captions of some images.

    Args:
        images: The images, each once.
        rows: For each caption the row of its image.
        texts: Each caption, with single spaces.
        without_words: How many captions were left out because they have no word.
    """

    images: Manifest
    rows: tuple[int, ...]
    texts: tuple[str, ...]
    without_words: int

    def __len__(self) -> int:
        return len(self.texts)

    def samples(self) -> tuple[Sample, ...]:
        """Return for each caption the row of its image."""
        return tuple(self.images.samples[row] for row in self.rows)

    def labels(self) -> Labels:
        """Return whose image each caption describes; a caption has no camera."""
        return Labels(identities=[row.identity for row in self.samples()], cameras=[""] * len(self))

    def side(self, vectors: Vectors) -> Side:
        """Return the captions as a side.

        Args:
            vectors: Shape (N, D), one per caption.
        """
        labels, names = self.labels(), [row.path for row in self.samples()]
        return Side(vectors, identities=labels.identities, cameras=labels.cameras, names=names, texts=[*self.texts])


def images_of_test(manifest: Manifest, split: str) -> Manifest:
    """Return the images that are compared with words, each file once: of `query` and `gallery`, or of another split.

    A file in both parts has the captions of both rows.

    Args:
        manifest: All rows.
        split: `query` for the test; or `val` or `train`.

    Raises:
        DataError: If there is no such row.
    """
    wanted = ("query", "gallery") if split == "query" else (split,)
    names = [name for name in manifest.splits() if name in wanted] or [split]
    rows = [row for name in names for row in manifest.part(name)]
    once: dict[str, Sample] = {}
    for key, row in zip(file_keys(manifest.file(row) for row in rows), rows, strict=True):
        once[key] = _joined(once[key], row) if key in once else row
    return dataclasses.replace(manifest, samples=tuple(once.values()))


def _joined(first: Sample, second: Sample) -> Sample:
    captions = dict.fromkeys((*first.captions, *second.captions)) if first.captions != second.captions else None
    row = first if captions is None else first.with_captions([*captions])
    return dataclasses.replace(row, identity=row.identity or second.identity)


def captions_of(images: Manifest, split: str) -> Captions:
    """Return the captions of images, in their order.

    Args:
        images: The images, each once.
        split: The split of the queries, for messages.

    Raises:
        DataError: If no image has a caption with a word.
    """
    pairs = [(row, " ".join(text.split())) for row, sample in enumerate(images) for text in sample.captions]
    kept = [(row, text) for row, text in pairs if has_word(text)]
    if not kept:
        part = "test (splits query and gallery)" if split == "query" else f"split {split!r}"
        what = f"{spelled(images.name)} has no caption in the {part}."
        if pairs:
            what = f"{spelled(images.name)}: none of the {counted(len(pairs), 'caption')} in the {part} has a word."
        raise DataError(what, SOURCES)
    rows, texts = zip(*kept, strict=True)
    return Captions(images, rows, texts, len(pairs) - len(kept))


def has_word(text: str) -> bool:
    """Return whether a text has a letter or a digit, and is Unicode: half a character from a JSON file is not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return any(letter.isalnum() for letter in text)


def embed_captions(captions: Captions, embedder: TextEmbedder, reporter: Reporter) -> tuple[Side, int]:
    """Embed captions; equal ones have the same vector to the bit.

    Args:
        captions: The captions.
        embedder: The text tower.
        reporter: Shows progress, and receives warnings of captions that are left out, cut, or hardly known to CLIP.

    Returns:
        The side, and how many captions were cut.
    """
    places: dict[str, int] = {}
    numbers = np.array([places.setdefault(text, len(places)) for text in captions.texts], dtype=np.int64)
    texts = [*places]
    vectors = np.empty((len(texts), embedder.width), np.float32)
    cut: set[str] = set()
    with reporter.progress("embed captions", len(texts)) as advance:
        for part in _batches(texts):
            own = [texts[place] for place in part]
            cut.update(own[number] for number in tokens_of(own, embedder.context_length).cut)
            vectors[part] = embedder.texts(own)
            advance(len(part))
    long = [text for text in captions.texts if text in cut]
    _warn(captions, long, embedder.context_length, reporter)
    return captions.side(vectors[numbers]), len(long)


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of texts of about one length: the longest one of a batch decides how long it takes."""
    order = sorted(range(len(texts)), key=lambda place: (len(texts[place]), place))
    yield from (order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE))


def _warn(captions: Captions, cut: Sequence[str], length: int, reporter: Reporter) -> None:
    if captions.without_words:
        have = agreeing(captions.without_words, "has", "have")
        reporter.warn(f"{counted(captions.without_words, 'caption')} {have} no word: left out.")
    if cut:
        are = counted(len(cut), "caption is", "captions are")
        reporter.warn(
            f"{are} longer than the {length} tokens that the model reads; the rest has no effect: "
            f"{spelled(cut[0][:SHOWN])} …"
        )
    warn_foreign(captions.texts, reporter)


def warn_foreign(captions: Sequence[str], reporter: Reporter) -> None:
    """Warn of captions without a Latin letter."""
    foreign = [text for text in captions if not any(letter.isascii() and letter.isalpha() for letter in text)]
    if foreign:
        have = counted(len(foreign), "caption has", "captions have")
        reporter.warn(
            f"{have} no Latin letter, such as {spelled(foreign[0][:SHOWN])}: CLIP has learned English words; "
            "others mean little to it."
        )
