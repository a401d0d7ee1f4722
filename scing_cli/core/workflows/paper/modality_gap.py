"""The modality gap of finished runs: the paper's Figure 1 for any method, as numbers and as a picture."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from scing_cli.core.artifacts import Run, choose_run
from scing_cli.core.embeddings import Vectors
from scing_cli.core.encoders.encoder_file import load_image_encoder
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.errors import SettingError
from scing_cli.core.manifest import Manifest, labels
from scing_cli.core.methods.prompts_file import IdentityTexts, check_identities, load_texts
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, generator
from scing_cli.core.workflows.evaluate.published import without_consistency
from scing_cli.core.workflows.paper.gap_plot import GapPanel, Plane, gap_picture, gap_plane
from scing_cli.core.workflows.paper.gap_statistics import ModalityGap, modality_gap, unit_rows
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import starting_encoder
from scing_cli.core.workflows.shared.run_data import run_manifest
from scing_cli.core.workflows.shared.vectors import embed_files

IMAGES = 2000
LONGEST = 32  # letters of a label over a panel


@dataclasses.dataclass(frozen=True)
class GapRow:
    """The gap of one run after one of its stages.

    Args:
        label: What to call the run.
        run: Its folder.
        stage: 1: with the image encoder as stage 1 had it, frozen; 2: with the tuned one. The texts are the same.
        images: How many training images were looked at.
        identities: K, how many texts each of them was compared with.
        gap: The numbers.
        plane: The images and their texts in two dimensions.
    """

    label: str
    run: Path
    stage: int
    images: int
    identities: int
    gap: ModalityGap
    plane: Plane

    def numbers(self) -> dict[str, Any]:
        """Return all but the points, JSON-ready."""
        facts = {"label": self.label, "run": str(self.run), "stage": self.stage}
        return {**facts, "images": self.images, "identities": self.identities, **dataclasses.asdict(self.gap)}


@dataclasses.dataclass(frozen=True)
class _GapInput:
    """A run, its texts, and the training images to look at."""

    run: Run
    texts: IdentityTexts
    part: Manifest


def measure_gaps(
    runs: Sequence[Path],
    *,
    data: Path | None = None,
    images: int = IMAGES,
    seed: int = 0,
    pretrained: str | None = None,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> tuple[GapRow, ...]:
    """Measure how far the training images of runs lie from the texts that stage 1 gave their identities.

    Args:
        runs: Run folders, with stage 1 done at least.
        data: Where the images lie now, if they have moved.
        images: How many training images of a run are drawn; all of them where it has no more.
        seed: Of the draw: runs on the same data are measured on the same images.
        pretrained: Where stage 1's weights lie now, if they have moved.
        machine: Device, precision and threads.
        reporter: Where progress goes.

    Returns:
        For each run a row after stage 1, and one after stage 2 where that is done.

    Raises:
        RunError: If a folder is no run, or has no prompts, or its parts do not belong together.
        DataError: If the images are not where they were.
    """
    machine = machine or Machine()
    if images < 1:
        raise SettingError(f"--images {images}: must be at least 1.")
    opened = [choose_run(folder, stage="prompts") for folder in dict.fromkeys(runs)]
    inputs = [_read_input(run, data, images, seed) for run in opened]
    known: dict[tuple[str, tuple[Path, ...]], Vectors] = {}  # runs of one CLIP and one data set share the first row
    rows = []
    for label, given in zip(run_labels([given.run for given in inputs]), inputs, strict=True):
        key = (given.texts.model_digest, tuple(given.part.files()))
        if key not in known:
            encoder = starting_encoder(given.run, given.texts, pretrained, reporter)
            known[key] = _embed(given, encoder, machine, reporter, f"{label}, after stage 1")
        rows.append(_row(label, given, 1, known[key]))
        if given.run.has("visual"):
            encoder = load_image_encoder(given.run.visual)[0]
            rows.append(_row(label, given, 2, _embed(given, encoder, machine, reporter, f"{label}, after stage 2")))
    return tuple(rows)


def draw_gaps(rows: Sequence[GapRow]) -> Image.Image:
    """Draw a column for each run, after stage 1 at the top, after stage 2 below; a single run's panels side by side."""
    columns: dict[Path, list[GapPanel]] = {}
    for row in rows:
        numbers = f"gap {row.gap.distance:.3f}, {row.gap.nearest:.1f} % nearest to their own text"
        label = row.label if len(row.label) <= LONGEST else f"…{row.label[1 - LONGEST :]}"
        panel = GapPanel(f"{label}, after stage {row.stage}\n{numbers}", row.plane)
        columns.setdefault(row.run, []).append(panel)
    drawn = list(columns.values())
    return gap_picture(drawn if len(drawn) > 1 else [[panel] for panel in drawn[0]])


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Return what to call each run: its method, or where others have the same its folder's name, or its whole path."""
    names = [(_method(run), run.path.name, str(run.path)) for run in runs]
    counts = Counter(name for each in names for name in set(each))
    return [next((name for name in each if counts[name] == 1), each[-1]) for each in names]


def _method(run: Run) -> str:
    settings = run.info["settings"]["train-prompts"]
    return f"{settings['method']}, no consistency" if without_consistency(settings) else str(settings["method"])


def _read_input(run: Run, data: Path | None, images: int, seed: int) -> _GapInput:
    texts = load_texts(run.prompts)
    check_identities(texts, run.identities, where=str(run.path))
    part = run_manifest(run, moved_to=data).part("train")
    drawn = torch.randperm(len(part), generator=generator(seed, "gap"))[:images].sort().values.tolist()
    return _GapInput(run, texts, dataclasses.replace(part, samples=tuple(part.samples[row] for row in drawn)))


def _embed(given: _GapInput, encoder: ImageEncoder, machine: Machine, reporter: Reporter, text: str) -> Vectors:
    """Return the drawn images as an encoder sees them, with their cameras where it knows cameras (R15)."""
    cameras = [sample.camera for sample in given.part]
    return embed_files(machine.embedder(encoder), given.part.files(), cameras=cameras, reporter=reporter, text=text)


def _row(label: str, given: _GapInput, stage: int, vectors: Vectors) -> GapRow:
    texts, own = given.texts.vectors.numpy(), np.array(labels(given.part, given.texts.identities))
    plane = gap_plane(unit_rows(vectors), unit_rows(texts)[own])
    return GapRow(label, given.run.path, stage, len(vectors), len(texts), modality_gap(vectors, texts, own), plane)
