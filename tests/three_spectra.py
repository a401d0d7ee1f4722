"""Data of three spectra, made of drawn visible images."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from scing_cli.core.datasets import read_data


def write_spectra(world: Path, folder: Path, *, lacking: Sequence[str] = ()) -> Path:
    """Write a CSV of three spectra beside their images: green as near infra-red, the negative of blue as thermal.

    Args:
        world: Visible images.
        folder: To write into.
        lacking: Of every fifth row, the spectra that are missing.
    """
    shutil.copytree(world, folder)
    rows = [["path", "identity", "camera", "split", "near_infrared", "thermal", "caption"]]
    for number, row in enumerate(read_data(folder).manifest):
        image = Image.open(folder / row.path).convert("RGB")
        _, green, blue = image.split()
        further = {"nir": green, "tir": ImageOps.invert(blue)}
        names = {"rgb": row.path}
        for name, grey in further.items():
            names[name] = f"{name}/{Path(row.path).stem}.png"
            (folder / name).mkdir(exist_ok=True)
            grey.save(folder / names[name])
        if number % 5 == 1:
            names.update(dict.fromkeys(lacking, ""))
        rows.append([names["rgb"], row.identity, row.camera, row.split, names["nir"], names["tir"], "A person."])
    with (folder / "spectra.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "spectra.csv"
