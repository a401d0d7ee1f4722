"""CLIP's tokenizer without torch: byte pairs of the vocabulary that open_clip brings.

Importing open_clip imports torch, so only its data file is used. The ids equal those of open_clip's tokenizer.
"""

from __future__ import annotations

import functools
import gzip
import html
import importlib.util
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scing_cli.core.errors import WeightsError

if TYPE_CHECKING:  # names of models are completed without numpy
    import numpy as np
    import numpy.typing as npt

VOCABULARY = 49408
MERGES = VOCABULARY - 2 * 256 - 2  # all but the bytes, the bytes at the end of a word, and the two special tokens
START, END = VOCABULARY - 2, VOCABULARY - 1
FILE = "bpe_simple_vocab_16e6.txt.gz"
SPECIAL = {"<start_of_text>": START, "<end_of_text>": END}
LAST = "</w>"  # ends the last part of a word
WORDS_KEPT = 16384
_PLAIN = re.compile(r"[ -%'-~]*")  # printable ASCII without `&`: nothing to repair
_PLAIN_WORDS = re.compile(r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+")

Pair = tuple[str, str]


def tokenize(text: str) -> list[int]:
    """Return CLIP's token ids of a text: start token, words, end token; not padded, not truncated.

    Raises:
        WeightsError: If open_clip's vocabulary is missing.

    >>> tokenize("A photo of a person.")
    [49406, 320, 1125, 539, 320, 2533, 269, 49407]
    """
    found = [START]
    for word in _words(text):
        found += _ids(word)
    return [*found, END]


class Tokens(NamedTuple):
    """Texts as token ids.

    Args:
        ids: Shape (Q, T), int64; after a text's end token 0.
        ends: Shape (Q,), int64: the place of each end token, counted from 0.
        cut: Numbers of the texts that were longer than the tower's context.
    """

    ids: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    cut: Sequence[int]


def tokens_of(texts: Sequence[str], context_length: int) -> Tokens:
    """Return the token ids of texts; a text that is too long loses its last words.

    Args:
        texts: At least one.
        context_length: Most tokens of a text, with its start and its end.
    """
    import numpy as np

    found = [tokenize(text) for text in texts]
    cut = [number for number, ids in enumerate(found) if len(ids) > context_length]
    for number in cut:
        found[number] = [*found[number][: context_length - 1], END]
    ids = np.zeros((len(found), max(map(len, found))), np.int64)
    for number, own in enumerate(found):
        ids[number, : len(own)] = own
    return Tokens(ids, np.array([len(own) - 1 for own in found], np.int64), cut)


@functools.lru_cache(WORDS_KEPT)
def _ids(word: str) -> Sequence[int]:
    """Return the token ids of a word; those of many captions are the same few thousand."""
    if word in SPECIAL:  # written out in the text
        return (SPECIAL[word],)
    ids, ranks = _vocabulary()
    letters = _letters()
    return tuple(ids[part] for part in _parts("".join(letters[byte] for byte in word.encode()), ranks))


def _words(text: str) -> list[str]:
    """Return the words, numbers and signs of a text, repaired and in lower case."""
    if _PLAIN.fullmatch(text):
        return _PLAIN_WORDS.findall(" ".join(text.split()).lower())
    import ftfy

    repaired = html.unescape(html.unescape(ftfy.fix_text(text)))
    found: list[str] = _pattern().findall(" ".join(repaired.split()).lower())
    return found


@functools.cache
def _pattern() -> Any:
    import regex  # type: ignore[import-untyped]  # Python's own `re` does not know the classes of Unicode

    specials = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d"
    return regex.compile(rf"{specials}|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+", regex.IGNORECASE)


def _parts(word: str, ranks: Mapping[Pair, int]) -> Sequence[str]:
    """Join neighbouring parts of a word, the most frequent pair first, until no known pair is left."""
    parts = [*word[:-1], word[-1] + LAST]
    while len(parts) > 1:
        first, second = min(itertools.pairwise(parts), key=lambda pair: ranks.get(pair, MERGES))
        if (first, second) not in ranks:
            break
        joined: list[str] = []
        for part in parts:
            if joined and joined[-1] == first and part == second:
                joined[-1] = first + second
            else:
                joined.append(part)
        parts = joined
    return parts


@functools.cache
def _letters() -> Sequence[str]:
    """Return the letter that stands for each byte in the vocabulary: printable ones are themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in printable)
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


@functools.cache
def _vocabulary() -> tuple[Mapping[str, int], Mapping[Pair, int]]:
    """Return the id of each token, and the rank of each pair that is joined."""
    file = _file()
    try:
        lines = gzip.decompress(file.read_bytes()).decode().split("\n")[1 : MERGES + 1]
    except (OSError, EOFError, ValueError) as error:
        raise WeightsError(f"{file} cannot be read: {error}.", "Install open_clip_torch again.") from error
    pairs: list[Pair] = [(first, second) for first, second in (line.split() for line in lines)]
    letters = _letters()
    printable = sorted(letters, key=lambda letter: (ord(letter) >= 256, ord(letter)))
    tokens = [*printable, *(letter + LAST for letter in printable), *(first + second for first, second in pairs)]
    return {token: number for number, token in enumerate(tokens)}, {pair: rank for rank, pair in enumerate(pairs)}


def _file() -> Path:
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise WeightsError(
            "open_clip, which brings CLIP's vocabulary, is not installed.", "pip install open_clip_torch"
        )
    return Path(found.submodule_search_locations[0]) / FILE
