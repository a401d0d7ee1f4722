"""The commands of `scing` on an index of many rows: search, evaluate, append, prune, compact, each a process of its own.

python tests/benchmarks/gallery_commands.py [--rows 10000000] [--width 64] [--kind flat] [--folder DIR]

Each row has a file of its own, which is empty; the index has drawn vectors and the stamp of a small CLIP with random
weights. `--append` adds 1,000 images, `--prune` comes after 1,000 files were deleted. The same commands run on an index
of 2,000 rows first. Seconds are those of the whole process; MB is the most that it had besides mapped files. One JSON
line each. Linux only.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from galleries import CAMERAS, CHANGED, PEOPLE, Drawn
from PIL import Image

from scing_cli.core.index import Entry, GalleryIndex, Row

TINY = Path(__file__).parents[1] / "models" / "test-clip.json"
FEW, IN_FOLDER, QUERIES = 2000, 50_000, 50


class Filed(Drawn):
    """The rows of the index, whose files are below a folder."""

    def __init__(self, folder: Path, rows: int, width: int) -> None:
        super().__init__(rows, width, folder / "vectors.npy")
        self.folder = folder

    def file(self, number: int) -> Path:
        return self.folder / f"hall-{number // IN_FOLDER}" / f"{number:012d}_crop.jpg"

    def write(self) -> None:
        """Write the files, and draw the vectors."""
        self.folder.mkdir()
        self.draw()
        for number in range(self.rows):
            if number % IN_FOLDER == 0:
                self.file(number).parent.mkdir(parents=True)
            os.close(os.open(self.file(number), os.O_CREAT))

    def find(self, ids: Any) -> dict[int, Any]:
        return {number: Row.of(number, self._entry(number)) for number in ids}

    def _entry(self, number: int) -> Entry:
        person, camera = f"{number % PEOPLE:06d}", str(number % CAMERAS)
        return Entry(str(self.file(number)), 0, 10**18, f"{number:064x}", person, camera)


class Ground:
    """What the commands need, in an empty folder: images, queries, a model and an index of many rows."""

    def __init__(self, folder: Path, rows: int, width: int, kind: str) -> None:
        self.folder, self.index = folder, folder / "gallery.faiss"
        self.environment = os.environ | {"SCING_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        (folder / "model.json").write_text(json.dumps(json.loads(TINY.read_text()) | {"embed_dim": width}))
        self.model = ("--model", folder / "model.json", "--pretrained", "random")
        self._draw(folder / "new", CHANGED)
        self._draw(folder / "queries", QUERIES)
        self._write_queries()
        self.scing("embed", "--images", "queries", *self.model, "--output", self.index)
        stamp = GalleryIndex.read(self.index).stamp
        self.drawn = Filed(folder / "files", rows, width)
        self.drawn.write()
        known = {"model_digest": stamp.model_digest, "model": stamp.model, "descriptor": stamp.descriptor}
        index = GalleryIndex.empty(width, kind=kind, **known)
        index.borrow(lambda: self.drawn, np.arange(rows))
        index.write(self.index)

    def scing(self, *arguments: object) -> dict[str, Any]:
        """Run a command to its end and return its seconds and memory."""
        began, most = time.perf_counter(), 0.0
        command = [sys.executable, "-m", "scing_cli", *map(str, arguments)]
        with tempfile.TemporaryFile() as told:
            process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=told, stderr=told)
            status = Path(f"/proc/{process.pid}/status")
            while process.poll() is None:
                kept = [row.split()[1] for row in status.read_text().splitlines() if row.startswith("RssAnon")]
                most = max(most, *(int(own) / 1024 for own in kept), 0.0)
                time.sleep(0.005)
            seconds = time.perf_counter() - began
            told.seek(0)
            if process.returncode:
                raise SystemExit(f"{command}: {process.returncode}\n{told.read().decode()}")
        return {"seconds": round(seconds, 2), "MB": round(most)}

    def measure(self) -> None:
        """Run every command once, and print a line for each."""
        rows, photo = self.drawn.rows, self.folder / "queries" / "000000_7.jpg"
        on = ("--index", self.index)
        commands: dict[str, tuple[object, ...]] = {
            "search": ("search", photo, *on),
            "search, one camera": ("search", photo, *on, "--camera", "3"),
            "search, one of 20,000 people": ("search", photo, *on, "--identity", f"{min(17, rows - 1):06d}"),
            "evaluate, 50 queries": ("evaluate", *on, "--data", "queries.csv", *self.model),
            "embed --append, 1,000 images": ("embed", "--append", "--images", "new", *self.model, "-o", self.index),
            "embed --append, nothing new": ("embed", "--append", "--images", "new", *self.model, "-o", self.index),
            "embed --prune, 1,000 files gone": ("embed", "--prune", "-o", self.index),
            "embed --compact": ("embed", "--compact", "-o", self.index),
            "search, after all": ("search", photo, *on),
        }
        for name, command in commands.items():
            if "gone" in name:
                for number in range(rows // 2, rows // 2 + CHANGED):
                    self.drawn.file(number).unlink()
            print(json.dumps({"rows": rows, "command": name, **self.scing(*command)}), flush=True)
        left = GalleryIndex.read(self.index)
        if len(left) != rows or len(left.stamp.segments):
            raise SystemExit(
                f"{len(left)} rows in {len(left.stamp.segments)} segments are left, expected: {rows} in 0."
            )

    def _draw(self, folder: Path, count: int) -> None:
        folder.mkdir()
        dice = np.random.default_rng(count)
        for number in range(count):
            pixels = dice.integers(0, 256, (16, 8, 3), np.uint8)
            Image.fromarray(pixels).resize((32, 64)).save(folder / f"{number:06d}_{CAMERAS - 1}.jpg")

    def _write_queries(self) -> None:
        with (self.folder / "queries.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "identity", "camera", "split"))
            for image in sorted((self.folder / "queries").iterdir()):
                writer.writerow((f"queries/{image.name}", image.stem[:6], "elsewhere", "query"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--kind", default="flat", choices=["flat", "ivf", "hnsw"])
    parser.add_argument("--folder", type=Path, help="where all files are written; by default a temporary folder")
    given = parser.parse_args()
    for rows in sorted({FEW, given.rows}):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            Ground(Path(folder), rows, given.width, given.kind).measure()


if __name__ == "__main__":
    main()
