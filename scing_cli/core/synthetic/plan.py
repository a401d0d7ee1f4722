"""The images of a world: which there are, and what each is a function of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.synthetic.cameras import Camera, draw_cameras
from scing_cli.core.synthetic.dice import chance, dice
from scing_cli.core.synthetic.people import Person, draw_people
from scing_cli.core.synthetic.views import render_view

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
FOLDERS = (TRAIN, QUERY, GALLERY)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a world is a function of; `write_world` describes each."""

    identities: int
    cameras: int
    images_per_camera: int
    occluded_queries: bool
    seed: int
    test_identities: int
    occluded_training: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Shot:
    """One image to draw: its folder, whom (numbered from 1, as the camera) and how."""

    folder: str
    identity: int
    person: Person
    camera_number: int
    camera: Camera
    index: int
    occluded: bool

    @property
    def path(self) -> str:
        """The image's path in the world's folder."""
        return f"{self.folder}/{self.identity:04d}_c{self.camera_number}s1_{self.index:06d}_00.jpg"


def plan(settings: Settings) -> Iterator[Shot]:
    """Yield every image of a world, by part, person, camera and number.

    Train people are numbered 1 to N, test people from N + 1 on; queries have the index 1, gallery images the next ones.
    """
    cameras = list(enumerate(draw_cameras(settings.cameras, "world", settings.seed), start=1))
    many = settings.images_per_camera
    parts = ((TRAIN, 0, range(1, 1 + many)), (QUERY, 1, range(1, 2)), (GALLERY, 1, range(2, 2 + many)))
    for folder, test, indices in parts:
        count = settings.test_identities if test else settings.identities
        people = draw_people(count, "world", settings.seed, "test" if test else "train")
        share = {TRAIN: settings.occluded_training, QUERY: float(settings.occluded_queries), GALLERY: 0.0}[folder]
        for identity, person in enumerate(people, start=1 + test * settings.identities):
            for number, camera in cameras:
                for index in indices:
                    key = ("world", settings.seed, identity, number, index, "occluded")
                    chosen = share > 0 and chance(dice(*key), share)  # dice are dear: none where none is needed
                    yield Shot(folder, identity, person, number, camera, index, chosen)


def draw_shot(folder: Path, seed: int, shot: Shot) -> str:
    """Draw one image into the world's folder and return its caption."""
    key = ("world", seed, shot.identity, shot.camera_number, shot.index)
    result = render_view(shot.person, shot.camera, *key, occluded=shot.occluded)
    (folder / shot.path).write_bytes(result.jpeg)
    return result.caption
