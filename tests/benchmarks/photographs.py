"""Measure how well a model tells real pedestrians apart, on a video that everybody may have.

    python tests/benchmarks/photographs.py vtest.avi [--model scing-small] [--weights FILE] [--sheet sheet.png]

`vtest.avi` (768 x 576 pixels, 795 frames of one street, one fixed camera) lies in Debian's package opencv-doc, whose
files are under the Apache and BSD licences: `apt-get download opencv-doc && dpkg-deb -x opencv-doc_*.deb doc` puts it
into doc/usr/share/doc/opencv-doc/examples/data. Reading it needs `pip install opencv-python-headless`. It is for
measuring only, never for training.

People are what differs from the median of all frames; boxes are linked over frames by their overlap. Printed is the
AUC: how often two boxes of one track, at least 20 frames apart, are more similar than two boxes of one frame; 0.5 is
chance. Few people make many pairs, so its 95 % interval is that of drawing whole tracks anew. One camera and one light
flatter colour, so a colour histogram is measured beside the model. Read the figure together with those of synthetic
worlds with several cameras.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from scing_cli.core.batches.pixels import normalise
from scing_cli.core.encoders.clip import load_clip

Frames = Sequence[npt.NDArray[np.uint8]]
Vectors = npt.NDArray[np.float32]
APART = 20  # frames between two boxes of a positive pair
DIFFERS = 28  # from the background, of 255, in any channel
HEIGHTS, ASPECTS = (60, 300), (1.7, 4.2)  # of a person's box in pixels; height divided by width
OVERLAP = 0.35  # least intersection over union of a track's boxes in one of the next two frames
LEAST_TRACK = 8  # boxes; shorter tracks are noise
MOST_PAIRS = 200_000
DRAWS = 500  # of all tracks, for the interval


@dataclasses.dataclass(frozen=True)
class Box:
    """A person's box in a frame, in pixels."""

    frame: int
    left: int
    top: int
    right: int
    bottom: int

    def overlap(self, other: Box) -> float:
        """Return intersection over union."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        shared = max(0, wide) * max(0, high)
        return shared / (self.area + other.area - shared)

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)


def read_frames(video: Path) -> list[npt.NDArray[np.uint8]]:
    """Return all frames, (H, W, 3) uint8 RGB each."""
    import cv2

    source = cv2.VideoCapture(str(video))
    frames = []
    while True:
        found, frame = source.read()
        if not found:
            break
        frames.append(np.ascontiguousarray(frame[..., ::-1]))
    if not frames:
        raise SystemExit(f"{video} has no frame that can be read.")
    return frames


def people(frames: Frames) -> Iterator[Box]:
    """Yield the boxes of all people that stand free of each other and of the picture's edge."""
    import cv2

    background = np.median(np.stack(frames[:: max(1, len(frames) // 60)]), axis=0).astype(np.int16)
    height, width = background.shape[:2]
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 9))
    for number, frame in enumerate(frames):
        moving = (np.abs(frame.astype(np.int16) - background).max(axis=2) > DIFFERS).astype(np.uint8)
        whole = cv2.morphologyEx(cv2.medianBlur(moving, 5), cv2.MORPH_CLOSE, near)
        count, _, stats, _ = cv2.connectedComponentsWithStats(whole)
        for left, top, wide, high, area in stats[1:count].tolist():
            inside = left > 2 and top > 2 and left + wide < width - 2 and top + high < height - 2
            sized = HEIGHTS[0] <= high <= HEIGHTS[1] and ASPECTS[0] <= high / wide <= ASPECTS[1]
            if inside and sized and area > 0.35 * wide * high:
                yield Box(number, left, top, left + wide, top + high)


def tracks(boxes: Sequence[Box]) -> list[list[Box]]:
    """Link each box to that of one of the two frames before that it overlaps most; return chains of `LEAST_TRACK` or more."""
    found: list[list[Box]] = []
    for frame in sorted({box.frame for box in boxes}):
        now = [box for box in boxes if box.frame == frame]
        open_tracks = [track for track in found if 0 < frame - track[-1].frame <= 2]
        pairs = [
            (box.overlap(track[-1]), row, number)
            for row, box in enumerate(now)
            for number, track in enumerate(open_tracks)
        ]
        taken: set[int] = set()
        linked: set[int] = set()
        for share, row, number in sorted(pairs, reverse=True):
            if share >= OVERLAP and row not in linked and number not in taken:
                open_tracks[number].append(now[row])
                linked.add(row)
                taken.add(number)
        found.extend([box] for row, box in enumerate(now) if row not in linked)
    return [track for track in found if len(track) >= LEAST_TRACK]


def pairs_of(owners: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]) -> tuple[Any, Any]:
    """Return the rows of same-track pairs at least `APART` frames apart, and of pairs in one frame: (n, 2) each."""
    first, second = np.triu_indices(len(owners), 1)
    same = owners[first] == owners[second]
    apart = np.abs(frames[first] - frames[second])
    rng = np.random.default_rng(0)
    kinds = (same & (apart >= APART), ~same & (apart == 0))
    rows = [np.flatnonzero(kind) for kind in kinds]
    some = [row if len(row) <= MOST_PAIRS else rng.choice(row, MOST_PAIRS, replace=False) for row in rows]
    return tuple(np.stack([first[row], second[row]], axis=1) for row in some)


def auc(cosines: Sequence[Vectors], weights: Sequence[npt.NDArray[np.int64]] | None = None) -> float:
    """Return the share of pairs of pairs in which the positive one has the higher cosine; ties count half.

    Args:
        cosines: Of the positive pairs, and of the negative ones.
        weights: How often each of them counts.
    """
    positive, negative = cosines
    often, others = weights or (np.ones(len(positive)), np.ones(len(negative)))
    order = np.argsort(negative)
    total = np.concatenate([[0.0], np.cumsum(others[order])])
    below, upto = (total[np.searchsorted(negative[order], positive, side)] for side in ("left", "right"))
    return float(((below + upto) * often).sum() / (2 * total[-1] * often.sum()))


def measured(
    vectors: Vectors, owners: npt.NDArray[np.int64], same: npt.NDArray[np.int64], other: npt.NDArray[np.int64]
) -> list[float]:
    """Return the AUC and its 95 % interval, for which whole tracks are drawn anew, with replacement."""
    cosines = [np.einsum("nd,nd->n", vectors[rows[:, 0]], vectors[rows[:, 1]]) for rows in (same, other)]
    rng, count = np.random.default_rng(0), int(owners.max()) + 1
    drawn = []
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        weights = times[owners[same[:, 0]]], times[owners[other]].prod(axis=1)
        if all(weight.any() for weight in weights):
            drawn.append(auc(cosines, weights))
    return [round(float(value), 4) for value in (auc(cosines), *np.quantile(drawn, (0.025, 0.975)))]


def histogram(crop: Image.Image) -> Vectors:
    """Return a colour histogram of unit length: 16 bins a channel in HSV, over six horizontal stripes."""
    pixels = np.asarray(crop.resize((64, 128)).convert("HSV"))
    stripes = [
        np.histogram(stripe[..., band], 16, (0, 256))[0]
        for stripe in np.split(pixels, (21, 42, 64, 85, 106))
        for band in range(3)
    ]
    vector = np.sqrt(np.concatenate(stripes).astype(np.float32))
    return vector / np.linalg.norm(vector)


@torch.inference_mode()
def embedded(crops: Sequence[Image.Image], model: str, weights: str | None) -> Vectors:
    """Return the model's vectors of unit length, (N, D)."""
    image = load_clip(model, weights).image.eval()
    geometry = image.geometry
    found = []
    for start in range(0, len(crops), 256):
        sized = [
            crop.resize((geometry.width, geometry.height), Image.Resampling.BICUBIC)
            for crop in crops[start : start + 256]
        ]
        pixels = torch.from_numpy(np.stack([np.asarray(one) for one in sized]).transpose(0, 3, 1, 2).copy())
        found.append(
            functional.normalize(image(normalise(pixels, geometry.mean, geometry.std)).projected.float(), dim=1)
        )
    return torch.cat(found).numpy()


def sheet(crops: Sequence[Image.Image], owners: npt.NDArray[np.int64], target: Path) -> None:
    """Write a picture with a row for each of the first tracks, to see what was found."""
    rows = [np.flatnonzero(owners == owner) for owner in range(min(24, owners.max() + 1))]
    picture = Image.new("RGB", (16 * 50, len(rows) * 100))
    for line, row in enumerate(rows):
        for column, one in enumerate(row[np.linspace(0, len(row) - 1, 16).astype(int)]):
            picture.paste(crops[one].resize((48, 96)), (column * 50, line * 100))
    picture.save(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", default="scing-small")
    parser.add_argument("--weights", help="file of its weights; by default the model's own")
    parser.add_argument("--sheet", type=Path, help="write a picture of the tracks")
    parser.add_argument("--every", type=int, default=1, help="take the boxes of every Nth frame")
    given = parser.parse_args()
    if given.every < 1:
        parser.error("--every must be at least 1")
    frames = read_frames(given.video)
    found = tracks(list(people(frames)))
    chosen = [(owner, box) for owner, track in enumerate(found) for box in track if box.frame % given.every == 0]
    crops = [Image.fromarray(frames[box.frame][box.top : box.bottom, box.left : box.right]) for _, box in chosen]
    owners = np.array([owner for owner, _ in chosen])
    if not chosen:
        raise SystemExit(f"{given.video}: nobody was found.")
    same, other = pairs_of(owners, np.array([box.frame for _, box in chosen]))
    if not len(same) or not len(other):
        raise SystemExit(f"{given.video}: {len(same)} pairs of one track, {len(other)} of one frame: both are needed.")
    if given.sheet:
        sheet(crops, owners, given.sheet)
    figures = {
        "frames": len(frames),
        "tracks": len(found),
        "boxes": len(crops),
        "pairs of one track": len(same),
        "pairs of one frame": len(other),
        "AUC, colour histogram": measured(np.stack([histogram(crop) for crop in crops]), owners, same, other),
        f"AUC, {given.model}": measured(embedded(crops, given.model, given.weights), owners, same, other),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
