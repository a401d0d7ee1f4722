"""Light on people: a sun or a lamp from a direction, the light of sky and ground, shade, and shadows on the ground."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image, ImageFilter

from scing_cli.core.synthetic.dice import around, between, chance
from scing_cli.core.synthetic.lifelike.noise import FIELDS, Floats, natural, tiled
from scing_cli.core.synthetic.lifelike.splat import Layer

LUT = ((np.arange(256) / 255) ** 2.2).astype(np.float32)  # sRGB -> light
STEPS = 4095
TONES = ((np.arange(STEPS + 1) / STEPS) ** (1 / 2.2) * 255).astype(np.float32)  # light -> sRGB


@dataclasses.dataclass(frozen=True, slots=True)
class Light:
    """The light of a camera's place.

    Args:
        towards: Unit vector towards the sun or lamp: right, down, towards the camera's side; not tilted.
        sun: Its strength in each channel.
        sky: Strength of the light from above in each channel.
        ground: Strength of the light from below in each channel.
        softness: Blur of shadows, in pixels.
        dappled: Share of images in which something far throws its shade on the person.
    """

    towards: tuple[float, float, float]
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    softness: float
    dappled: float

    def even(self) -> Light:
        """Return light that comes from everywhere."""
        white = (1.0, 1.0, 1.0)
        return Light(self.towards, (0.0, 0.0, 0.0), white, white, self.softness, 0.0)

    def vector(self) -> Floats:
        """Return `towards` as an array (3,)."""
        return np.array(self.towards, dtype=np.float32)


def draw_light(rng: np.random.Generator, heights: tuple[float, float]) -> Light:
    """Return random light: sun with a clear sky, clouds, or lamps indoors; `heights` of the sun in degrees."""
    height, azimuth = math.radians(between(rng, *heights)), between(rng, -math.pi, math.pi)
    towards = (math.cos(height) * math.sin(azimuth), -math.sin(height), math.cos(height) * math.cos(azimuth))
    clear = between(rng, 0.2, 0.75) if chance(rng, 0.6) else between(rng, 0.0, 0.2)
    warm, cold = around(rng, 0.05, 0.05), around(rng, -0.03, 0.05)
    bounce = between(rng, 0.1, 0.5)
    return Light(
        towards=towards,
        sun=_tinted(1.5 * clear, warm),
        sky=_tinted(0.95 - 0.55 * clear, cold),
        ground=_tinted((0.95 - 0.3 * clear) * bounce, around(rng, 0.04, 0.05)),
        softness=between(rng, 0.8, 4.0),
        dappled=between(rng, 0.0, 0.35),
    )


def _tinted(strength: float, warm: float) -> tuple[float, float, float]:
    return (strength * (1 + warm), strength, strength * (1 - warm))


def shaded(layer: Layer, light: Light, towards: Floats, upwards: Floats, rng: np.random.Generator) -> Floats:
    """Return the picture of surfaces in this light, (H, W, 3) as sRGB, 0 to 255.

    Args:
        layer: The surfaces; normals in view axes.
        light: The light.
        towards: Unit vector towards the sun, in view axes.
        upwards: The same for the sky.
        rng: Decides the shade of this image.
    """
    seen = layer.cover > 0
    normals, lit = layer.normals[seen], layer.lit[seen]
    sun = np.clip(normals @ towards, 0, 1) * lit
    if chance(rng, light.dappled):
        sun = sun * _dapples(seen.shape, rng)[seen]
    up = (normals @ upwards) * 0.5 + 0.5
    half = towards + np.array([0, 0, 1], dtype=np.float32)
    half /= np.linalg.norm(half)
    shine = layer.gloss[seen] * lit * np.clip(normals @ half, 0, 1) ** 18
    reflected = LUT[np.clip(layer.colours[seen], 0, 255).astype(np.uint8)]
    irradiance = (
        sun[..., None] * np.array(light.sun, dtype=np.float32)
        + up[..., None] * np.array(light.sky, dtype=np.float32)
        + (1 - up)[..., None] * np.array(light.ground, dtype=np.float32)
    )
    bright = reflected * irradiance + shine[..., None] * np.array(light.sun, dtype=np.float32) * 2
    found: Floats = np.zeros((*seen.shape, 3), dtype=np.float32)
    found[seen] = _tones(bright)
    return found


def _tones(light: Floats) -> Floats:
    """Return light, 1 for white, as sRGB, 0 to 255."""
    found: Floats = TONES[(np.clip(light, 0, 1) * STEPS + 0.5).astype(np.int16)]
    return found


def _dapples(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    field = tiled(natural(int(rng.integers(FIELDS))), shape, between(rng, 0.7, 3.3), rng)
    level = between(rng, -1.0, 1.0)
    found: Floats = np.clip((field - level) * 3, 0, 1)
    return found


def lit_scene(picture: Image.Image, light: Light, shadow: Image.Image | None, rng: np.random.Generator) -> Image.Image:
    """Return a backdrop in this light, darker where the person's shadow falls (mode L)."""
    field = np.asarray(picture, dtype=np.float32)
    sun, sky = np.array(light.sun, dtype=np.float32), np.array(light.sky, dtype=np.float32)
    reach = np.float32(between(rng, 0.35, 0.8))  # walls and ground are turned from the sun by some angle
    amount: Floats = np.ones(field.shape[:2], dtype=np.float32)
    if chance(rng, light.dappled):
        amount = _dapples(field.shape[:2], rng)
    if shadow is not None:
        amount = amount * (
            1 - np.asarray(shadow.filter(ImageFilter.GaussianBlur(light.softness)), dtype=np.float32) / 255
        )
    irradiance = amount[..., None] * sun * reach + sky * np.float32(0.9)
    bright = LUT[field.astype(np.uint8)] * irradiance
    return Image.fromarray(_tones(bright).astype(np.uint8))
