"""Settings of both training stages. Each one is described once: type, limits, default, and one sentence of help.

The command-line option, its help, the key in a TOML file and the entry in `run.json` all come from the field. To add a
setting, add a field here and the code that reads it; if only some methods read it, the field names them. To add a
method, add a row to `METHODS` and a package to `core/methods`.

    field              description of a setting; the base class of settings
    schedule_settings  settings that both stages share
    method_table       the table of methods
    prompt_settings    stage 1
    visual_settings    stage 2
    data_settings      the data of stage 1
    settings_file      read settings from a TOML file and from options; write them as JSON
"""

from scing_cli.core.settings.data_settings import DataSettings
from scing_cli.core.settings.field import Setting, Settings, check_used
from scing_cli.core.settings.method_table import METHODS, MethodSpec, find_method
from scing_cli.core.settings.prompt_settings import PromptSettings
from scing_cli.core.settings.read_settings import check_method, unread
from scing_cli.core.settings.schedule_settings import Schedule
from scing_cli.core.settings.settings_file import (
    TABLES,
    build_settings,
    given_settings,
    of_method,
    read_config,
    saved_settings,
    with_effect,
)
from scing_cli.core.settings.visual_settings import VisualSettings, check_planned

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
    "check_planned",
    "check_used",
    "find_method",
    "given_settings",
    "of_method",
    "read_config",
    "saved_settings",
    "unread",
    "with_effect",
]
