"""Where the images are: the table `[data]` of a settings file."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.settings.field import Settings


class DataSettings(Settings):
    """The data of a stage 1. Several commands take them as options; `commands.options` has their help."""

    path: Path | None = None
    layout: str = "auto"
    include_val: bool = False
