"""Cameras that differ in scene, light, colour cast, optics, noise, framing and compression."""

from __future__ import annotations

import dataclasses
import functools
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from scing_cli.core.spectra import VISIBLE
from scing_cli.core.synthetic.canvas import HEIGHT, SCALE, WIDTH, Bytes
from scing_cli.core.synthetic.dice import around, between, chance, dice
from scing_cli.core.synthetic.scenes import SCENES, Scene, draw_scene

Pixels = npt.NDArray[np.float32]
_MIDDLE = 115.0
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclasses.dataclass(frozen=True, slots=True)
class Camera:
    """One fixed camera.

    Args:
        scene: The background that the camera sees.
        gain: Brightness factor.
        cast: Factor of each channel (red, green, blue).
        gamma: Exponent of the tone curve.
        saturation: 0 is grey, 1 leaves the colours unchanged.
        contrast: Factor of the distance from middle grey.
        haze: Share of fog that is mixed in, 0 to 1.
        vignette: Darkening at the corners.
        side_light: Relative light from the left (negative) or the right (positive).
        blur: Sigma of the Gaussian blur, in final pixels.
        detail: Resolution of the sensor, as a share of the image's resolution.
        noise: Standard deviation, where 1 is the full range.
        quality: Lowest and highest JPEG quality.
        elevation: How steeply the camera looks down; 0 is horizontal.
        scale: Height of a person divided by the height of the box.
        slack: Spread of the boxes around people, as a share of the box.
        heading: Mean walking direction relative to the camera, in radians.
        occluded: Share of images in which something stands in front of the person.
        crowd: Share of images with a second person at the edge.
        spectrum: What the camera sees: one of `SPECTRA`.
        ambient: For a thermal camera, the shade of the surroundings' temperature, 0 to 255.
        blotches: Standard deviation of coarse noise, which differs between the channels; 1 is the full range.
    """

    scene: Scene
    gain: float
    cast: tuple[float, float, float]
    gamma: float
    saturation: float
    contrast: float
    haze: float
    vignette: float
    side_light: float
    blur: float
    detail: float
    noise: float
    quality: tuple[int, int]
    elevation: float
    scale: float
    slack: float
    heading: float
    occluded: float
    crowd: float
    spectrum: str = VISIBLE
    ambient: float = 0.0
    blotches: float = 0.0

    @property
    def clarity(self) -> float:
        """Factor by which the camera scales a colour difference, before noise, blur and clipping."""
        return self.gain * self.contrast * (1 - self.haze)


def draw_cameras(count: int, *key: int | str) -> tuple[Camera, ...]:
    """Return `count` cameras. Consecutive cameras see different kinds of scene; the key decides the order."""
    kinds = list(SCENES)
    dice(*key, "places").shuffle(kinds)
    return tuple(_draw_camera(kinds[number % len(kinds)], number, key) for number in range(count))


def _draw_camera(kind: str, number: int, key: tuple[int | str, ...]) -> Camera:
    rng = dice(*key, "camera", number)
    warm, green = around(rng, 0.0, 0.075), around(rng, 0.0, 0.03)
    indoors = kind == "hall"
    quality = int(between(rng, 42, 86))
    return Camera(
        scene=draw_scene(kind, rng),
        gain=float(np.exp(around(rng, -0.08 if indoors else 0.02, 0.16))),
        cast=(1 + warm, 1 + green, 1 - warm),
        gamma=float(np.exp(around(rng, 0.0, 0.17))),
        saturation=between(rng, 0.6, 1.2),
        contrast=between(rng, 0.7, 1.2),
        haze=between(rng, 0.05, 0.28) if chance(rng, 0.35) else 0.0,
        vignette=between(rng, 0.0, 0.4),
        side_light=around(rng, 0.0, 0.25),
        blur=between(rng, 0.2, 1.0),
        detail=between(rng, 0.5, 0.9) if chance(rng, 0.4) else 1.0,
        noise=between(rng, 0.004, 0.034),
        quality=(quality - 10, quality + 10),
        elevation=between(rng, 0.06, 0.32),
        scale=between(rng, 0.84, 0.98),
        slack=between(rng, 0.02, 0.06),
        heading=between(rng, -np.pi, np.pi),
        occluded=between(rng, 0.08, 0.3),
        crowd=between(rng, 0.1, 0.35),
    )


