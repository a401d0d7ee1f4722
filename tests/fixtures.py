"""Small data sets in every layout, with the irregularities that each has on real disks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import spectral
from captioned import CAPTIONED, CAPTIONED_PARTS, ENTRIES, write_list
from PIL import Image

Counts = tuple[int, int, int]  # identities, images, cameras
TRAIN, TEST = (1, 2, 3), (11, 12)


@dataclasses.dataclass(frozen=True)
class Fixture:
    """One data set on disk, and what reading it must give.

    Args:
        layout: Its row in the table of layouts.
        write: Writes it into a folder and returns what `--data` names.
        parts: Identities, images and cameras per split.
        protocol: What `auto` chooses.
        junk: Files the data set marks as junk.
        dropped: Files left out with a reason.
        train_on: What its refusal of training names, where it is for tests alone.
        twice: Rows of images that another row has too, in another split.
    """

    layout: str
    write: Callable[[Path], Path]
    parts: Mapping[str, Counts]
    protocol: str = "market"
    junk: int = 0
    dropped: int = 0
    train_on: str = ""
    twice: int = 0


def figure(identity: int, shade: int) -> Image.Image:
    """Return a drawn figure: two bands of colour that belong to the person, on a ground of the camera's."""
    draw = np.random.default_rng(identity)
    pixels = np.full((64, 32, 3), 70 + 12 * shade, np.uint8)
    pixels[10:35, 8:24] = draw.integers(0, 255, 3)
    pixels[35:60, 10:22] = draw.integers(0, 255, 3)
    return Image.fromarray(pixels)


def put(file: Path, identity: int, shade: int) -> None:
    """Write a figure in the format of the file's ending."""
    file.parent.mkdir(parents=True, exist_ok=True)
    kind = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP", "bmp": "BMP"}
    figure(identity, shade).save(file, format=kind[file.suffix[1:].lower()])


def market(folder: Path, names: tuple[str, str, str], name: str = "{:04}_c{}s1_{:06}_00.jpg") -> Path:
    """Write three flat folders with junk, a distractor, a foreign name, an index of Windows and a hidden file."""
    train, query, gallery = (folder / each for each in names)
    for identity in TRAIN:
        for camera in (1, 2, 3):
            put(train / name.format(identity, camera, camera), identity, camera)
    for identity in TEST:
        for camera in (1, 2):
            put(query / name.format(identity, camera, 1), identity, camera)
            put(gallery / name.format(identity, camera, 2), identity, camera + 5)
    put(gallery / name.format(0, 3, 1), 0, 3)
    put(gallery / "-1_c1s1_000001_00.jpg", 99, 1)
    put(gallery / "cover.jpg", 98, 1)
    (gallery / "Thumbs.db").write_bytes(b"\0")
    (query / ".DS_Store").write_bytes(b"\0")
    (folder / "readme.txt").write_text("a licence")
    return folder


def occluded_reid(folder: Path) -> Path:
    """Write Occluded-REID as it is unpacked: a folder per identity, TIFF."""
    for identity in TEST:
        for number in (1, 2):
            put(folder / "occluded_body_images" / f"{identity:03}" / f"{identity:03}_{number:02}.tif", identity, 1)
            put(folder / "whole_body_images" / f"{identity:03}" / f"{identity:03}_{number:02}.tif", identity, 2)
    return folder


def occluded_reid_flat(folder: Path) -> Path:
    """Write Occluded-REID in flat folders, one folder deeper than named."""
    for identity in TEST:
        put(folder / "OccludedREID" / "query" / f"{identity:03}_01.jpg", identity, 1)
        put(folder / "OccludedREID" / "gallery" / f"{identity:03}_02.JPG", identity, 2)
    return folder


def p_dukemtmc(folder: Path) -> Path:
    """Write P-DukeMTMC-reID: the second field of a name is no camera."""
    for part, people in (("train", TRAIN), ("test", TEST)):
        for kind, field in (("whole", 2), ("occluded", 3)):
            for identity in people:
                for number in (1, 2):
                    name = f"{identity:04}_{field}_f{number:07}.jpg"
                    put(folder / part / f"{kind}_body_images" / f"{identity:04}" / name, identity, field)
    return folder


