"""Is a manifest enough for what is asked of it? Checked at the door, before anything is loaded."""

from __future__ import annotations

from scing_cli.core.errors import DataError, spelled
from scing_cli.core.manifest import Manifest

LABELS_REMEDY = "Name people in the column identity of a CSV, or use a data set that does (scing prepare --help)."


def check_training(manifest: Manifest, *, train_on: str = "") -> None:
    """Check that the split `train` can be learnt from: every row has an identity, and there are at least two.

    Args:
        manifest: All rows.
        train_on: For a layout whose data are for tests alone: what models are usually trained on.

    Raises:
        DataError: If there is no such row, one lacks its identity, or there are fewer than two identities.
    """
    if train_on and "train" not in manifest.splits():
        raise DataError(
            f"{spelled(manifest.name)} is for tests alone: it has no images to train on.",
            f"Train on other data, usually {train_on}: scing train-prompts --data DIR\n"
            f"then see how it does here: scing evaluate --run RUN --data {spelled(manifest.root)}",
        )
    rows = manifest.part("train")
    identities = rows.identities()
    if len(identities) < 2:
        found = f"there is only {identities[0]!r}" if identities else "no row names one"
        raise DataError(
            f"{spelled(manifest.name)} has fewer than two identities in the split 'train' ({found}).",
            LABELS_REMEDY,
        )
    unknown = [sample.path for sample in rows if not sample.identity]
    if unknown:
        what = f"has {len(unknown)} rows without an identity in the split 'train', such as {spelled(unknown[0])}"
        raise DataError(
            f"{spelled(manifest.name)} {what}.",
            "Give them one, or leave their split empty.",
        )


def check_evaluation(manifest: Manifest, split: str = "query") -> None:
    """Check that a split can be scored: queries and gallery have rows, and people known in both.

    Args:
        manifest: All rows.
        split: The queries. Their gallery is `gallery`; of any other split than `query`, that split itself.

    Raises:
        DataError: If a part has no row, or no known identity stands in both.
    """
    parts = {name: manifest.part(name) for name in (split, gallery_of(split))}
    known = {name: set(part.identities()) for name, part in parts.items()}
    for name, identities in known.items():
        if not identities:
            raise DataError(
                f"{spelled(manifest.name)} has no identity in the split {name!r}: nothing to score.", LABELS_REMEDY
            )
    if not set.intersection(*known.values()):
        raise DataError(
            f"{spelled(manifest.name)} has no identity that stands in the splits {' and '.join(map(repr, known))}.",
            "Queries are scored by the gallery's images of the same person: check the columns identity and split.",
        )


def gallery_of(split: str) -> str:
    """Return the split that queries of `split` are searched in.

    >>> gallery_of("query"), gallery_of("val")
    ('gallery', 'val')
    """
    return "gallery" if split == "query" else split
