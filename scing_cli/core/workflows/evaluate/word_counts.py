"""What an evaluation of words counted, beyond its figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from scing_cli.core.errors import SettingError, agreeing, counted
from scing_cli.core.evaluation import TEXT

QUERIES = ("images", "text")
DIRECTIONS = MappingProxyType({"text-to-image": "image", "image-to-text": "caption"})
"""Each direction, and what the rows of its gallery are."""
REASON = "words are compared with images, and nothing is left out"


@dataclasses.dataclass(frozen=True)
class WordCounts:
    """Captions and images of an evaluation of words.

    Args:
        captions: How many captions are compared.
        images: How many images are compared.
        with_captions: How many images have a caption that is compared.
        without_words: Captions that are left out because they have no word.
        cut: Captions that are longer than what the model reads.
    """

    captions: int
    images: int
    with_captions: int
    without_words: int = 0
    cut: int = 0

    def summary(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "captions": self.captions,
            "images": self.images,
            "images_with_captions": self.with_captions,
            "images_without_captions": self.images - self.with_captions,
            "captions_without_words": self.without_words,
            "captions_cut": self.cut,
        }

    def line(self) -> str:
        """Return a sentence about what is compared."""
        captions, images = counted(self.captions, "caption"), counted(self.images, "image")
        without = self.images - self.with_captions
        have = f"{without:,} of them {agreeing(without, 'has', 'have')} no caption" if without else "all have captions"
        return f"{captions} and {images}; {have}."

    def faults(self) -> Iterator[str]:
        """Yield a sentence about captions that are left out, and one about those that are cut."""
        if self.without_words:
            are = agreeing(self.without_words, "has", "have")
            yield f"{counted(self.without_words, 'caption')} {are} no word: left out."
        if self.cut:
            are = agreeing(self.cut, "is", "are")
            yield f"{counted(self.cut, 'caption')} {are} longer than what the model reads: the rest has no effect."


def check_words(queries: str, direction: str | None, protocol: str, given: dict[str, bool]) -> str:
    """Check what was asked of an evaluation of words, and return the direction; empty for one of images.

    Args:
        queries: One of `QUERIES`.
        direction: One of `DIRECTIONS`; None for the usual one.
        protocol: The protocol.
        given: Options that have no meaning with words, and whether they were given.

    Raises:
        SettingError: If a name is unknown, or an option has no effect.
    """
    if queries not in QUERIES:
        raise SettingError(f"--queries {queries!r} is unknown.", f"Known: {', '.join(QUERIES)}.")
    if direction is not None and direction not in DIRECTIONS:
        raise SettingError(f"--direction {direction!r} is unknown.", f"Known: {', '.join(DIRECTIONS)}.")
    if queries == "images":
        if direction is not None:
            raise SettingError("--direction has no effect without --queries text.", "Add it, or leave --direction out.")
        if protocol == TEXT:
            raise SettingError("--protocol text is for words.", "Add --queries text, or leave --protocol out.")
        return ""
    if protocol not in ("auto", TEXT):
        raise SettingError(
            f"--protocol {protocol} has no effect with --queries text: a caption has no camera, and nothing is left "
            "out.",
            "Leave --protocol out.",
        )
    reasons = {
        "--rerank": "it orders rows by the neighbours that images share, and a caption has no such neighbours",
        "--descriptor concat": "words are compared in the space that images and texts share",
    }
    for option, reason in reasons.items():
        if given.get(option):
            raise SettingError(f"{option} is not possible with --queries text: {reason}.", f"Leave {option} out.")
    return direction or next(iter(DIRECTIONS))
