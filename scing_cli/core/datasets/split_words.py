"""The words for splits in tables: the standard names, other names of which the meaning is certain, and hints."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator

from scing_cli.core.datasets.folder_words import SPLIT_NAMES
from scing_cli.core.errors import counted, spelled
from scing_cli.core.manifest import SPLITS

MEANT = {"dev": "val", "development": "val", "eval": "query", "evaluation": "query", "gal": "gallery"}
TESTS = ("test", "testing")


class SplitWords:
    """Reads the words of one table. `test` is the gallery if other rows are queries, as it is for folders.

    Args:
        words: The field of each row, as it stands in the table.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._counts = Counter(word.strip().lower() for word in words)
        self._has_queries = any(SPLIT_NAMES.get(word) == "query" for word in self._counts)
        self._has_gallery = any(SPLIT_NAMES.get(word) == "gallery" for word in self._counts)

    def split(self, word: str) -> str:
        """Return the split that a word means; the word itself in lower case if that is not certain."""
        word = word.strip().lower()
        if word in TESTS and self._has_queries and not self._has_gallery:
            return "gallery"
        return SPLIT_NAMES.get(word, word)

    def hint(self, word: str) -> str:
        """Return what an unknown word may mean, to follow `is unknown`; empty if nothing is like it."""
        word = word.strip().lower()
        if word in TESTS:
            return ": mark the test images as query or gallery"
        close = difflib.get_close_matches(word, SPLIT_NAMES, n=1)
        meant = MEANT.get(word) or (SPLIT_NAMES[close[0]] if close else "")
        return f": perhaps {meant} is meant" if meant else ""

    def notes(self) -> Iterator[str]:
        """Yield a note for each word that is read as a split of another name."""
        for word, count in self._counts.items():
            split = self.split(word)
            if word and split != word and split in SPLITS:
                yield f"The split {spelled(word)} is read as {split} ({counted(count, 'row')})."
