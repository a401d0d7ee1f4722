"""Lifelike images as a whole: people, sensors, occlusion, captions, and the written world."""

from __future__ import annotations

import dataclasses
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scing_cli.core.errors import SettingError
from scing_cli.core.synthetic import draw_people, worker, write_world
from scing_cli.core.synthetic.canvas import SIZE, Part
from scing_cli.core.synthetic.captions import LEAST
from scing_cli.core.synthetic.dice import dice
from scing_cli.core.synthetic.lifelike import RANGES, draw_lifelike_cameras, render_lifelike
from scing_cli.core.synthetic.lifelike.lifelike_views import Figure, Standing, see
from scing_cli.core.synthetic.lifelike.places import draw_place, paint_place
from scing_cli.core.synthetic.lifelike.sensor import Sensor, draw_sensor, record
from scing_cli.core.synthetic.lifelike.skeleton import FOREARM, UPPER_ARM, Skeleton, draw_posture

PEOPLE = draw_people(16, "test lifelike")
CAMERAS = draw_lifelike_cameras(5, "test lifelike")
CLEAN = Sensor(200, 0, 1, (1, 1, 1), 0, 0, mosaic=False, saturation=1, contrast=1, lift=0, vignette=0, blur=0,
               sharpening=0, motion=0, quality=(95, 95), resized=0)  # fmt: skip


@given(who=st.integers(0, 15), key=st.integers(0, 2**32), yaw=st.floats(-3.2, 3.2))
@settings(deadline=None, max_examples=40)
def test_bones_keep_their_lengths_and_somebody_stands_on_the_ground(who: int, key: int, yaw: float) -> None:
    build = PEOPLE[who].build
    bones = Skeleton(build, draw_posture(dice("posture", key), yaw))
    for axes in (bones.trunk, bones.skull):
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(axes) == pytest.approx(1, abs=1e-4)
    for arm in bones.arms:
        lengths = np.linalg.norm(np.diff(arm, axis=0), axis=1)
        np.testing.assert_allclose(lengths, (UPPER_ARM, FOREARM), rtol=1e-4)
    for leg in bones.legs:
        assert np.linalg.norm(np.diff(leg, axis=0), axis=1).sum() == pytest.approx(
            0.457 - (build.hip_height - 0.5), abs=0.01
        )
    assert 0.8 < max(leg[2, 1] for leg in bones.legs) < 1.02
    assert bones.head[1] < bones.neck[1] < bones.chest[1] < bones.pelvis[1]
    assert bones.arms[0][0, 0] > bones.arms[1][0, 0]  # the left arm is at the left


@pytest.mark.parametrize(("yaw", "front"), [(0.0, True), (math.pi, False)])
def test_the_face_is_seen_from_the_front_alone(yaw: float, *, front: bool) -> None:
    posture = dataclasses.replace(draw_posture(dice("face"), yaw), nod=(0.0, 0.0), twist=0.0, lean=(0.0, 0.0))
    person = next(one for one in PEOPLE if one.head.hair == "short" and not one.hat.kind)
    seen = see(Figure(person, posture, Standing(64, 245, 230, 1.0)), CAMERAS[0], dice("folds"))
    skin, hair = (int((seen.layer.parts[:60] == part).sum()) for part in (Part.SKIN, Part.HAIR))
    assert (skin > hair) == front
    rows = {part: np.argwhere(seen.layer.parts == part)[:, 0].mean() for part in (Part.HAIR, Part.TOP, Part.SHOES)}
    assert rows[Part.HAIR] < rows[Part.TOP] < rows[Part.SHOES]


def test_an_image_is_a_function_of_its_key() -> None:
    one, same, other = (render_lifelike(PEOPLE[0], CAMERAS[0], "test", key) for key in (1, 1, 2))
    assert one == same
    assert one.jpeg != other.jpeg


