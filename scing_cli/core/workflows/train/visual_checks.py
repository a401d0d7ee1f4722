"""Check that a data set has what options of stage 2 need: people to validate on, cameras for camera vectors."""

from __future__ import annotations

from scing_cli.core.errors import DataError, counted
from scing_cli.core.evaluation import PROTOCOLS, protocol_of
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import find_method
from scing_cli.core.settings.field import PAIRS
from scing_cli.core.workflows.shared.caption_side import captions_of, images_of_test
from scing_cli.core.workflows.shared.scoring import labels_of


def check_validation(manifest: Manifest, method: str) -> None:
    """Check before the training that the split `val` can be evaluated after it, with a method's kind of queries."""
    if "val" not in manifest.splits():
        raise DataError(
            f"--validate: {manifest.name} has no split val.", "Leave --validate out, or mark rows as val in a CSV."
        )
    rows = manifest.part("val")
    if find_method(method).rows == PAIRS:
        captions_of(images_of_test(manifest, "val"), "val")
        return
    labels = labels_of(rows)
    compared = PROTOCOLS[protocol_of("auto", labels, labels).name].filter
    own = getattr(labels, compared) if compared else [""] * len(rows)
    seen: dict[str, int] = {}
    for number, sample in enumerate(rows):
        other = seen.setdefault(sample.identity, number)
        if sample.identity and other != number and (not compared or own[other] != own[number]):
            return
    how_often = {"cameras": "by two cameras", "scenes": "in two scenes"}.get(compared, "twice")
    raise DataError(
        f"--validate: nobody in the split val of {manifest.name} is seen {how_often}.",
        "Leave --validate out, or mark more rows as val.",
    )


def training_cameras(part: Manifest, reporter: Reporter) -> tuple[str, ...]:
    """Return the cameras that get a vector; warn about training images without a camera."""
    cameras = part.cameras()
    if len(cameras) < 2:
        known = f"knows {counted(len(cameras), 'camera')}" if cameras else "names no camera"
        raise DataError(
            f"--camera-embedding: the training part of {part.name} {known}.",
            "Leave --camera-embedding out (in a --config file: camera-embedding), or fill the column camera of a CSV.",
        )
    without = sum(not sample.camera for sample in part)
    if without:
        images = counted(without, "training image has", "training images have")
        reporter.warn(f"{images} no known camera: no camera vector is added to them.")
    return cameras
