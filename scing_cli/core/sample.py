"""One observation: its images, its labels and its captions, as a row of a manifest has them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

from scing_cli.core.spectra import COLUMNS as SPECTRUM_COLUMNS
from scing_cli.core.spectra import CROPS, SPECTRA, STRIP, VISIBLE

COLUMNS = ("path", "identity", "camera", "split", "caption")
CAPTION_COLUMN = re.compile(r"caption(?:_([2-9]|[1-9][0-9]+))?")
"""The names of the columns of captions: caption, caption_2, caption_3 and so on."""
SCENE = "scene"
"""The column of the scene: the place and time at which an observation was made."""
OBJECT = "object"
"""The column of what an observation of several spectra shows, where that is not a person: vehicle."""
OBJECTS = ("person", "vehicle")


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One observation of one person.

    Args:
        path: POSIX path relative to the manifest's root, or absolute.
        identity: The person; empty where unknown.
        camera: The camera; empty where unknown.
        split: One of `SPLITS`, or empty.
        caption: A description of this image, or empty.
        extra: Additional columns of the CSV, as (name, value) pairs. Those named caption_2, caption_3 and so on are
            further descriptions.
    """

    path: str
    identity: str = ""
    camera: str = ""
    split: str = ""
    caption: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def captions(self) -> tuple[str, ...]:
        """All descriptions of this image that have a letter or a sign, in the order of the numbers of their columns."""
        further = [(int(found[1]), text) for name, text in self.extra if (found := CAPTION_COLUMN.fullmatch(name))]
        return tuple(text for text in (self.caption, *(text for _, text in sorted(further))) if text.strip())

    @property
    def scene(self) -> str:
        """The scene of this observation; empty where unknown."""
        return dict(self.extra).get(SCENE, "")

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all images, each once; that of the row first."""
        extra = dict(self.extra)
        further = () if extra.get(CROPS) == STRIP else (extra.get(name, "") for name in SPECTRUM_COLUMNS.values())
        return tuple(dict.fromkeys((self.path, *filter(None, further))))

    @property
    def images(self) -> Mapping[str, tuple[str, int | None]]:
        """The image of each spectrum that shows this observation: its path, and its part of a strip or None.

        `path` is the visible image, unless the column of another spectrum names the same file: then there is none.
        """
        extra = dict(self.extra)
        if extra.get(CROPS) == STRIP:
            return {spectrum: (self.path, part) for part, spectrum in enumerate(SPECTRA)}
        further = {spectrum: extra[name] for spectrum, name in SPECTRUM_COLUMNS.items() if extra.get(name)}
        visible = {} if self.path in further.values() else {VISIBLE: self.path}
        return {spectrum: (path, None) for spectrum, path in (visible | further).items()}

    def with_captions(self, captions: Sequence[str]) -> Sample:
        """Return the row with these descriptions instead of its own."""
        first, *further = captions or [""]
        named = tuple((f"caption_{number}", text) for number, text in enumerate(further, 2))
        others = tuple(pair for pair in self.extra if not CAPTION_COLUMN.fullmatch(pair[0]))
        return dataclasses.replace(self, caption=first, extra=(*named, *others))

    def with_paths(self, changed: Callable[[str], str]) -> Sample:
        """Return the row with other paths of its images.

        Args:
            changed: Returns the new path of a path.
        """
        names, path = SPECTRUM_COLUMNS.values(), changed(self.path)
        further = tuple((name, changed(value) if value and name in names else value) for name, value in self.extra)
        return dataclasses.replace(self, path=path, extra=further)
