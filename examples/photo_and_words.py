"""Measure searches by a photo, by words, and by both, on synthetic people whose captions stand in captions.csv.

Usage: python examples/photo_and_words.py DATA [--run RUN | --model scing-tiny] [--weights 0.25,0.5,0.75]

The words of a query are the caption of another image of its person by the same camera: what a witness there saw. The
protocol leaves that camera's images of the person out, so that no caption describes an image to be found.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import scing_cli as scing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="made by scing prepare --synthetic")
    parser.add_argument("--run")
    parser.add_argument("--model")
    parser.add_argument("--weights", default="0.25,0.5,0.75", help="weights of the words, from 0 to 1")
    given = parser.parse_args()
    machine = scing.Machine(precision="fp32")  # as in `scing evaluate`
    model = scing.load_model(given.run, model=given.model, machine=machine)
    manifest = scing.read_data(given.data).manifest
    query, gallery = manifest.part("query"), manifest.part("gallery")
    with (given.data / "captions.csv").open(encoding="utf-8", newline="") as file:
        captions = {row["path"]: row["caption"] for row in csv.DictReader(file)}
    seen = {(row.identity, row.camera): captions[row.path] for row in gallery if row.path in captions}
    told = [row for row in query if (row.identity, row.camera) in seen]
    print(f"{len(told)} of {len(query)} queries have a witness", file=sys.stderr)
    files = dict(zip(query.samples, query.files(), strict=True))
    photos = model.embed([files[row] for row in told])
    words = model.embed_texts([seen[row.identity, row.camera] for row in told])
    arrays = {
        "gallery": model.embed(gallery.files()),
        **{f"query_{name}": [getattr(row, name) for row in told] for name in ("identity", "camera")},
        **{f"gallery_{name}": [getattr(row, name) for row in gallery] for name in ("identity", "camera")},
    }
    print("| query | mAP | rank-1 |\n|---|---|---|")
    for weight in (0.0, *map(float, given.weights.split(",")), 1.0):
        joined = (1 - weight) * photos + weight * words
        scores = evaluate(arrays | {"query": joined / np.linalg.norm(joined, axis=1, keepdims=True)})
        name = {0.0: "photo", 1.0: "words"}.get(weight, f"both, --text-weight {weight:g}")
        print(f"| {name} | {scores['mAP']:.2f} | {scores['rank1']:.2f} |")


def evaluate(arrays: dict[str, object]) -> dict[str, float]:
    """Evaluate vectors as every figure of `scing evaluate` is."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embeddings.npz"
        np.savez(file, **{name: np.asarray(values) for name, values in arrays.items()})  # type: ignore[arg-type]
        command = [sys.executable, "-m", "scing_cli", "evaluate", "--embeddings", str(file), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
