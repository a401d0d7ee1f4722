"""Which regions of an image drive its likeness to a vector: integrated gradients, smoothed to regions.

An image's score is its descriptor's inner product with a vector that is held fixed. A pixel's share of it is its
difference to the image's mean colour times the score's gradient, averaged along the straight line from an image of that
colour to the image; the shares add up to the score's rise along it (Sundararajan et al., Axiomatic Attribution for Deep
Networks, 2017). Grad-CAM on the last block's patch tokens would be zero: only the class token leaves that block. The
gradients of pixels come through all blocks, and through overlapping patches as the convolution has them.

Legend: B batch, H x W' pixels, D width of the descriptor.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scing_cli.core.batches import normalise
from scing_cli.core.encoders.image import ImageEncoder, descriptor

STEPS = 4  # passes per image: which regions count is settled then; for a sum within 0.02 it takes 16
SMOOTHING = 0.25  # of a patch's side: the standard deviation


def contributions(
    encoder: ImageEncoder, pixels: Tensor, targets: Tensor, *, kind: str = "projected", steps: int = STEPS
) -> Tensor:
    """Share an image's score out among its pixels.

    Args:
        encoder: Anywhere, in any mode; it is left as it is, without gradients.
        pixels: Shape (B, 3, H, W'), uint8, of the encoder's size.
        targets: Shape (B, D): what each image's descriptor is compared with. The score is their cosine where the target
            is of unit length, and the mean of some cosines where it is the mean of such vectors.
        kind: Which descriptor is compared; see `descriptor`.
        steps: Points on the line, each of which costs one forward and one backward pass.

    Returns:
        Shape (B, H, W'), float32, on the encoder's device. Positive where a pixel raises the score; the sum is the
        image's score less that of its mean colour, up to what `steps` leave.

    Raises:
        ValueError: If there is not one target of width D for each image.
    """
    device = encoder.proj.device
    geometry = encoder.geometry
    image = normalise(pixels.to(device), geometry.mean, geometry.std)
    fixed = targets.to(device, torch.float32)
    colour = image.double().mean(dim=(2, 3), keepdim=True).float()  # (B, 3, 1, 1); of one colour: that very colour
    change = image - colour
    total = torch.zeros_like(image)
    for step in range(steps):
        place = (colour + (step + 0.5) / steps * change).requires_grad_()
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            vectors = descriptor(encoder(place), kind)
            if vectors.shape != fixed.shape:
                raise ValueError(f"targets of shape {tuple(fixed.shape)}; these need {tuple(vectors.shape)}")
            (gradient,) = torch.autograd.grad((vectors * fixed).sum(), place)
        total += gradient
    return (total / steps * change).sum(dim=1)


def saliency(encoder: ImageEncoder, pixels: Tensor, targets: Tensor, *, kind: str = "projected") -> Tensor:
    """Return how strongly the regions of each image raise its score.

    Args:
        encoder: As `contributions` takes it, and so are the others.
        pixels: Shape (B, 3, H, W'), uint8.
        targets: Shape (B, D).
        kind: Which descriptor is compared.

    Returns:
        Shape (B, H, W'), float32, on the encoder's device, at least 0: the contributions, smoothed over a part of a
        patch; 0 where a region lowers the score. An image of one colour gives zeros.
    """
    shares = contributions(encoder, pixels, targets, kind=kind)
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
