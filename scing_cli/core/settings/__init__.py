"""The settings of both training stages, each described once: type, limits, default, and one sentence of help.

A field of a settings class is all that an option, its help, its key in a TOML file and its entry in `run.json` need.
A new setting is a field here and the code that reads it; where only some methods read it, the field names them. A new
method is a row of `METHODS` and a package in `core/methods`.

    field              what one setting is; the base class
    schedule_settings  what both stages share
    prompt_settings    stage 1, and the table of methods
    visual_settings    stage 2
    data_settings      where the images are
    settings_file      settings from a TOML file and from options; settings as JSON
"""

from scing_cli.core.settings.data_settings import DataSettings
from scing_cli.core.settings.field import Setting, Settings, check_used
from scing_cli.core.settings.prompt_settings import (
    METHODS,
    MethodSpec,
    PromptSettings,
    check_method,
    find_method,
    unread,
)
from scing_cli.core.settings.schedule_settings import Schedule
from scing_cli.core.settings.settings_file import TABLES, build_settings, given_settings, read_config, saved_settings
from scing_cli.core.settings.visual_settings import VisualSettings

__all__ = [
    "METHODS",
    "TABLES",
    "DataSettings",
    "MethodSpec",
    "PromptSettings",
    "Schedule",
    "Setting",
    "Settings",
    "VisualSettings",
    "build_settings",
    "check_method",
    "check_used",
    "find_method",
    "given_settings",
    "read_config",
    "saved_settings",
    "unread",
]
