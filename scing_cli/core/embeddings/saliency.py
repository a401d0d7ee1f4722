"""Saliency maps: which regions of an image raise its similarity to a vector (smoothed integrated gradients).

An image's score is the inner product of its descriptor and a fixed vector. A pixel's contribution is its difference
from the image's mean colour times the gradient of the score, averaged over the straight line from an image of the mean
colour to the image. The contributions add up to the difference in score between both ends (Sundararajan et al.,
Axiomatic Attribution for Deep Networks, 2017).

Legend: B batch, S spectra, 1 for ordinary images, H x W' pixels, D width of the descriptor.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scing_cli.core.batches import normalise
from scing_cli.core.embeddings import Missing
from scing_cli.core.encoders.image import descriptor
from scing_cli.core.encoders.spectral import AnyImageEncoder

# Grad-CAM on the patch tokens of the last block would be zero, because only the class token is read from that block.
# Gradients of pixels pass through all blocks, and through overlapping patches.

STEPS = 4  # passes per image: more do not change the regions; a sum that is accurate to 0.02 takes 16
SMOOTHING = 0.25  # standard deviation of the blur, as a share of the patch's side


def contributions(
    encoder: AnyImageEncoder,
    pixels: Tensor,
    targets: Tensor,
    *,
    kind: str = "projected",
    steps: int = STEPS,
    missing: Missing | None = None,
) -> Tensor:
    """Compute the contribution of each pixel to an image's score.

    Args:
        encoder: The image tower, on any device and in any mode; it is not changed and gets no gradients.
        pixels: Shape (B, 3 S, H, W'), uint8, of the encoder's size.
        targets: Shape (B, D): the vector that each image's descriptor is compared with. The score is their cosine
            similarity if the target has unit length, and a mean of cosines if the target is a mean of such vectors.
        kind: The descriptor that is compared, `projected` or `concat`.
        steps: Number of points on the line; each takes one forward and one backward pass.
        missing: Shape (B, S): the spectra that an observation lacks; None if it lacks none.

    Returns:
        Shape (B, H, W'), float32, on the encoder's device, over all spectra. Positive where a pixel raises the score.
        The sum is the image's score minus the score of its mean colour, up to the error of a finite number of steps.

    Raises:
        ValueError: If there is not one target of width D for each image.
    """
    device = encoder.proj.device
    geometry = encoder.geometry
    image = normalise(pixels.to(device), geometry.mean, geometry.std, missing)
    fixed = targets.to(device, torch.float32)
    colour = image.double().mean(dim=(2, 3), keepdim=True).float()  # (B, 3, 1, 1); exact for one colour
    change = image - colour
    total = torch.zeros_like(image)
    for step in range(steps):
        point = (colour + (step + 0.5) / steps * change).requires_grad_()
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            vectors = descriptor(encoder(point), kind)
            if vectors.shape != fixed.shape:
                raise ValueError(f"targets of shape {tuple(fixed.shape)}; these need {tuple(vectors.shape)}")
            (gradient,) = torch.autograd.grad((vectors * fixed).sum(), point)
        total += gradient
    return (total / steps * change).nan_to_num(0.0).sum(dim=1)  # NaN in missing spectra


def saliency(
    encoder: AnyImageEncoder,
    pixels: Tensor,
    targets: Tensor,
    *,
    kind: str = "projected",
    missing: Missing | None = None,
) -> Tensor:
    """Return how strongly the regions of each image raise its score.

    Args:
        encoder: As for `contributions`.
        pixels: Shape (B, 3 S, H, W'), uint8.
        targets: Shape (B, D).
        kind: The descriptor that is compared.
        missing: As for `contributions`.

    Returns:
        Shape (B, H, W'), float32, on the encoder's device: the smoothed contributions, 0 where they are negative. An
        image of a single colour gives zeros.
    """
    shares = contributions(encoder, pixels, targets, kind=kind, missing=missing)
    with torch.autocast(shares.device.type, enabled=False):
        return _smooth(shares, SMOOTHING * encoder.geometry.patch).clamp(min=0)


def _smooth(maps: Tensor, deviation: float) -> Tensor:
    """Blur maps of shape (B, H, W') with a Gaussian, mirrored at the borders."""
    radius = int(3 * deviation)
    offsets = torch.arange(-radius, radius + 1, device=maps.device)
    weights = torch.softmax(-(offsets**2) / (2 * deviation**2), dim=0)
    padded = functional.pad(maps[:, None], (radius,) * 4, mode="reflect")
    rows = functional.conv2d(padded, weights.view(1, 1, -1, 1))
    return functional.conv2d(rows, weights.view(1, 1, 1, -1))[:, 0]
