"""Measure and draw the modality gap of runs: the paper's Figure 1 for any method."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from scing_cli.core.artifacts import Run, choose_run
from scing_cli.core.embeddings import Vectors
from scing_cli.core.encoders.encoder_file import load_image_encoder
from scing_cli.core.encoders.spectral import AnyImageEncoder
from scing_cli.core.errors import SettingError
from scing_cli.core.manifest import Manifest, labels
from scing_cli.core.methods.prompts_file import IdentityTexts, check_identities, load_texts
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, generator
from scing_cli.core.spectra import Source
from scing_cli.core.workflows.evaluate.published import without_consistency
from scing_cli.core.workflows.paper.gap_plot import (
    UMAP_AXES,
    GapPanel,
    Plane,
    Points,
    gap_picture,
    gap_plane,
    need_umap,
    umap_plane,
)
from scing_cli.core.workflows.paper.gap_statistics import ModalityGap, modality_gap, unit_rows
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.run_data import run_manifest
from scing_cli.core.workflows.shared.starting_encoder import starting_clip
from scing_cli.core.workflows.shared.vectors import embed_files

IMAGES = 2000
LONGEST = 32  # characters of a panel's label


@dataclasses.dataclass(frozen=True)
class GapRow:
    """The gap of one run after one of its stages.

    Args:
        label: Name of the run in the picture.
        run: Its folder.
        stage: 1: with the image encoder that stage 1 left; 2: with the trained one. The texts are the same.
        images: Number of training images that were measured.
        identities: Number of texts, K.
        gap: The measured gap.
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
        """Return all fields but the points, JSON-ready."""
        facts = {"label": self.label, "run": str(self.run), "stage": self.stage}
        return {**facts, "images": self.images, "identities": self.identities, **dataclasses.asdict(self.gap)}


@dataclasses.dataclass(frozen=True)
class _GapInput:
    """A run, its texts, and the training images to measure."""

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
    umap: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> tuple[GapRow, ...]:
    """Measure the gap between the training images of runs and the texts of their identities.

    Args:
        runs: Run folders in which stage 1 is finished.
        data: New folder of the images, if they have moved.
        images: Number of training images to sample; all of them if a run has fewer.
        seed: Seed of the sample: runs on the same data use the same images.
        pretrained: New path of stage 1's weights, if they have moved.
        umap: Whether the planes are UMAP's; else those of `gap_plane`.
        machine: Device, precision and threads.
        reporter: Shows progress.

    Returns:
        For each run, a row after stage 1, and a row after stage 2 if that is finished.

    Raises:
        RunError: If a folder is not a run, has no prompts, or has files of another run.
        DataError: If the images are missing.
    """
    machine = machine or Machine()
    if images < 1:
        raise SettingError(f"--images {images}: must be at least 1.")
    if umap:
        need_umap()
    opened = [choose_run(folder, stage="prompts") for folder in dict.fromkeys(runs)]
    inputs = [_read_input(run, data, images, seed) for run in opened]
    # runs with the same CLIP and the same images have the same vectors after stage 1
    embedded: dict[tuple[str, str, tuple[Source, ...]], Vectors] = {}
    project = functools.partial(umap_plane, seed=seed) if umap else gap_plane
    rows = []
    for label, given in zip(run_labels([given.run for given in inputs]), inputs, strict=True):
        own = given.texts.digest() if given.texts.encoder is not None else ""  # its image encoder is the run's own
        key = (given.texts.model_digest, own, tuple(given.part.sources()))
        if key not in embedded:
            encoder = starting_clip(given.run, given.texts.model_digest, pretrained, reporter).image
            given.texts.start(encoder)
            embedded[key] = _embed(given, encoder, machine, reporter, f"{label}, after stage 1")
        rows.append(_row(label, given, 1, embedded[key], project))
        if given.run.has("visual"):
            encoder = load_image_encoder(given.run.stage("visual"))[0]
            vectors = _embed(given, encoder, machine, reporter, f"{label}, after stage 2")
            rows.append(_row(label, given, 2, vectors, project))
    return tuple(rows)


def draw_gaps(rows: Sequence[GapRow], *, umap: bool = False) -> Image.Image:
    """Draw a column for each run, stage 1 above stage 2; the panels of a single run are next to each other.

    Args:
        rows: From `measure_gaps`.
        umap: As it was measured.
    """
    columns: dict[Path, list[GapPanel]] = {}
    for row in rows:
        numbers = f"gap {row.gap.distance:.3f}, {row.gap.nearest:.1f} % nearest to their own text"
        label = row.label if len(row.label) <= LONGEST else f"…{row.label[1 - LONGEST :]}"
        panel = GapPanel(f"{label}, after stage {row.stage}\n{numbers}", row.plane)
        columns.setdefault(row.run, []).append(panel)
    panels = list(columns.values())
    columns_of = panels if len(panels) > 1 else [[panel] for panel in panels[0]]
    return gap_picture(columns_of, axes=UMAP_AXES) if umap else gap_picture(columns_of)


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Return a unique label for each run: its method, else the name of its folder, else its path."""
    names = [(_method(run), run.path.name, str(run.path)) for run in runs]
    counts = Counter(name for each in names for name in set(each))
    return [next((name for name in each if counts[name] == 1), each[-1]) for each in names]


def _method(run: Run) -> str:
    settings = run.prompt_settings()
    return f"{settings['method']}, no consistency" if without_consistency(settings) else str(settings["method"])


def _read_input(run: Run, data: Path | None, images: int, seed: int) -> _GapInput:
    if run.info["model"].get("spectra"):
        raise SettingError(f"{run.path} reads several spectra: its gap is not measured.", "Name others.")
    texts = load_texts(run.stage("prompts"))
    check_identities(texts, run.identities, where=str(run.path))
    part = run_manifest(run, moved_to=data).part("train").seen_in(())
    rows = torch.randperm(len(part), generator=generator(seed, "gap"))[:images].sort().values.tolist()
    return _GapInput(run, texts, dataclasses.replace(part, samples=tuple(part.samples[row] for row in rows)))


def _embed(given: _GapInput, encoder: AnyImageEncoder, machine: Machine, reporter: Reporter, text: str) -> Vectors:
    """Return the vectors of the sampled images, with their cameras if the encoder has camera vectors (R15)."""
    cameras = [sample.camera for sample in given.part]
    return embed_files(machine.embedder(encoder), given.part.sources(), cameras=cameras, reporter=reporter, text=text)


def _row(
    label: str, given: _GapInput, stage: int, vectors: Vectors, project: Callable[[Points, Points], Plane]
) -> GapRow:
    texts, own = given.texts.vectors.numpy(), np.array(labels(given.part, given.texts.identities))
    plane = project(unit_rows(vectors), unit_rows(texts)[own])
    return GapRow(label, given.run.path, stage, len(vectors), len(texts), modality_gap(vectors, texts, own), plane)
