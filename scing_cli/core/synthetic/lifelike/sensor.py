"""Cameras as sensors: exposure, white balance, mosaic, noise, tones, sharpening, few pixels and compression."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from scing_cli.core.synthetic.canvas import SIZE
from scing_cli.core.synthetic.dice import around, between, chance, one_of, pick
from scing_cli.core.synthetic.lifelike.noise import Floats

LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
GAMMA = np.float32(2.2)
Spans = Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True, slots=True)
class Sensor:
    """What a camera does to light.

    Args:
        height: Mean height of a person's box, in pixels.
        spread: Deviation of the logarithm of that height: people are near or far.
        exposure: Mean brightness that the camera aims at, as a share of the usual one.
        balance: Factor of each channel, after white balance.
        gain: Standard deviation of the noise at full scale, of photons.
        read: That of the electronics.
        mosaic: Whether colours are interpolated from a Bayer mosaic.
        saturation: 0 is grey, 1 leaves colours as they are.
        contrast: Slope of the tone curve in the middle.
        lift: Share of haze or stray light.
        vignette: Darkening at the corners.
        blur: Sigma of the lens, in pixels of the picture.
        sharpening: Strength of the halo that cameras add.
        motion: Share of images with a visible motion blur.
        quality: Lowest and highest JPEG quality.
        resized: Share of images that were made smaller and larger again on their way.
    """

    height: float
    spread: float
    exposure: float
    balance: tuple[float, float, float]
    gain: float
    read: float
    mosaic: bool
    saturation: float
    contrast: float
    lift: float
    vignette: float
    blur: float
    sharpening: float
    motion: float
    quality: tuple[int, int]
    resized: float

    def perfect(self, height: float) -> Sensor:
        """Return a sensor with the same exposure that changes nothing else; all boxes have this height."""
        return Sensor(
            height=height,
            spread=0.0,
            exposure=self.exposure,
            balance=(1.0, 1.0, 1.0),
            gain=0.0,
            read=0.0,
            mosaic=False,
            saturation=1.0,
            contrast=1.0,
            lift=0.0,
            vignette=0.0,
            blur=0.0,
            sharpening=0.0,
            motion=0.0,
            quality=(95, 95),
            resized=0.0,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class SensorRanges:
    """From where to where the settings of sensors go; see `Sensor`. Of several ranges, each sensor takes one.

    Args:
        heights: Of boxes, in pixels.
        warmth: Distance of red from green after white balance, to either side, and of blue in the other direction.
        gains: Mean of the noise's deviation.
        saturations: Of colours.
        contrasts: Of the tone curve.
        qualities: Of JPEG files.
    """

    heights: Spans
    warmth: Spans
    gains: float
    saturations: Spans
    contrasts: Spans
    qualities: Sequence[tuple[int, int]]


def draw_sensor(rng: np.random.Generator, ranges: SensorRanges) -> Sensor:
    """Return a random sensor."""
    warm, green = pick(rng, (-1, 1)) * between(rng, *one_of(rng, ranges.warmth)), around(rng, 0.0, 0.04)
    worst, best = one_of(rng, ranges.qualities)
    quality = int(between(rng, worst, best))
    low, high = one_of(rng, ranges.heights)
    return Sensor(
        height=float(np.exp(between(rng, np.log(low), np.log(high)))),
        spread=between(rng, 0.05, 0.3),
        exposure=float(np.exp(around(rng, 0.0, 0.2))),
        balance=(1 + warm, 1 + green, 1 - warm),
        gain=float(rng.gamma(1.5, ranges.gains / 1.5)),
        read=float(rng.gamma(1.2, 0.004)),
        mosaic=chance(rng, 0.6),
        saturation=between(rng, *one_of(rng, ranges.saturations)),
        contrast=between(rng, *one_of(rng, ranges.contrasts)),
        lift=between(rng, 0.02, 0.22) if chance(rng, 0.4) else 0.0,
        vignette=between(rng, 0.0, 0.3),
        blur=float(rng.gamma(1.6, 0.45)),
        sharpening=between(rng, 0.2, 1.4) if chance(rng, 0.5) else 0.0,
        motion=between(rng, 0.0, 0.25),
        quality=(max(worst, quality - 15), quality),
        resized=0.12,
    )


def record(picture: Image.Image, sensor: Sensor, stretch: float, rng: np.random.Generator) -> bytes:
    """Return the JPEG file that a sensor makes of a picture of `SIZE`, RGB, whose width is stretched."""
    height = int(np.clip(sensor.height * np.exp(around(rng, 0.0, sensor.spread)), 24, 256))
    width = max(16, round(height * SIZE[0] / SIZE[1] / stretch))
    soft = picture.filter(ImageFilter.GaussianBlur(sensor.blur * between(rng, 0.7, 1.4)))
    if chance(rng, sensor.motion):
        soft = soft.filter(ImageFilter.BoxBlur((between(rng, 0.5, 4.0), between(rng, 0.0, 0.8))))
    small = np.asarray(soft.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / 255
    light: Floats = small**GAMMA
    metered = (0.24 / max(0.02, float(light.mean()))) ** 0.65  # a camera measures a part of the light
    light *= np.array(sensor.balance, dtype=np.float32) * np.float32(
        sensor.exposure * metered * np.exp(around(rng, 0.0, 0.1))
    )
    light *= _vignette(height, width, sensor.vignette, rng)
    light = _noisy(light, sensor, rng)
    light = _demosaiced(light) if sensor.mosaic else light
    tones = np.clip(light, 0, 1) ** (1 / GAMMA)
    grey = (tones @ LUMA)[..., None]
    tones = grey + sensor.saturation * (tones - grey)
    tones = 0.45 + sensor.contrast * (tones - 0.45)
    tones = tones + sensor.lift * (0.75 - tones)
    image = Image.fromarray(np.clip(tones * 255 + 0.5, 0, 255).astype(np.uint8))
    if sensor.sharpening:
        image = image.filter(ImageFilter.UnsharpMask(1.0, int(sensor.sharpening * 100), 2))
    if chance(rng, sensor.resized):
        share = between(rng, 0.4, 0.85)
        less = image.resize((max(8, round(width * share)), max(16, round(height * share))), Image.Resampling.BILINEAR)
        image = less.resize((width, height), pick(rng, (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(sensor.quality[0], sensor.quality[1] + 1)))
    return buffer.getvalue()


def _vignette(height: int, width: int, strength: float, rng: np.random.Generator) -> Floats:
    """Return the fall of light over a box that lies anywhere in the camera's picture, (H, W, 1)."""
    x, y = between(rng, -1, 1), between(rng, -1, 1)
    across = x + np.linspace(-0.15, 0.15, width, dtype=np.float32)[None, :]
    down = y + np.linspace(-0.3, 0.3, height, dtype=np.float32)[:, None]
    found: Floats = (1 - np.float32(strength) * 0.5 * np.clip(across * across + down * down, 0, 1.6))[..., None]
    return found


def _noisy(light: Floats, sensor: Sensor, rng: np.random.Generator) -> Floats:
    deviation = np.sqrt(np.clip(light, 0, None) * np.float32(sensor.gain) ** 2 + np.float32(sensor.read) ** 2)
    found: Floats = light + deviation * rng.standard_normal(light.shape, dtype=np.float32)
    return found


def _demosaiced(light: Floats) -> Floats:
    """Return the light as it is interpolated from a mosaic with one colour per pixel: bilinear, RGGB."""
    height, width = light.shape[:2]
    y, x = np.arange(height)[:, None] % 2, np.arange(width)[None, :] % 2
    masks = ((y == 0) & (x == 0), (y + x) % 2 == 1, (y == 1) & (x == 1))
    found = np.empty_like(light)
    for channel, mask in enumerate(masks):
        weights = mask.astype(np.float32)
        found[..., channel] = _spread(light[..., channel] * weights) / np.maximum(_spread(weights), 1e-6)
    return found


def _spread(field: Floats) -> Floats:
    padded = np.pad(field, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    found: Floats = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    return found
