"""The table of layouts: the folders and lists of each known data set, and the module that reads it.

This module is cheap to import, because help texts name the layouts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

Parts = Mapping[str, tuple[str, ...]]
"""Split -> its folders, relative to the root. The empty split is for rows without a split; `.` is the root itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class Variant:
    """One variant of a layout on disk.

    Args:
        parts: The folders of each split; all must exist.
        files: Files that must exist in the root.
        absent: Folders that must not exist in the root.
        names: A pattern for the beginning of most image names, for folders with generic names. These folders must have
            no subfolders.
        lists: Names of lists of images with captions, of which the root must have at least one. The folders need not
            exist: the reader says which images are missing. `ANY_LIST` is a list of any name; its folders must exist.
        spectra: Names of the folders of spectra, one of which must be in each of the folders, or in a folder inside.
            Then `names` is for the images in them.
        strips: Whether each image must be a strip of several ones side by side.
    """

    parts: Parts
    files: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    names: str = ""
    lists: tuple[str, ...] = ()
    spectra: tuple[str, ...] = ()
    strips: bool = False

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the marker folders, each once, in the order of the parts."""
        return tuple(dict.fromkeys(folder for folders in self.parts.values() for folder in folders))


@dataclasses.dataclass(frozen=True, slots=True)
class LayoutSpec:
    """One row of the table of layouts.

    Args:
        summary: A description for help texts and messages.
        module: The module with the reader, `read(path, parts) -> DataSet`; it is imported when needed.
        variants: The variants on disk, one of which must match. Empty if no marker identifies the layout: a CSV file,
            or the user's own folders.
        train_on: For test-only data: the data set that models are usually trained on.
        pattern: For layouts of flat folders: a pattern for the beginning of the image names.
        signature: A pattern for the beginning of image names that only this data set has. Such names without the
            markers are refused instead of being read as another layout.
        objects: What one identity is, for messages and prompts.
    """

    summary: str
    module: str
    variants: tuple[Variant, ...] = ()
    train_on: str = ""
    pattern: str = ""
    signature: str = ""
    objects: str = "person"


ANY_LIST = "*.json"
_HERE = "scing_cli.core.datasets."
_MARKET = "-?[0-9]+_c[0-9]"
_IMAGES = {"train": ("imgs",), "val": ("imgs",), "gallery": ("imgs",)}
_LISTS = ("list_train.txt", "list_query.txt", "list_gallery.txt")
_VEHICLE = "vehicle"
_VIS = ("vis", "ni", "th")

LAYOUTS: Mapping[str, LayoutSpec] = MappingProxyType(
    {
        "market1501": LayoutSpec(
            "Market-1501, DukeMTMC-reID, Occluded-Duke: file names begin as 0001_c1 (identity, camera)",
            _HERE + "market",
            (Variant({"train": ("bounding_box_train",), "query": ("query",), "gallery": ("bounding_box_test",)}),),
            pattern=_MARKET,
        ),
        "occluded-market": LayoutSpec(
            "Occluded-Market: Market-1501's names in the folders that its authors' script makes",
            _HERE + "market",
            (Variant({"train": ("occluded_train",), "query": ("occluded_query",), "gallery": ("bounding_box_test",)}),),
            pattern=_MARKET,
        ),
        "veri776": LayoutSpec(
            "VeRi-776 (vehicles): Market-1501's way of naming files, 0001_c001 (identity, camera)",
            _HERE + "market",
            (Variant({"train": ("image_train",), "query": ("image_query",), "gallery": ("image_test",)}),),
            pattern=_MARKET,
            objects=_VEHICLE,
        ),
        "rgbnt201": LayoutSpec(
            "RGBNT201: visible, near-infrared and thermal images in RGB, NI, TI; the test part is query and gallery",
            _HERE + "rgbnt201",
            (
                Variant(
                    {"train": ("train_171",), "query": ("test",), "gallery": ("test",)},
                    spectra=("RGB", "NI", "TI"),
                ),
            ),
        ),
        "rgbnt100": LayoutSpec(
            "RGBNT100 (vehicles): Market-1501's folders and names, three spectra side by side in each image",
            _HERE + "rgbnt100",
            (
                Variant(
                    {"train": ("bounding_box_train",), "query": ("query",), "gallery": ("bounding_box_test",)},
                    strips=True,
                ),
            ),
            objects=_VEHICLE,
        ),
        "msvr310": LayoutSpec(
            "MSVR310 (vehicles): a folder per identity, in it vis, ni, th; file names give the scene, 0002_s002",
            _HERE + "msvr310",
            tuple(
                Variant(
                    {"train": ("bounding_box_train",), "query": (query,), "gallery": ("bounding_box_test",)},
                    spectra=_VIS,
                )
                for query in ("query3", "query")
            ),
            objects=_VEHICLE,
        ),
        "wmveid863": LayoutSpec(
            "WMVEID863 (vehicles): a folder per identity, in it vis, ni, th, whose images are paired in sorted order",
            _HERE + "wmveid863",
            (
                Variant(
                    {"train": ("train",), "query": ("query",), "gallery": ("test",)},
                    spectra=_VIS,
                    names="(?=.*v[0-9])(?=.*n[0-9])",
                ),
            ),
            objects=_VEHICLE,
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
            "Occluded-REID: occluded queries, whole bodies as gallery, no cameras; test only",
            _HERE + "numbered",
            (
                Variant({"query": ("occluded_body_images",), "gallery": ("whole_body_images",)}),
                Variant({"query": ("query",), "gallery": ("gallery",)}, absent=("train",), names=r"[0-9]+_[0-9]+\."),
            ),
            train_on="Market-1501",
        ),
        "msmt17": LayoutSpec(
            "MSMT17, V1 and V2: lists of images and identities next to their folders",
            _HERE + "lists",
            tuple(
                Variant({"train": (train,), "val": (train,), "query": (test,), "gallery": (test,)}, files=_LISTS)
                for train, test in (("train", "test"), ("mask_train_v2", "mask_test_v2"))
            ),
            signature="[0-9]{4}_[0-9]{3}_[0-9]{2}_[0-9]{4}(morning|noon|afternoon)",
        ),
        "cuhk-pedes": LayoutSpec(
            "CUHK-PEDES: images with captions, listed in reid_raw.json next to the folder imgs",
            _HERE + "cuhk_pedes",
            (Variant(_IMAGES, lists=("reid_raw.json", "caption_all.json")),),
        ),
        "icfg-pedes": LayoutSpec(
            "ICFG-PEDES: images with captions, listed in ICFG-PEDES.json next to the folder imgs",
            _HERE + "icfg_pedes",
            (Variant(_IMAGES, lists=("ICFG-PEDES.json", "ICFG_PEDES.json")),),
        ),
        "rstpreid": LayoutSpec(
            "RSTPReid: images with captions, listed in data_captions.json next to the folder imgs",
            _HERE + "rstpreid",
            (Variant(_IMAGES, lists=("data_captions.json",)),),
        ),
        "ufine6926": LayoutSpec(
            "UFine6926, UFine3C: images with captions, listed in one JSON of any name next to the folder images",
            _HERE + "ufine6926",
            (Variant(dict.fromkeys(("train", "val", "gallery"), ("images",)), lists=(ANY_LIST,)),),
        ),
        "csv": LayoutSpec(
            "a CSV file with the column path; optional: identity, camera, split, caption", _HERE + "table"
        ),
        "split-folders": LayoutSpec(
            "your own: folders train, val, query, gallery, each with one folder per person", _HERE + "folders"
        ),
        "split-files": LayoutSpec(
            "your own: folders train, val, query, gallery of files whose names begin as 0001_c1 (identity, camera)",
            _HERE + "split_files",
            pattern=_MARKET,
        ),
        "identity-folders": LayoutSpec(
            "your own: one folder per person, optionally with one folder per camera inside; all for training",
            _HERE + "folders",
        ),
        "camera-folders": LayoutSpec(
            "your own: one folder per camera, in it one folder per person; the same name is the same person",
            _HERE + "camera_folders",
        ),
        "spectrum-folders": LayoutSpec(
            "your own: a folder per spectrum (rgb, nir, tir), by split or not; images of one name are one observation",
            _HERE + "spectrum_folders",
        ),
        "images": LayoutSpec("any folder of images, without labels", _HERE + "folders"),
    }
)
