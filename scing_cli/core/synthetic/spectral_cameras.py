"""The cameras of one place: a visible one by day or at night, a near-infrared one and a thermal one.

They share one lens axis: framing, walking directions and what stands in front of people are the same, so that the
images of an observation are registered.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from scing_cli.core.spectra import VISIBLE
from scing_cli.core.synthetic.cameras import Camera
from scing_cli.core.synthetic.dice import around, between, dice


def in_spectrum(camera: Camera, spectrum: str, *key: int | str, night: bool = False) -> Camera:
    """Return the camera of a spectrum at the place of a visible one.

    Args:
        camera: The visible camera.
        spectrum: One of `SPECTRA`.
        key: Decides the camera, with the spectrum. Night does not change near-infrared and thermal cameras.
        night: Whether there is little visible light.
    """
    rng = dice(*key, spectrum)
    if spectrum == VISIBLE:
        return _in_the_dark(camera, rng) if night else camera
    return _lit_by_itself(camera, rng) if spectrum == "nir" else _thermal(camera, rng)


def _in_the_dark(camera: Camera, rng: np.random.Generator) -> Camera:
    """Return a visible camera at night: a lamp's cast, few photons, and the blotches that are left of their noise."""
    lamp = between(rng, 0.0, 0.3)
    return dataclasses.replace(
        camera,
        gain=camera.gain * between(rng, 0.22, 0.42),
        cast=(1 + lamp, 1.0, 1 - lamp),
        saturation=camera.saturation * between(rng, 0.15, 0.4),
        contrast=between(rng, 0.6, 0.9),
        haze=0.0,
        vignette=between(rng, 0.2, 0.7),
        blur=camera.blur + 0.6,
        noise=between(rng, 0.03, 0.05),
        blotches=between(rng, 0.015, 0.03),
    )


def _lit_by_itself(camera: Camera, rng: np.random.Generator) -> Camera:
    """Return a near-infrared camera, whose lamp lights the middle of the image."""
    return dataclasses.replace(
        camera,
        spectrum="nir",
        gain=float(np.exp(around(rng, -0.05, 0.13))),
        cast=(1.0, 1.0, 1.0),
        gamma=float(np.exp(around(rng, 0.0, 0.15))),
        saturation=0.0,
        contrast=between(rng, 0.8, 1.15),
        haze=0.0,
        vignette=between(rng, 0.3, 0.8),
        side_light=around(rng, 0.0, 0.08),
        blur=between(rng, 0.5, 1.1),
        detail=1.0,
        noise=between(rng, 0.012, 0.035),
    )


def _thermal(camera: Camera, rng: np.random.Generator) -> Camera:
    """Return a thermal camera: few pixels, no shadows, and a temperature of the surroundings."""
    return dataclasses.replace(
        camera,
        spectrum="tir",
        ambient=between(rng, 46.0, 108.0),
        gain=float(np.exp(around(rng, 0.0, 0.06))),
        cast=(1.0, 1.0, 1.0),
        gamma=float(np.exp(around(rng, 0.0, 0.1))),
        saturation=0.0,
        contrast=between(rng, 0.85, 1.15),
        haze=0.0,
        vignette=0.0,
        side_light=0.0,
        blur=between(rng, 0.6, 1.1),
        detail=between(rng, 0.5, 0.75),
        noise=between(rng, 0.012, 0.03),
    )
