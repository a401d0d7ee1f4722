"""Compare what the runs of several methods look at (the paper's Figure 5): Grad-CAM on the same images.

A run's score of an image is the cosine of its descriptor with the mean of the descriptors of the query's true
matches in the gallery by that run: its map shows the patches by which the run recognises the person there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from scing_cli.core.artifacts import Run, choose_run
from scing_cli.core.batches import resize
from scing_cli.core.embeddings.grad_cam import grad_cam
from scing_cli.core.encoders.encoder_file import load_image_encoder
from scing_cli.core.encoders.image import ImageEncoder
from scing_cli.core.errors import SettingError
from scing_cli.core.evaluation.truth import checked_truth
from scing_cli.core.figures import overlay
from scing_cli.core.figures.contact_sheet import SheetLine, contact_sheet
from scing_cli.core.imagefile import read_image
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, generator
from scing_cli.core.workflows.paper.modality_gap import run_labels
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.run_data import run_manifest
from scing_cli.core.workflows.shared.scoring import labels_of, sides
from scing_cli.core.workflows.shared.vectors import embed_files

PEOPLE = 6
CELL = (128, 256)  # width and height of a drawn image, pixels
Maps = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class SeenPerson:
    """A query image, and what each run looks at.

    Args:
        sample: The image.
        picture: Its pixels.
        maps: By the run's label: the map over its patches, (h, w), at least 0, and the score.
    """

    sample: Sample
    picture: Image.Image
    maps: Mapping[str, tuple[Maps, float]]


def saliency_maps(
    runs: Sequence[Path],
    *,
    data: Path | None = None,
    people: int = PEOPLE,
    seed: int = 0,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> tuple[SeenPerson, ...]:
    """Compute Grad-CAM of the same query images for several runs.

    Args:
        runs: Run folders in which stage 2 is finished; the images are queries of the data of the first one.
        data: New folder of the images, if they have moved.
        people: Number of people to draw, one query of each; all if there are fewer.
        seed: Seed of the choice.
        machine: Device and threads; maps are always float32.
        reporter: Shows progress.

    Raises:
        RunError: If a folder is not a run, or its stage 2 is not finished.
        SettingError: If a run reads several spectra.
        DataError: If no query has a true match in the gallery.
        ImageError: If a chosen image cannot be read.
    """
    machine = machine or Machine()
    if people < 1:
        raise SettingError(f"--people {people}: must be at least 1.")
    opened = [choose_run(folder, stage="visual") for folder in dict.fromkeys(runs)]
    encoders = [_encoder(run) for run in opened]
    manifest = run_manifest(opened[0], moved_to=data).seen_in(())
    queries, gallery = _chosen(manifest, people, seed)
    pictures = [read_image(manifest.root / query.path) for query in queries]
    maps: list[dict[str, tuple[Maps, float]]] = [{} for _ in queries]
    for label, encoder in zip(run_labels(opened), encoders, strict=True):
        own = [[manifest.root / row.path for row in rows] for rows in gallery]
        embedder = machine.embedder(encoder)
        files = [file for each in own for file in each]
        known = [row.camera for rows in gallery for row in rows]
        vectors = embed_files(embedder, files, cameras=known, reporter=reporter, text=f"embed galleries, {label}")
        owners = np.repeat(np.arange(len(own)), [len(each) for each in own])
        means = np.stack([vectors[owners == person].mean(0) for person in range(len(own))])
        targets = torch.from_numpy(means / np.linalg.norm(means, axis=1, keepdims=True))
        geometry = encoder.geometry
        sized = [resize(one, geometry.height, geometry.width, geometry.interpolation) for one in pictures]
        pixels = torch.stack([torch.from_numpy(one) for one in sized])
        cameras = encoder.camera_rows([query.camera for query in queries]) if encoder.cameras else None
        scores = (embedder.tensors(pixels, cameras=cameras).cpu() * targets).sum(1)
        heats = grad_cam(encoder, pixels, targets, cameras=cameras).cpu().numpy()
        for found, heat, score in zip(maps, heats, scores.tolist(), strict=True):
            found[label] = (heat, score)
    return tuple(SeenPerson(*each) for each in zip(queries, pictures, maps, strict=True))


def draw_maps(people: Sequence[SeenPerson]) -> Image.Image:
    """Draw a line for each person: the image, then the map of each run over it, on a scale of its own."""
    labels = list(people[0].maps)
    lines = []
    for person in people:
        heated = [overlay(person.picture, person.maps[label][0]) for label in labels]
        scores = [f"{label}: {person.maps[label][1]:.2f}" for label in labels]
        text = [f"person {person.sample.identity}", f"camera {person.sample.camera}", "", "cosine", *scores]
        lines.append(SheetLine(text, [person.picture, *heated]))
    return contact_sheet("What each run recognises people by (Grad-CAM)", ["image", *labels], lines, cell=CELL)


def _encoder(run: Run) -> ImageEncoder:
    encoder = load_image_encoder(run.stage("visual"))[0]
    if not isinstance(encoder, ImageEncoder):
        raise SettingError(
            f"{run.path} reads several spectra: Grad-CAM is for one image.", "Name runs of one spectrum."
        )
    return encoder


def _chosen(manifest: Manifest, people: int, seed: int) -> tuple[list[Sample], list[list[Sample]]]:
    """Return a query of each chosen person, and its true hits in the gallery under the data's own protocol."""
    query, gallery = sides(manifest, "query")
    _, truth = checked_truth(labels_of(query), labels_of(gallery), "auto")
    hits = {number: found for number in range(len(query)) if len(found := truth.hits(number))}
    of_person: dict[str, list[int]] = {}
    for number in hits:
        of_person.setdefault(query.samples[number].identity, []).append(number)
    draw, names = generator(seed, "saliency"), sorted(of_person)
    order = torch.randperm(len(names), generator=draw)[:people].sort().values.tolist()
    chosen = [of_person[names[person]] for person in order]
    picked = [own[int(torch.randint(len(own), (), generator=draw))] for own in chosen]
    matches = [[gallery.samples[row] for row in hits[number].tolist()] for number in picked]
    return [query.samples[number] for number in picked], matches
