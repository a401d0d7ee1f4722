"""Small data sets of several spectra, with the names that the real ones have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (32, 16)  # width and height of an image of a vehicle
TRAIN, TEST = (1, 2, 3), (11, 12)


def view(identity: int, spectrum: int, shade: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return an image of one spectrum: the visible one in colour, the others grey, each with a pattern of its own."""
    draw = np.random.default_rng([identity, spectrum])
    blocks = draw.integers(30, 226, (4, 4, 3)) if spectrum == 0 else np.repeat(draw.integers(30, 226, (4, 4, 1)), 3, 2)
    blocks = np.clip(blocks + 6 * shade - 15, 0, 255).astype(np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def put_view(file: Path, identity: int, spectrum: int, shade: int, size: tuple[int, int] = SIZE) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    view(identity, spectrum, shade, size).save(file, quality=95)


def put_views(files: Sequence[Path], identity: int, shade: int, size: tuple[int, int] = SIZE) -> None:
    """Write the visible, the near-infrared and the thermal image of one observation."""
    for spectrum, file in enumerate(files):
        put_view(file, identity, spectrum, shade, size)


def rgbnt201(folder: Path) -> Path:
    """Write RGBNT201: 6 digits of the identity, the camera, a field 0 or 1, a number; one name in three folders."""
    for part, people in (("train_171", TRAIN), ("test", TEST)):
        for identity in people:
            for camera in (1, 2):
                name = f"{identity:06}_cam{camera}_{int(part == 'train_171' and camera == 2)}_{camera:02}.jpg"
                files = [folder / part / spectrum / name for spectrum in ("RGB", "NI", "TI")]
                put_views(files, identity, camera, (16, 32))
    return folder


def strip(identity: int, shade: int) -> Image.Image:
    """Return three images side by side: visible, near-infrared, thermal."""
    whole = Image.new("RGB", (3 * SIZE[0], SIZE[1]))
    for spectrum in range(3):
        whole.paste(view(identity, spectrum, shade), (spectrum * SIZE[0], 0))
    return whole


def rgbnt100(folder: Path) -> Path:
    """Write RGBNT100: Market-1501's folders in rgbir, 4 digits of the identity, c0001 to c0008."""
    for part, people, numbers in (
        ("bounding_box_train", TRAIN, (0,)),
        ("query", TEST, (0,)),
        ("bounding_box_test", TEST, (5,)),
    ):
        for identity in people:
            for camera in (1, 2):
                for number in numbers:
                    file = folder / "rgbir" / part / f"{500 + identity:04}_c{camera:04}_{number:03}.jpg"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    strip(identity, camera + number).save(file, quality=95)
    return folder


def msvr310(folder: Path, query: str = "query3") -> Path:
    """Write MSVR310: queries are copies of the gallery's images of identities with several scenes; one has only one."""
    rows = [("bounding_box_train", identity, scene, 1) for identity in TRAIN for scene in (1, 7)]
    rows += [
        (part, identity, scene, 3) for part in (query, "bounding_box_test") for identity in TEST for scene in (2, 9)
    ]
    rows.append(("bounding_box_test", 13, 2, 0))
    for part, identity, scene, direction in rows:
        name = f"{identity:04}_s{scene:03}_v{direction}_000.jpg"
        put_views([folder / part / f"{identity:04}" / each / name for each in ("vis", "ni", "th")], identity, scene)
    return folder


def wmveid863(folder: Path) -> Path:
    """Write WMVEID863: names that differ between the spectra, with the direction after v and the night after n."""
    for part, people in (("train", TRAIN), ("query", TEST), ("test", TEST)):
        for identity in people:
            for number in (0, 1):
                files = [
                    folder
                    / part
                    / f"{identity:04}"
                    / spectrum
                    / f"{identity:04}_v{number}_n1_{number + 3 * place:05}.jpg"
                    for place, spectrum in enumerate(("vis", "ni", "th"))
                ]
                put_views(files, identity, number + (part == "test"))
    return folder


def spectrum_folders(folder: Path) -> Path:
    """Write the user's own folders: splits, in them spectra, in them people, in them cameras."""
    for part, people in (("train", TRAIN), ("query", TEST), ("gallery", TEST)):
        for identity in people:
            for shade, camera in enumerate(("door", "yard")):
                place = f"person {identity}/{camera}/{part}.png"
                files = [folder / part / spectrum / place for spectrum in ("rgb", "near infrared", "thermal")]
                put_views(files, identity, shade)
    return folder
