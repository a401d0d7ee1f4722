"""Grad-CAM of the class token (the paper's Figure 5): which patches an image's descriptor is made of.

The last block reads the patches through one layer norm, whose output A is what its class token attends to. With the
score s, the inner product of the descriptor and a fixed vector, the map of an image is::

    w = mean over patches p of ds / dA_p,     map_p = max(0, w . A_p)

as in Selvaraju et al., Grad-CAM, 2017, with patches in the place of pixels of a feature map. After the last block, the
gradient of patches is zero, because the class token alone is read from it.

Legend: B batch, H x W' pixels, h x w patches, W width of the tower, D of the descriptor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scing_cli.core.batches import normalise
from scing_cli.core.encoders.image import ImageEncoder, descriptor


def grad_cam(encoder: ImageEncoder, pixels: Tensor, targets: Tensor, *, cameras: Tensor | None = None) -> Tensor:
    """Compute the map of each image.

    Args:
        encoder: The image tower, on any device; it is not changed and gets no gradients.
        pixels: Shape (B, 3, H, W'), uint8, of the encoder's size.
        targets: Shape (B, D), of unit length: what each image's descriptor is compared with.
        cameras: Shape (B,): rows of the camera vectors (R15), from `camera_rows`; None if no camera is known.

    Returns:
        Shape (B, h, w), float32, at least 0, on the encoder's device.

    Raises:
        ValueError: If there is not one target of width D for each image.
    """
    geometry, device = encoder.geometry, encoder.proj.device
    image = normalise(pixels.to(device), geometry.mean, geometry.std, None)
    fixed = targets.to(device, torch.float32)
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: object, tokens: Tensor) -> Tensor:
        del module, given
        seen.append(tokens.detach().requires_grad_())  # the gradient of earlier layers is not needed
        return seen[-1]

    norm = encoder.transformer.resblocks[-1].ln_1
    hook = norm.register_forward_hook(keep)
    try:
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            vectors = descriptor(encoder(image, cameras), "projected")
            if vectors.shape != fixed.shape:
                raise ValueError(f"targets of shape {tuple(fixed.shape)}; these need {tuple(vectors.shape)}")
            (gradient,) = torch.autograd.grad((vectors * fixed).sum(), seen[-1])
    finally:
        hook.remove()
    rows, columns = geometry.grid
    patches = slice(seen[-1].shape[1] - rows * columns, None)  # after the class token and deep prompts
    weights = gradient[:, patches].mean(1, keepdim=True)  # (B, 1, W)
    return (weights * seen[-1].detach()[:, patches]).sum(2).clamp_min(0).view(-1, rows, columns)
