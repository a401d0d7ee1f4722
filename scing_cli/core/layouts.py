"""The one table of layouts: in which folders and lists the known data sets lie, and which reader knows their names.

A light room: the command line names the layouts before anything is read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

Parts = Mapping[str, tuple[str, ...]]
"""Which folders below the root hold a split; the empty split is of rows without one, the folder `.` the root itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One way in which a layout lies on disk.

    Args:
        parts: The folders of each split; all of them must be there.
        files: Files that must lie in the root.
        absent: Folders that must not.
        names: For folders whose names say little: what the names of the images in them begin as; no folders among them.
    """

    parts: Parts
    files: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    names: str = ""

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the marker folders, each once, in the order of the parts."""
        return tuple(dict.fromkeys(folder for folders in self.parts.values() for folder in folders))


@dataclasses.dataclass(frozen=True, slots=True)
class LayoutSpec:
    """One row of the table of layouts.

    Args:
        summary: What it is, for help texts and messages.
        module: Where `read(path, parts) -> DataSet` lies, the reader of its naming scheme; imported when it is needed.
        variants: The ways in which it lies on disk, of which one must fit; none where no marker tells it: a CSV file,
            or folders of one's own.
        train_on: For data that are for tests alone: what models are usually trained on.
    """

    summary: str
    module: str
    variants: tuple[Variant, ...] = ()
    train_on: str = ""


_HERE = "scing_cli.core.datasets."
_LISTS = ("list_train.txt", "list_query.txt", "list_gallery.txt")

LAYOUTS: Mapping[str, LayoutSpec] = MappingProxyType(
    {
        "market1501": LayoutSpec(
            "Market-1501, DukeMTMC-reID, Occluded-Duke: file names begin as 0001_c1 (identity, camera)",
            _HERE + "market",
            (Variant({"train": ("bounding_box_train",), "query": ("query",), "gallery": ("bounding_box_test",)}),),
        ),
        "occluded-market": LayoutSpec(
            "Occluded-Market: Market-1501's names in the folders that its authors' script makes",
            _HERE + "market",
            (Variant({"train": ("occluded_train",), "query": ("occluded_query",), "gallery": ("bounding_box_test",)}),),
        ),
        "p-dukemtmc": LayoutSpec(
            "P-DukeMTMC-reID: occluded and whole bodies, a folder per identity, no cameras",
            _HERE + "numbered",
            (
                Variant(
                    {
                        "train": ("train/whole_body_images", "train/occluded_body_images"),
                        "query": ("test/occluded_body_images",),
                        "gallery": ("test/whole_body_images",),
                    }
                ),
            ),
        ),
        "occluded-reid": LayoutSpec(
            "Occluded-REID: occluded queries, whole bodies as gallery, no cameras; for tests alone",
            _HERE + "numbered",
            (
                Variant({"query": ("occluded_body_images",), "gallery": ("whole_body_images",)}),
                Variant({"query": ("query",), "gallery": ("gallery",)}, absent=("train",), names="[0-9]+_[0-9]"),
            ),
            train_on="Market-1501",
        ),
        "msmt17": LayoutSpec(
            "MSMT17, V1 and V2: lists of images and identities beside their folders",
            _HERE + "lists",
            tuple(
                Variant({"train": (train,), "val": (train,), "query": (test,), "gallery": (test,)}, files=_LISTS)
                for train, test in (("train", "test"), ("mask_train_v2", "mask_test_v2"))
            ),
        ),
        "csv": LayoutSpec(
            "a CSV file with the column path, and identity, camera, split, caption where known", _HERE + "table"
        ),
        "split-folders": LayoutSpec(
            "your own: folders train, val, query, gallery, in each a folder per person", _HERE + "folders"
        ),
        "identity-folders": LayoutSpec(
            "your own: a folder per person, in it a folder per camera if you like; all for training",
            _HERE + "folders",
        ),
        "images": LayoutSpec("any folder of images, without labels", _HERE + "folders"),
    }
)
