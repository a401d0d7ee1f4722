"""Settings from a TOML file and from options, checked once; settings as JSON. Messages name the option.

One file may hold the tables `[data]`, `[train-prompts]` and `[train-visual]`; a key is the field's name with dashes
(`fused-tokens = 2`). Order: defaults < file < options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.safe_reading import read_limited
from scing_cli.core.settings.data_settings import DataSettings
from scing_cli.core.settings.field import Settings
from scing_cli.core.settings.prompt_settings import PromptSettings
from scing_cli.core.settings.visual_settings import VisualSettings

MOST = 2**14  # bytes of a settings file; names of many parts cost TOML the square of their number
TABLES: Mapping[str, type[Settings]] = {
    "data": DataSettings,
    "train-prompts": PromptSettings,
    "train-visual": VisualSettings,
}
Kind = TypeVar("Kind", bound=Settings)


def read_config(source: Path | None) -> dict[str, dict[str, Any]]:
    """Read a settings file into its tables; no file gives empty ones.

    Every table is checked, used or not: its keys, and each value alone. Whether values go together is a question to
    the settings that options and file make up in the end (`build_settings`).

    A pipe may stand for the file, as in `--config <(command)`: one that nobody writes to is waited for. No more than
    `MOST` bytes are read of anything.

    Raises:
        SettingError: If the file cannot be read, or holds an unknown table or key, or a value that is out of range.
    """
    if source is None:
        return {name: {} for name in TABLES}
    import tomllib

    try:
        content = tomllib.loads(read_limited(source, MOST).decode("utf-8"))
    except FileNotFoundError:
        raise SettingError(f"--config {source}: there is no such file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(
            f"--config {source} cannot be read: {error}.", "It must be TOML, as in examples/configs."
        ) from error
    for name, table in content.items():
        if name not in TABLES or not isinstance(table, dict):
            raise SettingError(
                f"{source} has an unknown entry [{spelled(name)}].", f"Known tables: [{'], ['.join(TABLES)}]."
            )
    tables = {name: dict(content.get(name, {})) for name in TABLES}
    deeper = [f"[{name}.{spelled(key)}]" for name in TABLES for key, value in tables[name].items() if _is_table(value)]
    if deeper:
        raise SettingError(f"{source} has an unknown entry {deeper[0]}.", f"Known tables: [{'], ['.join(TABLES)}].")
    for name, kind in TABLES.items():
        try:
            kind.model_validate(_given(tables[name]))
        except ValidationError as error:
            alone = [entry for entry in error.errors(include_url=False) if entry["loc"]]  # the others name no field
            if alone:
                raise _refusal(kind, alone, f"{source}, [{name}]: ") from None
    return tables


def _is_table(value: Any) -> bool:
    """Tell whether a value is a table, or a list of anything but plain values; no setting is."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(own, dict | list) for own in value))


def build_settings(kind: type[Kind], table: Mapping[str, Any], options: Mapping[str, Any]) -> Kind:
    """Return checked settings: defaults < `table` of a file < `options` that are not None.

    Raises:
        SettingError: Naming every option that is unknown or out of range, with its value.
    """
    try:
        return kind.model_validate(_given(table) | _given(options))
    except ValidationError as error:
        raise _refusal(kind, error.errors(include_url=False)) from None


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None, under their options' names."""
    return {name.replace("_", "-"): value for name, value in values.items() if value is not None}


def _refusal(kind: type[Settings], entries: Sequence[Any], where: str = "") -> SettingError:
    """Return the error that tells all faults pydantic found."""
    unknown = any(entry["type"] == "extra_forbidden" for entry in entries)
    known = ", ".join(field.replace("_", "-") for field in kind.model_fields)
    return SettingError(where + "\n".join(map(_fault, entries)), f"Known settings here: {known}." if unknown else "")


def _fault(entry: Any) -> str:
    option = "--" + str(entry["loc"][0]) if entry["loc"] else ""
    if entry["type"] == "extra_forbidden":
        return f"unknown setting {entry['loc'][0]!r}"
    reason = str(entry["msg"]).removeprefix("Value error, ")
    value = entry["input"]
    shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else value
    return f"{option} {spelled(shown)}: {reason}" if option else reason


def saved_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as JSON-ready values, keyed by option name."""
    return settings.model_dump(mode="json", by_alias=True)


def given_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that were given, as `saved_settings` does all of them."""
    return settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
