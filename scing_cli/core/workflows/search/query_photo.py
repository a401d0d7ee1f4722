"""What shows the person of a query: a photo, and the near-infrared and thermal images of the same moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from scing_cli.core.spectra import COLUMNS, VISIBLE, Observation, Source, View


@dataclasses.dataclass(frozen=True)
class Photo:
    """What shows the person of one query.

    Args:
        file: The photo; of a query without a visible image the first other one.
        views: The image of each spectrum; empty for a photo alone.
    """

    file: Path
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)

    def source(self, spectra: Sequence[str]) -> Source:
        """Return what a model of these spectra reads; one of ordinary images, which has none, reads the visible one."""
        own = self.views or {VISIBLE: View(self.file)}
        if spectra:
            return Observation(tuple(own.get(spectrum) for spectrum in spectra))
        return self.file if own[VISIBLE].part is None else Observation((own[VISIBLE],))

    @property
    def spectra(self) -> tuple[str, ...]:
        """The spectra of the images."""
        return tuple(self.views) or (VISIBLE,)

    @property
    def is_strip(self) -> bool:
        """Whether one file shows all images side by side."""
        return any(view.part is not None for view in self.views.values())

    @property
    def picture(self) -> Source:
        """All images together; the file of a photo alone."""
        return Observation(tuple(self.views.values())) if self.views else self.file

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of all images, each once."""
        return tuple(dict.fromkeys(view.file for view in self.views.values())) or (self.file,)

    def named(self) -> dict[str, str]:
        """Return the paths by name, for JSON: photo, near_infrared, thermal."""
        names = {VISIBLE: "photo", **COLUMNS}
        if self.is_strip:
            return {"photo": str(self.file)}
        views = self.views or {VISIBLE: View(self.file)}
        return {names[spectrum]: str(view.file) for spectrum, view in views.items()}
