"""Images of one observation: registered, each with the noise of its own camera, and dark at night."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.synthetic import (
    Camera,
    Person,
    draw_cameras,
    draw_people,
    in_spectrum,
    render_spectrum,
    render_view,
)
from scing_cli.core.synthetic.canvas import Part
from scing_cli.core.synthetic.views import _compose

PEOPLE = draw_people(12, "test spectra")
CAMERAS = draw_cameras(6, "test spectra")
SPECTRA = ("rgb", "nir", "tir")


def seen(camera: Camera, spectrum: str, *, night: bool = False) -> Camera:
    return in_spectrum(camera, spectrum, "test spectra", CAMERAS.index(camera), night=night)


def decoded(person: Person, camera: Camera, *key: int | str, occluded: bool = False) -> np.ndarray:
    with Image.open(io.BytesIO(render_spectrum(person, camera, *key, occluded=occluded))) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)


def test_the_visible_image_by_day_is_the_ordinary_one() -> None:
    for number, camera in enumerate(CAMERAS):
        assert seen(camera, "rgb") is camera
        key = ("day", number)
        assert render_spectrum(PEOPLE[number], camera, *key) == render_view(PEOPLE[number], camera, *key).jpeg


def test_other_spectra_are_grey_files_of_the_same_size() -> None:
    for spectrum in ("nir", "tir"):
        with Image.open(io.BytesIO(render_spectrum(PEOPLE[0], seen(CAMERAS[0], spectrum), "x", 1))) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "L", (64, 128))


@pytest.mark.parametrize("occluded", [False, True])
def test_parts_are_in_the_same_place_in_all_spectra(occluded: bool) -> None:
    for number, person in enumerate(PEOPLE):
        key = ("same place", number)
        canvases = [
            _compose(person, seen(CAMERAS[number % 6], spectrum, night=True), key, occluded=occluded)[0]
            for spectrum in SPECTRA
        ]
        maps = [np.asarray(canvas.parts) for canvas in canvases]
        assert all(np.array_equal(maps[0], other) for other in maps[1:])
        assert np.any(maps[0] != Part.SCENE)


def test_skin_is_the_warmest_part_of_a_thermal_image() -> None:
    camera = dataclasses.replace(CAMERAS[0], occluded=0.0, crowd=0.0)
    for number, person in enumerate(PEOPLE):
        thermal = in_spectrum(camera, "tir", "warm", number)
        canvas = _compose(person, thermal, ("warm", number), occluded=False)[0]
        shades, parts = np.asarray(canvas.picture)[..., 0].astype(float), np.asarray(canvas.parts)
        mean = {part: shades[parts == part].mean() for part in Part if (parts == part).sum() > 60}
        arms = [mean[part] for part in (Part.BARE_ARM, Part.BARE_LEG) if part in mean]
        assert all(value > mean[Part.TOP] + 20 for value in arms)
        assert mean[Part.TOP] > mean[Part.SCENE]
        assert shades[parts == Part.TOP].std() < 20  # cloth is flat


def test_each_camera_has_noise_of_its_own() -> None:
    """Two images of one scene differ by noise; the noise of one spectrum says nothing of the other's."""
    camera = dataclasses.replace(CAMERAS[1], occluded=0.0, crowd=0.0)
    near, warm = in_spectrum(camera, "nir", "noise"), in_spectrum(camera, "tir", "noise")
    quiet = [dataclasses.replace(each, noise=0.0) for each in (near, warm)]
    found = [
        (decoded(PEOPLE[0], noisy, "noise") - decoded(PEOPLE[0], still, "noise"))[..., 0].ravel()
        for noisy, still in zip((near, warm), quiet, strict=True)
    ]
    assert all(noise.std() > 1 for noise in found)
    assert abs(np.corrcoef(*found)[0, 1]) < 0.15


def test_night_darkens_the_visible_image_alone() -> None:
    for number, camera in enumerate(CAMERAS):
        day, night = (seen(camera, "rgb", night=dark) for dark in (False, True))
        key = ("night", number)
        bright, dark = decoded(PEOPLE[number], day, *key), decoded(PEOPLE[number], night, *key)
        assert dark.mean() < 0.5 * bright.mean()
        assert dark.mean() < 60
        for spectrum in ("nir", "tir"):
            assert seen(camera, spectrum, night=True) == seen(camera, spectrum)
