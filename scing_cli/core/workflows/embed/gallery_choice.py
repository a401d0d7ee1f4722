"""Which images `embed` embeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from scing_cli.core.errors import SettingError
from scing_cli.core.paths import StrPath


@dataclasses.dataclass(frozen=True)
class GalleryChoice:
    """The images to embed.

    Args:
        data: A data set, or several, whose people and cameras stay apart; None for the one that the run was trained on.
        layout: The layout of each data set.
        split: The part to embed: train, val, query, gallery or all.
        images: Any folder of images, or several, instead of a data set; needs no labels.
    """

    data: StrPath | Sequence[StrPath] | None = None
    layout: str = "auto"
    split: str = "gallery"
    images: StrPath | Sequence[StrPath] | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.images is not None:
            raise SettingError(
                "--data and --images were both given.", "--images takes a plain folder, --data a data set."
            )
