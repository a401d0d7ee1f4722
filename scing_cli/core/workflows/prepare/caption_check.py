"""Warn of images without a caption, and of captions that a model does not read to their end."""

from __future__ import annotations

import dataclasses

from scing_cli.core.encoders.tokenizer import tokenize
from scing_cli.core.errors import WeightsError, agreeing, share
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter

CONTEXT = 77  # tokens that CLIP's text tower reads, start and end included


@dataclasses.dataclass(frozen=True, slots=True)
class CaptionCounts:
    """The counts of a data set with captions.

    Args:
        images_without: Rows without a caption.
        captions_cut: Captions of more than `CONTEXT` tokens.
    """

    images_without: int
    captions_cut: int


def check_captions(manifest: Manifest, reporter: Reporter) -> CaptionCounts | None:
    """Count captions that are missing or too long, and warn of them; None for data without captions.

    Args:
        manifest: The rows.
        reporter: Receives the warnings.
    """
    captions = [row.captions for row in manifest]
    without = sum(not texts for texts in captions)
    if without == len(captions):
        return None
    if without:
        rows = share(without, len(captions), "image", "has", "have")
        use = agreeing(without, "it has", "they have")
        reporter.warn(f"{rows} no caption: {use} no use in a training on captions, and no query in a test by words.")
    texts = [text for some in captions for text in some]
    try:
        lengths = [len(tokenize(text)) for text in texts]
    except WeightsError as error:  # CLIP's vocabulary is missing
        reporter.note(f"Whether captions are too long is not known: {error.what}")
        return CaptionCounts(without, 0)
    cut = sum(length > CONTEXT for length in lengths)
    if cut:
        rows = share(cut, len(texts), "caption", "has", "have")
        words = f"up to {max(lengths):,}" if cut > 1 else f"{max(lengths):,}"
        reporter.warn(f"{rows} more than CLIP's {CONTEXT} tokens ({words}): what comes after them is cut off.")
    return CaptionCounts(without, cut)
