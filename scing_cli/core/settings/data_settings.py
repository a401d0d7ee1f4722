"""Settings of the data: the table `[data]` of a settings file."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.settings.field import Settings


class DataSettings(Settings):
    """The data of stage 1. Several commands have these options; their help is in `commands.options`."""

    path: Path | None = None
    layout: str = "auto"
    include_val: bool = False
