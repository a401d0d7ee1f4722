"""What an encoder of several spectra returns, one image at a time in float64, from the definition."""

from __future__ import annotations

import copy

import numpy as np
import torch

from scing_cli.core.encoders.image import ImageEncoder


def joined(
    tower: ImageEncoder,
    pixels: np.ndarray,
    there: np.ndarray,
    *,
    missing: str,
    join: str,
    cameras: list[int] | None = None,
) -> dict[str, np.ndarray]:
    """Return cls, projected and previous of each observation, float64.

    Args:
        tower: Of every spectrum.
        pixels: Shape (B, S, 3, H, W), normalised.
        there: Shape (B, S), bool.
        missing: `mean`: a missing spectrum's vector is the mean of those that are there. `zero`: its pixels are 0.
        join: `concat` or `mean`.
        cameras: The row of each observation's camera vector.
    """
    whole = copy.deepcopy(tower).double().eval()
    result: dict[str, list[np.ndarray]] = {"cls": [], "projected": [], "previous": []}
    for number, (images, present) in enumerate(zip(pixels.astype(np.float64), there, strict=True)):
        own = None if cameras is None else torch.tensor([cameras[number]])
        for name, rows in result.items():
            vectors = []
            for image, is_there in zip(images, present, strict=True):
                if not is_there and missing == "mean":
                    continue
                shown = image if is_there else np.zeros_like(image)
                with torch.no_grad():
                    vectors.append(getattr(whole(torch.from_numpy(shown)[None], own), name)[0].numpy())
            if missing == "mean":
                average, found = np.mean(vectors, axis=0), iter(vectors)
                vectors = [next(found) if is_there else average for is_there in present]
            rows.append(np.concatenate(vectors) if join == "concat" else np.mean(vectors, axis=0))
    return {name: np.array(rows) for name, rows in result.items()}
