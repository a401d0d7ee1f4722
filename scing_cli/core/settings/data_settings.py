"""Settings of the data: the table `[data]` of a settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from scing_cli.core.settings.field import Settings


def _several(value: Any) -> Any:
    """Return one path as a list of one."""
    return value if value is None or isinstance(value, list | tuple) else [value]


class DataSettings(Settings):
    """The data of stage 1. Several commands have these options; their help is in `commands.options`."""

    path: Annotated[tuple[Path, ...] | None, BeforeValidator(_several)] = None
    layout: str = "auto"
    include_val: bool = False
