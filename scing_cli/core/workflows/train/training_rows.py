"""The rows of a training: images, or for methods that learn from words pairs of an image and one of its captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.manifest import Manifest, labels
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import find_method
from scing_cli.core.settings.field import PAIRS
from scing_cli.core.workflows.shared.caption_side import has_word, warn_foreign

SHOWN = 5  # people named in a warning


@dataclasses.dataclass(frozen=True)
class TrainingRows:
    """N rows over the images of a training part.

    Args:
        part: The images.
        images: Of each row, the number of its image in `part`.
        captions: Of each row, its caption; empty where rows are images. Captions without a word are left out.
        classes: Of each row, its class.
    """

    part: Manifest
    images: Sequence[int]
    captions: Sequence[str]
    classes: Sequence[int]

    def describe(self, rows: Sequence[int]) -> str:
        """Return the names of the first images of some rows, for messages."""
        names = (self.part.samples[self.images[row]].path for row in rows[:4])
        return ", ".join(names) + (", …" if len(rows) > 4 else "")


def training_rows(part: Manifest, identities: Sequence[str], method: str) -> TrainingRows:
    """Return one row per image or, for a method of pairs, one per caption of each image.

    Args:
        part: The images of the training part.
        identities: The identity map.
        method: The method.
    """
    classes = labels(part, identities)
    if find_method(method).rows != PAIRS:
        return TrainingRows(part, range(len(part)), (), classes)
    pairs = [(image, caption) for image, sample in enumerate(part) for caption in sample.captions if has_word(caption)]
    images = [image for image, _ in pairs]
    return TrainingRows(part, images, [caption for _, caption in pairs], [classes[image] for image in images])


def captioned(manifest: Manifest, method: str, reporter: Reporter) -> Manifest:
    """Return the manifest without training images that a method of pairs cannot use: those without a caption.

    Args:
        manifest: All rows.
        method: The method; for one whose rows are images, nothing is left out.
        reporter: Receives warnings about what is left out, and about captions without a Latin letter.

    Raises:
        DataError: If no training image has a caption.
    """
    if find_method(method).rows != PAIRS:
        return manifest
    part = manifest.part("train")
    without = {row.path for row in part if not any(map(has_word, row.captions))}
    if len(without) == len(part):
        raise DataError(
            f"{spelled(manifest.name)} has no captions in the split 'train', and --method {method} learns from images "
            "with their captions.",
            "Describe the images in a captions.csv in the folder of the data (columns path and caption), or in the "
            "column caption of a CSV. Methods for images alone: scing, clip-reid, cocoop.",
        )
    warn_foreign([text for row in part for text in row.captions if has_word(text)], reporter)
    if not without:
        return manifest
    rows = tuple(row for row in manifest if row.split != "train" or row.path not in without)
    left = dataclasses.replace(manifest, samples=rows)
    known = set(left.part("train").identities())
    gone = [identity for identity in part.identities() if identity not in known]
    text = f"{len(without):,} of {counted(len(part), 'training image has', 'training images have')} no caption: "
    text += f"{'it is' if len(without) == 1 else 'they are'} left out."
    if gone:
        people = counted(len(gone), "identity has", "identities have")
        text += f" {people} no caption at all: {', '.join(map(spelled, gone[:SHOWN]))}"
        text += ", …" if len(gone) > SHOWN else "."
    reporter.warn(text)
    return left