def develop(picture: Image.Image, person: Image.Image, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Return a picture as the camera records it, before compression.

    Args:
        picture: RGB, `SIZE` pixels.
        person: Mode L, the same size: 255 where the person is visible. Folds of cloth are drawn there only.
        camera: The camera.
        rng: Generator of this image: exposure, noise and blur vary a little from image to image.

    Returns:
        64 pixels wide and 128 high: RGB from a visible camera, mode L from any other.
    """
    light: Pixels = np.array(picture.reduce(SCALE), dtype=np.float32)  # (HEIGHT, WIDTH, 3), 0 to 255
    body = np.asarray(person.reduce(SCALE), dtype=np.float32)[..., None] / 255  # (HEIGHT, WIDTH, 1), 0 to 1
    if camera.spectrum != "tir":  # warmth has no shadows, and cloth is flat
        light *= (1 + body * (_folds(rng) - 1)) * _illumination(camera, rng)
    mix, shift = _colour_matrix(camera, float(np.exp(around(rng, 0.0, 0.09))))
    # Written out because the last bit of a matrix product differs between machines.
    coloured: Pixels = light[..., 0:1] * mix[0] + light[..., 1:2] * mix[1] + light[..., 2:3] * mix[2] + shift
    toned = _tone_curve(camera)[_bytes(coloured)]
    soft = np.asarray(_soften(_image(toned), camera, rng), dtype=np.float32)
    if camera.blotches:
        soft = soft + _blotches(rng) * np.float32(camera.blotches * 255)
    recorded = _image(_bytes(soft + _grain(rng) * np.float32(camera.noise * 255)))
    return recorded if camera.spectrum == VISIBLE else recorded.convert("L")


def _colour_matrix(camera: Camera, exposure: float) -> tuple[Pixels, Pixels]:
    """Return saturation, contrast, brightness and cast as matrix (3, 3) and offset (3,): pixel @ matrix + offset."""
    saturate = camera.saturation * np.eye(3, dtype=np.float32) + (1 - camera.saturation) * _LUMA[:, None]
    factors = np.array(camera.cast, dtype=np.float32) * np.float32(camera.gain * exposure)
    return saturate * np.float32(camera.contrast) * factors, np.float32(_MIDDLE * (1 - camera.contrast)) * factors


@functools.lru_cache(maxsize=64)
def _tone_curve(camera: Camera) -> Bytes:
    """Return the lookup table of gamma and haze, uint8 (256,)."""
    curve = (np.arange(256) / 255) ** camera.gamma
    hazy = curve + camera.haze * (0.72 - curve)  # 0.72 is the grey of the fog
    return (hazy * 255 + 0.5).astype(np.uint8)


def _grain(rng: np.random.Generator) -> Pixels:
    """Return noise with a standard deviation of about 1, float32 (HEIGHT, WIDTH, 3)."""
    # A random crop of one fixed field: fresh normal draws for every image are slow.
    field = _noise_field()
    y, x = (int(rng.integers(size - part)) for size, part in zip(field.shape, (HEIGHT, WIDTH), strict=False))
    cut = field[y : y + HEIGHT, x : x + WIDTH]
    return cut[::-1] if chance(rng, 0.5) else cut


@functools.cache
def _noise_field() -> Pixels:
    """Return noise whose channels are partly correlated, as in a sensor: float32 (384, 320, 3)."""
    rng = dice("noise field")
    return 0.5 * rng.standard_normal((384, 320, 3), dtype=np.float32) + 0.8 * rng.standard_normal(
        (384, 320, 1), dtype=np.float32
    )


def _blotches(rng: np.random.Generator) -> Pixels:
    """Return coarse noise with a standard deviation of about 1, float32 (HEIGHT, WIDTH, 3)."""
    coarse = rng.standard_normal((3, HEIGHT // 16, WIDTH // 16), dtype=np.float32)
    fields = [Image.fromarray(band).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for band in coarse]
    return np.stack([np.asarray(field, dtype=np.float32) for field in fields], axis=-1)


def compress(image: Image.Image, camera: Camera, rng: np.random.Generator) -> bytes:
    """Return the image as a JPEG file, its quality drawn from the camera's range."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(camera.quality[0], camera.quality[1] + 1)), subsampling=2)
    return buffer.getvalue()


def _bytes(light: Pixels) -> Bytes:
    """Round values to whole numbers and clip them to 0 to 255."""
    whole: Bytes = np.clip(light + np.float32(0.5), 0, 255).astype(np.uint8)
    return whole


def _image(pixels: Bytes) -> Image.Image:
    return Image.fromarray(pixels.reshape(HEIGHT, WIDTH, 3))


def _folds(rng: np.random.Generator) -> Pixels:
    """Return brightness factors of soft creases in cloth, float32 (HEIGHT, WIDTH, 1); different for every image."""
    coarse = rng.standard_normal((HEIGHT // 8, WIDTH // 8), dtype=np.float32)
    smooth = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    field: Pixels = 1 + 0.09 * np.asarray(smooth, dtype=np.float32)[..., None]
    return field


def _illumination(camera: Camera, rng: np.random.Generator) -> Pixels:
    """Return brightness factors of side light, vignette and, in some visible images, a shadow.

    Returns:
        float32 (HEIGHT, WIDTH, 1).
    """
    x = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    field = 1 + np.float32(camera.side_light) * x - np.float32(camera.vignette) * 0.5 * (x * x + y * y)
    if camera.spectrum == VISIBLE and chance(rng, 0.2):  # a lamp at the lens throws no shadow that it sees
        slope, edge = between(rng, -1.5, 1.5), between(rng, -0.7, 0.7)
        field = field * np.where(y + slope * x > edge, np.float32(between(rng, 0.55, 0.8)), np.float32(1.0))
    return np.maximum(field, 0.15)[..., None].astype(np.float32)


def _soften(image: Image.Image, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Return the image blurred by lens and sensor and, in some images, by motion."""
    if camera.detail < 1.0:
        small = (round(WIDTH * camera.detail), round(HEIGHT * camera.detail))
        image = image.resize(small, Image.Resampling.BILINEAR).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    if chance(rng, 0.12):
        image = image.filter(ImageFilter.BoxBlur((between(rng, 0.6, 1.6), 0)))
    return image.filter(ImageFilter.GaussianBlur(camera.blur * between(rng, 0.7, 1.3)))
