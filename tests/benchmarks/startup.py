"""Time of a new process for help, for a usage error, and for the search of one photo.

python tests/benchmarks/startup.py [--quick] [--repeats 7] [--rows 16000]

The usual way is a script that imports torch and open_clip at its top, parses its arguments, loads the model's weights from
disk, encodes the photo, reads a FAISS index and prints the nearest rows. Both sides search the same number of rows with
a ViT-B/16 of random weights; ours has its inference copy from `scing embed`. One JSON line each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import measuring
import numpy as np
from PIL import Image

USUAL = """
import argparse
import json
import sys

import faiss
import numpy as np
import open_clip
import torch
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("photo")
parser.add_argument("--model", required=True)
parser.add_argument("--config", default="")
parser.add_argument("--weights", required=True)
parser.add_argument("--size", type=int, nargs=2, required=True)
parser.add_argument("--index", required=True)
given = parser.parse_args()
if given.config:
    open_clip.add_model_config(given.config)
model, _, preprocess = open_clip.create_model_and_transforms(
    given.model, pretrained=given.weights, force_image_size=tuple(given.size)
)
model.eval()
with torch.no_grad():
    feature = model.encode_image(preprocess(Image.open(given.photo).convert("RGB"))[None])
    feature = torch.nn.functional.normalize(feature).numpy()
scores, rows = faiss.read_index(given.index).search(feature, 10)
for score, row in zip(scores[0], rows[0]):
    print(row, score)
"""
CROPS = 32


class Ground:
    """What both sides need, in a folder: crops, weights, indexes, the usual script, an inference copy.

    Args:
        folder: An empty one.
        model: A name open_clip knows.
        config: Its JSON file, for a model that open_clip does not know.
        size: Height and width.
        rows: Of the index.
    """

    def __init__(self, folder: Path, *, model: str, config: Path | None, size: tuple[int, int], rows: int) -> None:
        self.folder = folder
        self.model = model
        self.config = config
        self.size = size
        self.rows = rows
        self.environment = os.environ | {"SCING_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
        self.usual_script = folder / "usual.py"
        self.usual_script.write_text(USUAL)
        (folder / "crops").mkdir()
        dice = np.random.default_rng(0)
        for number in range(CROPS):
            image = Image.fromarray(dice.integers(0, 256, (16, 8, 3), np.uint8)).resize((64, 128))
            image.save(folder / "crops" / f"{number:02}.jpg", quality=90)
        self._write_weights()
        self._write_indexes()

    @property
    def photo(self) -> Path:
        return self.folder / "crops" / "00.jpg"

    def run(self, *command: object, code: int = 0) -> None:
        done = subprocess.run(
            [*map(str, command)], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        if done.returncode != code:
            raise SystemExit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stderr}")

    def scing(self, *arguments: object, code: int = 0) -> None:
        self.run(sys.executable, "-m", "scing_cli", *arguments, code=code)

    def usual(self, *arguments: object) -> None:
        self.run(sys.executable, self.usual_script, *arguments)

    def search_usually(self) -> None:
        config = ("--config", self.config) if self.config else ()
        named = ("--model", self.model, *config, "--weights", "weights.pt", "--size", *self.size)
        self.usual(self.photo, *named, "--index", "usual.faiss")

    def search_ours(self) -> None:
        self.scing("search", self.photo, "--index", "gallery.faiss")

    def search_words(self) -> None:
        self.scing("search", "--text", "a woman in a red coat", "--index", "gallery.faiss")

    def _write_weights(self) -> None:
        import open_clip
        import torch

        if self.config:
            open_clip.add_model_config(self.config)
        torch.manual_seed(0)
        torch.save(open_clip.create_model(self.model).state_dict(), self.folder / "weights.pt")

    def _write_indexes(self) -> None:
        """Embed the crops, which makes the copy; then write as many rows as wanted, of drawn vectors and those crops."""
        import faiss

        from scing_cli.core.index import Entry, GalleryIndex

        named = ("--model", self.config or self.model, "--pretrained", self.folder / "weights.pt")
        self.scing("embed", "--images", "crops", *named, "--output", "small.faiss")
        stamp = GalleryIndex.read(self.folder / "small.faiss").stamp
        vectors = np.random.default_rng(1).standard_normal((self.rows, stamp.width)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        files = sorted((self.folder / "crops").iterdir())
        entries = [
            Entry(str(files[row % CROPS]), 1, 1, f"{row:064x}", f"{row % 1501:04}", str(row % 6))
            for row in range(self.rows)
        ]
        made = {"model_digest": stamp.model_digest, "model": stamp.model, "descriptor": stamp.descriptor}
        GalleryIndex.create(vectors, entries, **made, kind="flat").write(self.folder / "gallery.faiss")
        plain = faiss.IndexFlatIP(stamp.width)
        plain.add(vectors)
        faiss.write_index(plain, str(self.folder / "usual.faiss"))


def arguments() -> argparse.Namespace:
    parser = measuring.options(__doc__, repeats=7)
    parser.add_argument("--rows", type=int, help="of the index (16,000; 200 with --quick)")
    given = measuring.settle(parser.parse_args())
    given.rows = given.rows or (200 if given.quick else 16_000)
    return given


def main(given: argparse.Namespace) -> None:
    config = Path(__file__).parents[1] / "models" / "test-clip.json" if given.quick else None
    model, size = ("test-clip", (32, 16)) if given.quick else ("ViT-B-16-quickgelu", (256, 128))
    with tempfile.TemporaryDirectory(prefix="scing-startup-") as place:
        ground = Ground(Path(place), model=model, config=config, size=size, rows=given.rows)
        timed: Sequence[tuple[str, object, object]] = (
            ("help", lambda: ground.usual("--help"), lambda: ground.scing("--help")),
            (
                "help of a stage with all its settings",
                lambda: ground.usual("--help"),
                lambda: ground.scing("train-prompts", "--help"),
            ),
            (
                "usage error",
                lambda: ground.run(sys.executable, ground.usual_script, "--wrong", code=2),
                lambda: ground.scing("search", "--wrong", code=2),
            ),
            (f"search of a photo in {given.rows:,} rows, {model}", ground.search_usually, ground.search_ours),
            ("search of a photo (baseline) and of words, both ours", ground.search_ours, ground.search_words),
        )
        ground.search_words()  # the first one makes the OpenVINO model of the text tower
        for name, usual, ours in timed:
            measuring.line(
                f"cold process: {name}", *measuring.in_turns(usual, ours, given.repeats, warm=not given.quick)
            )


if __name__ == "__main__":
    main(arguments())
