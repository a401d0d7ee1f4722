"""A small data set of observations in three spectra, and a run whose model reads them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from PIL import Image, ImageOps

from scing_cli.core.spectra import SPECTRA

FOLDERS = ("rgb", "nir", "tir")
COLUMNS = ("path", "identity", "camera", "split", "near_infrared", "thermal", "scene")


def split_image(image: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Return an image as three: its colours, a grey one, and the inverse of its blue channel."""
    red, _, blue = image.convert("RGB").split()
    grey, warm = ImageOps.autocontrast(red).convert("RGB"), ImageOps.invert(blue).convert("RGB")
    return image.convert("RGB"), grey, warm


def write_observations(folder: Path, world: Path, *, people: int = 4) -> Path:
    """Write the test part of a drawn world in three spectra, each in a folder of its own, and return the CSV."""
    rows = []
    for split, part in (("query", "query"), ("gallery", "bounding_box_test")):
        files = sorted((world / part).glob("0*.jpg"))
        names = sorted({file.name[:4] for file in (world / "query").glob("0*.jpg")})[:people]
        for file in files:
            identity, camera = file.name[:4], file.name[6]
            if identity not in names:
                continue
            with Image.open(file) as image:
                images = split_image(image)
            name = f"{split}-{file.stem}.png"
            for own, sub in zip(images, FOLDERS, strict=True):
                (folder / sub).mkdir(parents=True, exist_ok=True)
                own.save(folder / sub / name)
            others = (f"{sub}/{name}" for sub in FOLDERS[1:])
            rows.append((f"rgb/{name}", identity, camera, split, *others, f"s{int(camera) % 2}"))
    table = folder / "observations.csv"
    write_table(table, rows)
    return table


def write_table(table: Path, rows: list[tuple[str, ...]]) -> None:
    """Write rows of `COLUMNS`."""
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def read_table(table: Path) -> list[tuple[str, ...]]:
    """Read the rows of `write_table`."""
    with table.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def spectral_run(
    finished: Path, target: Path, *, spectra: tuple[str, ...] = tuple(SPECTRA), missing: str = "mean"
) -> Path:
    """Copy a finished run, whose tower then reads each of several spectra."""
    from scing_cli.core.encoders.encoder_file import load_image_encoder, save_encoders
    from scing_cli.core.encoders.spectral import SpectralEncoder

    run = Path(
        shutil.copytree(finished, target, ignore=shutil.ignore_patterns("report.json", "embeddings", "inference"))
    )
    encoder, stamp = load_image_encoder(run / "visual")
    save_encoders(run / "visual", SpectralEncoder(encoder, spectra, missing=missing), stamp)
    return run