@given(key=st.integers(0, 2**40), who=st.integers(0, 15), camera=st.integers(0, 4), occluded=st.booleans())
@settings(deadline=None, max_examples=30)
def test_any_image_names_three_attributes_and_hides_what_was_asked(
    key: int, who: int, camera: int, *, occluded: bool
) -> None:
    found = render_lifelike(PEOPLE[who], CAMERAS[camera], "any", key, occluded=occluded)
    assert len(set(found.named)) >= LEAST
    assert all(words in found.caption for words in found.named)
    if occluded:
        assert 0.3 <= found.hidden <= 0.6
    with Image.open(io.BytesIO(found.jpeg)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert 24 <= image.height <= 256
        assert np.asarray(image).std() > 4


def test_wordings_give_the_same_image() -> None:
    usual, two = (render_lifelike(PEOPLE[1], CAMERAS[1], "words", wording=wording) for wording in ("", "unmet"))
    assert usual.jpeg == two.jpeg
    assert (len(usual.captions), len(two.captions)) == (1, 2)


def test_what_the_ranges_of_the_two_looks_set_does_not_overlap() -> None:
    met, unmet = (draw_lifelike_cameras(40, "ranges", look=look) for look in ("lifelike", "unmet"))
    settings = {
        "saturation": lambda camera: (camera.sensor.saturation, camera.sensor.saturation),
        "warmth": lambda camera: (abs(camera.sensor.balance[0] - 1), abs(camera.sensor.balance[0] - 1)),
        "contrast": lambda camera: (camera.sensor.contrast, camera.sensor.contrast),
        "height": lambda camera: (camera.sensor.height, camera.sensor.height),
        "quality": lambda camera: camera.sensor.quality,
        "elevation": lambda camera: (camera.elevation, camera.elevation),
        "sun": lambda camera: (camera.light.towards[1], camera.light.towards[1]),
    }
    for name, read in settings.items():
        least, most = min(read(camera)[0] for camera in met), max(read(camera)[1] for camera in met)
        sides = {"below" if read(camera)[1] < least else "above" if read(camera)[0] > most else "" for camera in unmet}
        assert sides == ({"above"} if name in ("elevation", "warmth") else {"below", "above"}), name


def test_a_clean_sensor_gives_the_picture_back_and_a_mosaic_keeps_grey() -> None:
    grey = Image.new("RGB", SIZE, (128, 128, 128))
    for mosaic in (False, True):
        found = Image.open(io.BytesIO(record(grey, dataclasses.replace(CLEAN, mosaic=mosaic), 1.0, dice("clean"))))
        assert found.height == 200
        pixels = np.asarray(found, dtype=float)
        assert pixels.std() < 1.5
        assert np.ptp(pixels.reshape(-1, 3).mean(axis=0)) < 1.5


def test_a_perfect_sensor_keeps_every_image_sharp() -> None:
    """Whatever is drawn for an image: nothing makes it smaller and larger again, blurs it or adds noise."""
    grain = np.random.default_rng(0).integers(60, 120, (160, round(160 * SIZE[0] / SIZE[1]), 3)).astype(np.uint8)
    sensor, sharp = CAMERAS[0].sensor.perfect(160), []
    for number in range(40):
        found = Image.open(io.BytesIO(record(Image.fromarray(grain), sensor, 1.0, dice("perfect", number))))
        pixels = np.asarray(found, dtype=float)
        assert pixels.shape == grain.shape
        sharp.append(np.abs(np.diff(pixels, axis=1)).mean() / pixels.mean())
    assert min(sharp) > 0.9 * max(sharp)


def test_noise_balance_and_saturation_do_what_they_say() -> None:
    grey, red = Image.new("RGB", SIZE, (128, 128, 128)), Image.new("RGB", SIZE, (150, 90, 90))

    def pixels(picture: Image.Image, **changes: object) -> np.ndarray:
        data = record(picture, dataclasses.replace(CLEAN, **changes), 1.0, dice("sensor"))
        return np.asarray(Image.open(io.BytesIO(data)), dtype=float)

    assert pixels(grey, gain=0.1).std() > 5 * pixels(grey).std()
    warm = pixels(grey, balance=(1.2, 1.0, 0.8)).reshape(-1, 3).mean(axis=0)
    assert warm[0] > warm[1] > warm[2]
    colourful, pale = (np.ptp(pixels(red, saturation=value).reshape(-1, 3).mean(axis=0)) for value in (1.0, 0.3))
    assert pale == pytest.approx(0.3 * colourful, rel=0.25)


@pytest.mark.parametrize("look", RANGES)
def test_sensors_stay_in_their_ranges(look: str) -> None:
    ranges = RANGES[look].sensor
    sensors = [draw_sensor(dice("sensor", number), ranges) for number in range(50)]
    for spans, values in (
        (ranges.heights, [(sensor.height, sensor.height) for sensor in sensors]),
        (ranges.contrasts, [(sensor.contrast, sensor.contrast) for sensor in sensors]),
        (ranges.saturations, [(sensor.saturation, sensor.saturation) for sensor in sensors]),
        (ranges.qualities, [sensor.quality for sensor in sensors]),
    ):
        owners = [[span for span in spans if span[0] <= low <= high <= span[1]] for low, high in values]
        assert all(len(own) == 1 for own in owners)
        assert {own[0] for own in owners} == set(spans)  # each range is met


def test_a_place_looks_alike_in_two_images_but_not_equal() -> None:
    place, elsewhere = draw_place("here"), draw_place("there")
    one, two, other = (paint_place(where, dice("pan", n)) for n, where in enumerate((place, place, elsewhere)))
    assert one.size == SIZE
    assert one.tobytes() != two.tobytes()
    histograms = [np.histogram(np.asarray(image.convert("L")), 16, (0, 256))[0] for image in (one, two, other)]
    distances = [np.abs(histograms[0] - one_of).sum() for one_of in histograms[1:]]
    assert distances[0] < distances[1]


def test_a_lifelike_world_is_the_same_on_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WORTH_PROCESSES", 1)
    given = {"identities": 2, "test_identities": 1, "cameras": 2, "images_per_camera": 1, "look": "lifelike"}
    for name, workers in (("one", 1), ("two", 2)):
        write_world(tmp_path / name, **given, workers=workers)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 9  # 4 to train with, 2 queries, 2 in the gallery, and the captions
    assert all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)
    assert len({Image.open(tmp_path / "one" / path).size for path in files if path.suffix == ".jpg"}) > 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"look": "Lifelike"}, "--look Lifelike: not a look."),
        ({"look": "unmet", "spectra": ("rgb", "nir")}, "several spectra"),
    ],
)
def test_a_world_that_cannot_be_drawn_is_refused(given: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=message):
        write_world(tmp_path / "none", **given)
    assert not (tmp_path / "none").exists()
