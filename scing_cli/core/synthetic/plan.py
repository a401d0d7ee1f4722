"""List the images of a synthetic data set, and draw one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from scing_cli.core.synthetic.cameras import Camera, draw_cameras
from scing_cli.core.synthetic.dice import chance, dice
from scing_cli.core.synthetic.lifelike import RANGES, LifelikeCamera, draw_lifelike_cameras, render_lifelike
from scing_cli.core.synthetic.people import Person, draw_people
from scing_cli.core.synthetic.spectral_cameras import in_spectrum
from scing_cli.core.synthetic.views import render_spectrum, render_view

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
FOLDERS = (TRAIN, QUERY, GALLERY)
SPLITS: Mapping[str, str] = MappingProxyType({TRAIN: "train", QUERY: "query", GALLERY: "gallery"})
DRAWN = "drawn"
LOOKS = (DRAWN, *RANGES)  # how people and cameras look
SPECTRAL_FOLDERS: Mapping[str, str] = MappingProxyType({"rgb": "RGB", "nir": "NI", "tir": "TI"})
"""Spectrum -> the folder of its images in each part of a data set of several spectra."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What decides a synthetic data set; see the arguments of `write_world`."""

    identities: int
    cameras: int
    images_per_camera: int
    occluded_queries: bool
    seed: int
    test_identities: int
    occluded_training: float = 0.0
    wording: str = ""
    spectra: tuple[str, ...] = ()
    night: bool = False
    look: str = DRAWN

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders with images, relative to the folder of the data set."""
        kinds = [SPECTRAL_FOLDERS[spectrum] for spectrum in self.spectra]
        return tuple(f"{SPLITS[name]}/{kind}" for name in FOLDERS for kind in kinds) or FOLDERS


@dataclasses.dataclass(frozen=True, slots=True)
class Shot:
    """One image to draw. People (`identity`) and cameras are numbered from 1."""

    folder: str
    identity: int
    person: Person
    camera_number: int
    camera: Camera | LifelikeCamera
    index: int
    occluded: bool

    @property
    def path(self) -> str:
        """Path of the image, relative to the folder of the data set."""
        return f"{self.folder}/{self.name}"

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"{self.identity:04d}_c{self.camera_number}s1_{self.index:06d}_00.jpg"

    def path_in(self, spectrum: str) -> str:
        """Return the path of the image of a spectrum, in a data set of several spectra."""
        return f"{SPLITS[self.folder]}/{SPECTRAL_FOLDERS[spectrum]}/{self.name}"


def plan(settings: Settings) -> Iterator[Shot]:
    """Yield every image of a data set, ordered by part, person, camera and number.

    Training people are numbered 1 to N, test people from N + 1 on. Queries have the index 1, gallery images the indices
    after it.
    """
    cameras = list(enumerate(_cameras(settings), start=1))
    images = settings.images_per_camera
    parts = ((TRAIN, 0, range(1, 1 + images)), (QUERY, 1, range(1, 2)), (GALLERY, 1, range(2, 2 + images)))
    for folder, test, indices in parts:
        count = settings.test_identities if test else settings.identities
        people = draw_people(count, "world", settings.seed, "test" if test else "train")
        share = {TRAIN: settings.occluded_training, QUERY: float(settings.occluded_queries), GALLERY: 0.0}[folder]
        for identity, person in enumerate(people, start=1 + test * settings.identities):
            for number, camera in cameras:
                for index in indices:
                    key = ("world", settings.seed, identity, number, index, "occluded")
                    # The first test saves time: to make a generator for every image is slow.
                    occluded = share > 0 and chance(dice(*key), share)
                    yield Shot(folder, identity, person, number, camera, index, occluded)


def _cameras(settings: Settings) -> Sequence[Camera | LifelikeCamera]:
    key = ("world", settings.seed)
    if settings.look == DRAWN:
        return draw_cameras(settings.cameras, *key)
    return draw_lifelike_cameras(settings.cameras, *key, look=settings.look)


def draw_shot(folder: Path, settings: Settings, shot: Shot) -> list[str]:
    """Write one image, or one for each spectrum, into the folder of the data set and return the captions.

    Images of several spectra have no captions.
    """
    key = ("world", settings.seed, shot.identity, shot.camera_number, shot.index)
    if isinstance(shot.camera, Camera):
        for spectrum in settings.spectra:
            place = ("world", settings.seed, "camera", shot.camera_number)
            camera = in_spectrum(shot.camera, spectrum, *place, night=settings.night)
            (folder / shot.path_in(spectrum)).write_bytes(
                render_spectrum(shot.person, camera, *key, occluded=shot.occluded)
            )
    if settings.spectra:
        return []
    occluded, wording = shot.occluded, settings.wording
    if isinstance(shot.camera, LifelikeCamera):
        result = render_lifelike(shot.person, shot.camera, *key, occluded=occluded, wording=wording)
    else:
        result = render_view(shot.person, shot.camera, *key, occluded=occluded, wording=wording)
    (folder / shot.path).write_bytes(result.jpeg)
    return [caption.text for caption in result.captions]