def msmt17(folder: Path, train: str, test: str) -> Path:
    """Write MSMT17: training and test both count their identities from 0."""
    lists: dict[str, list[str]] = {"train": [], "val": [], "query": [], "gallery": []}

    def add(split: str, identity: int, camera: int, number: int) -> None:
        path = f"{identity:04}/{identity:04}_{number:03}_{camera:02}_0303morning_{number:04}_0.jpg"
        put(folder / (train if split in {"train", "val"} else test) / path, identity + 50 * (split in lists), camera)
        lists[split].append(f"{path} {identity}")

    for identity in (0, 1, 2):
        for camera in (1, 2, 3):
            add("train", identity, camera, camera)
        add("val", identity, 4, 9)
    for identity in (0, 1):
        for camera in (1, 15):
            add("query", identity, camera, 1)
            add("gallery", identity, camera, 2)
    for split, lines in lists.items():
        (folder / f"list_{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def own_table(folder: Path) -> Path:
    """Write a CSV as a spreadsheet leaves it: semicolons, Windows line ends, a byte order mark, names as words."""
    lines = ["path;identity;camera;split;weather"]
    for identity, name in ((1, "Ännä"), (2, "ben; jr."), (3, "0003")):
        for shade, camera in enumerate(("door", "the yard")):
            put(folder / "crops" / f"{name} {camera}.png", identity, shade)
            quoted = f'"{name}"' if ";" in name else name
            path = f'"crops/{name} {camera}.png"'
            lines += [f'{path};{quoted};{camera};train;"rain\nand wind"']
    for identity in TEST:
        for shade, (camera, split) in enumerate((("door", "query"), ("the yard", "gallery"))):
            put(folder / "crops" / f"{identity}_{split}.webp", identity, shade)
            lines.append(f"crops/{identity}_{split}.webp;person {identity};{camera};{split};")
    lines.append(lines[-1])
    (folder / "mine.csv").write_text("\ufeff" + "\r\n".join(lines) + "\r\n", newline="")
    return folder / "mine.csv"


def split_folders(folder: Path) -> Path:
    """Write folders train, query and gallery with a folder per person and one per camera in it."""
    for split, people in (("train", TRAIN), ("query", TEST), ("gallery", TEST)):
        for identity in people:
            for shade, camera in enumerate(("door", "yard")):
                put(folder / split / f"person {identity}" / camera / f"{split}.bmp", identity, shade)
    return folder


def identity_folders(folder: Path) -> Path:
    """Write a folder per person."""
    for identity in TRAIN:
        for number in (1, 2):
            put(folder / f"person {identity}" / f"{number}.JPEG", identity, number)
    (folder / "person 1" / "notes.txt").write_text("seen on Monday")
    return folder


def split_files(folder: Path) -> Path:
    """Write folders train, query and test of files named as in Market-1501, two folders deeper than named."""
    for split, people in (("train", TRAIN), ("query", TEST), ("test", TEST)):
        for identity in people:
            for camera in (1, 2):
                put(folder / "own" / "crops" / split / f"{identity:04}_c{camera}_{split}.png", identity, camera)
    return folder


def camera_folders(folder: Path) -> Path:
    """Write a folder per camera, in it a folder per person."""
    for camera in (1, 2):
        for identity in TRAIN:
            put(folder / f"cam{camera}" / f"{identity:04}" / "0001.jpg", identity, camera)
    return folder


def images(folder: Path) -> Path:
    """Write images without labels, some of them deeper."""
    for identity in TRAIN:
        put(folder / f"{identity}.jpg", identity, 1)
        put(folder / "more" / f"{identity}.png", identity, 2)
    return folder


def occluded_market(folder: Path) -> Path:
    """Write Occluded-Market: Market's gallery, in which people of the training stand whom no query shows."""
    market(folder, ("occluded_train", "occluded_query", "bounding_box_test"))
    put(folder / "bounding_box_test" / "0001_c4s1_000009_00.jpg", 1, 4)
    return folder


def captioned(folder: Path, name: str) -> Path:
    """Write a data set with captions: its list, and the images that it names."""
    _, inside, field = CAPTIONED[name]
    for shade, entry in enumerate(ENTRIES[name]()):
        put(folder / inside / entry[field], entry["id"], shade % 12)
    return write_list(folder, name, ENTRIES[name]())


MARKET = {"train": (3, 9, 3), "query": (2, 4, 2), "gallery": (3, 5, 3)}
MSMT = {"train": (3, 9, 3), "val": (3, 3, 1), "query": (2, 4, 2), "gallery": (2, 4, 2)}
FIXTURES: Mapping[str, Fixture] = {
    "Market-1501": Fixture(
        "market1501",
        lambda folder: market(folder, ("bounding_box_train", "query", "bounding_box_test")),
        MARKET,
        junk=1,
        dropped=1,
    ),
    "DukeMTMC-reID": Fixture(
        "market1501",
        lambda folder: market(
            folder, ("bounding_box_train", "query", "bounding_box_test"), name="{:04}_c{}_f{:07}.jpg"
        ),
        MARKET,
        junk=1,
        dropped=1,
    ),
    "Occluded-Duke": Fixture(
        "market1501",
        lambda folder: (
            market(
                folder / "Occluded-DukeMTMC-reID",
                ("bounding_box_train", "query", "bounding_box_test"),
                "{:04}_c{}_f{:07}.jpg",
            ).parent
        ),
        MARKET,
        junk=1,
        dropped=1,
    ),
    "Occluded-Market": Fixture(
        "occluded-market",
        occluded_market,
        {**MARKET, "gallery": (4, 6, 4)},
        junk=1,
        dropped=1,
    ),
    "Occluded-REID": Fixture(
        "occluded-reid",
        occluded_reid,
        {"train": (0, 0, 0), "query": (2, 4, 0), "gallery": (2, 4, 0)},
        protocol="no-camera",
        train_on="Market-1501",
    ),
    "Occluded-REID, flat": Fixture(
        "occluded-reid",
        occluded_reid_flat,
        {"train": (0, 0, 0), "query": (2, 2, 0), "gallery": (2, 2, 0)},
        protocol="no-camera",
        train_on="Market-1501",
    ),
    "P-DukeMTMC-reID": Fixture(
        "p-dukemtmc",
        p_dukemtmc,
        {"train": (3, 12, 0), "query": (2, 4, 0), "gallery": (2, 4, 0)},
        protocol="no-camera",
    ),
    "MSMT17 V1": Fixture("msmt17", lambda folder: msmt17(folder, "train", "test"), MSMT),
    "MSMT17 V2": Fixture("msmt17", lambda folder: msmt17(folder, "mask_train_v2", "mask_test_v2"), MSMT),
    "a CSV": Fixture("csv", own_table, {"train": (3, 6, 2), "query": (2, 2, 1), "gallery": (2, 2, 1)}),
    "folders by split": Fixture(
        "split-folders", split_folders, {"train": (3, 6, 2), "query": (2, 4, 2), "gallery": (2, 4, 2)}
    ),
    "folders of people": Fixture(
        "identity-folders", identity_folders, {"train": (3, 6, 0), "query": (0, 0, 0), "gallery": (0, 0, 0)}
    ),
    "VeRi-776": Fixture(
        "veri776",
        lambda folder: market(folder, ("image_train", "image_query", "image_test"), name="{:04}_c{:03}_{:08}_0.jpg"),
        MARKET,
        junk=1,
        dropped=1,
    ),
    "RGBNT201": Fixture(
        "rgbnt201", spectral.rgbnt201, {"train": (3, 6, 2), "query": (2, 4, 2), "gallery": (2, 4, 2)}, twice=4
    ),
    "RGBNT100": Fixture("rgbnt100", spectral.rgbnt100, {"train": (3, 6, 2), "query": (2, 4, 2), "gallery": (2, 4, 2)}),
    "MSVR310": Fixture(
        "msvr310",
        spectral.msvr310,
        {"train": (3, 6, 0), "query": (2, 4, 0), "gallery": (3, 5, 0)},
        protocol="scene",
    ),
    "WMVEID863": Fixture(
        "wmveid863",
        spectral.wmveid863,
        {"train": (3, 6, 0), "query": (2, 4, 0), "gallery": (2, 4, 0)},
        protocol="no-camera",
    ),
    "folders of spectra": Fixture(
        "spectrum-folders",
        spectral.spectrum_folders,
        {"train": (3, 6, 2), "query": (2, 4, 2), "gallery": (2, 4, 2)},
    ),
    "files by split": Fixture(
        "split-files", split_files, {"train": (3, 6, 2), "query": (2, 4, 2), "gallery": (2, 4, 2)}
    ),
    "folders of cameras": Fixture(
        "camera-folders", camera_folders, {"train": (3, 6, 2), "query": (0, 0, 0), "gallery": (0, 0, 0)}
    ),
    **{
        name: Fixture(
            name.lower(),
            functools.partial(captioned, name=name),
            parts,
            protocol="market" if parts["train"][2] else "no-camera",
        )
        for name, parts in CAPTIONED_PARTS.items()
    },
    "images": Fixture("images", images, {"train": (0, 0, 0), "query": (0, 0, 0), "gallery": (0, 0, 0)}),
}
