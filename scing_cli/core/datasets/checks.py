"""Check that a manifest is sufficient for training or evaluation, before any model is loaded."""

from __future__ import annotations

from scing_cli.core.datasets.column_names import renaming
from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.manifest import COLUMNS, Manifest

LABELS_REMEDY = (
    "Name the people in the column identity of a CSV, or use a data set with identities (see scing prepare --help)."
)


def check_training(manifest: Manifest, *, train_on: str = "") -> None:
    """Check that the split `train` can be used for training: every row has an identity, and there are at least two.

    Args:
        manifest: All rows.
        train_on: For a test-only data set: the data set that models are usually trained on.

    Raises:
        DataError: If the split has no rows, a row lacks an identity, or there are fewer than two identities.
    """
    if train_on and "train" not in manifest.splits():
        raise DataError(
            f"{spelled(manifest.name)} is a test-only data set: it has no images for training.",
            f"Train on other data, usually {train_on}: scing train-prompts --data DIR\n"
            f"then evaluate the run here: scing evaluate --run RUN --data {spelled(manifest.root)}",
        )
    rows = manifest.part("train")
    identities = rows.identities()
    if len(identities) < 2:
        found = f"there is only {identities[0]!r}" if identities else "no row names one"
        raise DataError(
            f"{spelled(manifest.name)} has fewer than two identities in the split 'train' ({found}).",
            _labels_remedy(manifest),
        )
    unknown = [sample.path for sample in rows if not sample.identity]
    if unknown:
        number = counted(len(unknown), "row")
        what = f"has {number} without an identity in the split 'train', such as {spelled(unknown[0])}"
        raise DataError(
            f"{spelled(manifest.name)} {what}.",
            "Add their identities, or leave their split empty.",
        )


def check_evaluation(manifest: Manifest, split: str = "query") -> None:
    """Check that a split can be evaluated: queries and gallery have rows, and share at least one identity.

    Args:
        manifest: All rows.
        split: The split of the queries. Their gallery is `gallery` for `query`, otherwise the split itself.

    Raises:
        DataError: If a part has no row, or no known identity is in both.
    """
    if split == "query" and is_tested_by_words(manifest):
        raise DataError(
            f"{spelled(manifest.name)} has no image in the split 'query': its queries are the captions of the gallery.",
            f"Splits it has: {', '.join(manifest.splits())}. To search by them: scing evaluate --queries text. To "
            "search each gallery image among the others: --split gallery.",
        )
    parts = {name: manifest.part(name) for name in (split, gallery_of(split))}
    known = {name: set(part.identities()) for name, part in parts.items()}
    for name, identities in known.items():
        if not identities:
            raise DataError(
                f"{spelled(manifest.name)} has no identity in the split {name!r}: it cannot be scored.",
                _labels_remedy(manifest),
            )
    if not set.intersection(*known.values()):
        raise DataError(
            f"{spelled(manifest.name)} has no identity that is in both splits {' and '.join(map(repr, known))}.",
            "A query is scored by the gallery images of the same person: check the columns identity and split.",
        )


def is_tested_by_words(manifest: Manifest) -> bool:
    """Return whether the captions of a data set's gallery are its only queries: no image is one."""
    splits = {row.split for row in manifest}
    return "query" not in splits and any(row.captions for row in manifest if row.split == "gallery")


def _labels_remedy(manifest: Manifest) -> str:
    """Return how to name the people; a column of the CSV that likely does so already is named."""
    columns = {column for column in COLUMNS if any(getattr(row, column) for row in manifest)}
    extra = {name for row in manifest for name, _ in row.extra}
    return " ".join([*renaming([*sorted(columns), *sorted(extra)]), LABELS_REMEDY])


def gallery_of(split: str) -> str:
    """Return the gallery split for queries of `split`.

    >>> gallery_of("query"), gallery_of("val")
    ('gallery', 'val')
    """
    return "gallery" if split == "query" else split
