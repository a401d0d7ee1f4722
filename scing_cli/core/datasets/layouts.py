"""The one table of layouts, and the door to all of them: `read_data`."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.datasets.listing import list_folder
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Sample


@dataclasses.dataclass(frozen=True, slots=True)
class LayoutSpec:
    """One row of the table of layouts.

    Args:
        summary: What it is, for help texts and messages.
        markers: Names of the folders that must all lie in the root; none means that the layout is a file.
        module: Where `read(path) -> DataSet` lies; imported when it is needed.
    """

    summary: str
    markers: tuple[str, ...]
    module: str


LAYOUTS: Mapping[str, LayoutSpec] = MappingProxyType(
    {
        "market1501": LayoutSpec(
            summary="Market-1501, DukeMTMC-reID, Occluded-Duke: file names begin as 0001_c1 (identity, camera)",
            markers=("bounding_box_train", "query", "bounding_box_test"),
            module="scing_cli.core.datasets.market",
        ),
        "csv": LayoutSpec(
            summary="a CSV file with the column path, and identity, camera, split, caption where known",
            markers=(),
            module="scing_cli.core.datasets.table",
        ),
    }
)
EMBED_REMEDY = (
    "Data of your own: a CSV with the columns path, identity, camera, split (only path is needed).\n"
    "Images in any folder, without labels, can be embedded and searched: scing embed --images DIR."
)


def read_data(path: Path, *, layout: str = "auto") -> DataSet:
    """Read a folder in a known layout, or a CSV file, without opening an image.

    Args:
        path: The folder or file.
        layout: A name of `LAYOUTS`, or `auto`: what the folder's marker folders say.

    Returns:
        The manifest, whose root is absolute, and what the reader left out.

    Raises:
        DataError: If the path is missing, its layout is unknown, or the reader finds it faulty.
    """
    path = path.absolute()
    if layout != "auto" and layout not in LAYOUTS:
        close = difflib.get_close_matches(layout, LAYOUTS, n=1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise DataError(f"There is no layout {layout!r}.", f"{hint}Known: auto, {', '.join(LAYOUTS)}.")
    name = detect(path) if layout == "auto" else _checked(path, layout)
    data: DataSet = importlib.import_module(LAYOUTS[name].module).read(path)
    return dataclasses.replace(data, notes=(*data.notes, *_overlap(data.manifest.samples)))


def detect(path: Path) -> str:
    """Return the name of the layout that a folder or file has.

    Raises:
        DataError: If the path is missing, or no layout or more than one fits; the message lists the marker folders.
    """
    _exists(path)
    if not path.is_dir():
        return "csv"
    folders = set(list_folder(path).folders)
    fitting = [name for name, spec in LAYOUTS.items() if spec.markers and folders.issuperset(spec.markers)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DataError(f"{path} fits several layouts: {', '.join(fitting)}.", "Say which with --layout NAME.")
    looked = "\n".join(_looked_for(folders))
    raise DataError(f"{path} has no known layout. Looked for the folders\n{looked}", _remedy(path))


def _exists(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path} does not exist.", "Give the data set's folder, or a CSV file.")


def _checked(path: Path, layout: str) -> str:
    """Return `layout` if the path has what it needs."""
    _exists(path)
    markers = LAYOUTS[layout].markers
    if path.is_dir() != bool(markers):
        kind, other = ("folder", "file") if markers else ("file", "folder")
        raise DataError(
            f"--layout {layout} needs a {kind}; {path} is a {other}.", "Leave --layout out, or set it to auto."
        )
    missing = sorted(set(markers) - set(list_folder(path).folders)) if markers else []
    if missing:
        raise DataError(f"{path} lacks the folders of --layout {layout}: {', '.join(missing)}.", _remedy(path))
    return layout


def _looked_for(folders: set[str]) -> Iterator[str]:
    for name, spec in LAYOUTS.items():
        if spec.markers:
            there = [marker for marker in spec.markers if marker in folders]
            found = f"; found {', '.join(there)}" if there else ""
            yield f"  {', '.join(spec.markers)} ({name}){found}"


def _remedy(path: Path) -> str:
    """Return what to do about a folder of no known layout: the data may lie a folder deeper, or beside a CSV."""
    listing = list_folder(path)
    markers = [set(spec.markers) for spec in LAYOUTS.values() if spec.markers]
    for name in listing.folders[:50]:
        if any(all((path / name / marker).is_dir() for marker in needed) for needed in markers):
            return f"Did you mean {path / name}?"
    for name in listing.others:
        if name.lower().endswith(".csv"):
            return f"Did you mean {path / name}? {EMBED_REMEDY}"
    return EMBED_REMEDY


def _overlap(samples: tuple[Sample, ...]) -> tuple[str, ...]:
    """Note identities that stand both in training and among the queries."""
    trained = {sample.identity for sample in samples if sample.split == "train"} - {""}
    shared = trained & {sample.identity for sample in samples if sample.split == "query"}
    if not shared:
        return ()
    return (f"{len(shared)} identities stand in train and in query: their scores are not those of unknown people.",)
