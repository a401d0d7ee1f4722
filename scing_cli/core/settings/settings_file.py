"""Read settings from a TOML file and from options, and check them; write settings as JSON.

A file may have the tables `[data]`, `[train-prompts]` and `[train-visual]`. A key is the name of a field with dashes
(`fused-tokens = 2`). Options override the file, and the file overrides defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.safe_reading import read_limited
from scing_cli.core.settings.data_settings import DataSettings
from scing_cli.core.settings.field import Settings, check_used
from scing_cli.core.settings.method_table import METHODS
from scing_cli.core.settings.prompt_settings import PromptSettings
from scing_cli.core.settings.read_settings import check_method, unread
from scing_cli.core.settings.visual_settings import VisualSettings, check_loss

MOST = 2**14  # bytes of a settings file: time to parse a dotted TOML key grows with the square of its parts
TABLES: Mapping[str, type[Settings]] = {
    "data": DataSettings,
    "train-prompts": PromptSettings,
    "train-visual": VisualSettings,
}
_TYPES: Mapping[type, tuple[type, ...]] = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}
_NAMES: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
Kind = TypeVar("Kind", bound=Settings)


def read_config(source: Path | None) -> dict[str, dict[str, Any]]:
    """Read the tables of a settings file; without a file, all tables are empty.

    All tables are checked, also unused ones: their keys, and every value by itself. `build_settings` checks whether
    values fit together, because options can still change them. The file may be a pipe, as in `--config <(command)`.

    Args:
        source: The file, of at most `MOST` bytes; None for no file.

    Raises:
        SettingError: If the file cannot be read, or has an unknown table, an unknown key, or a value out of range.
    """
    if source is None:
        return {name: {} for name in TABLES}
    import tomllib

    try:
        content = tomllib.loads(read_limited(source, MOST).decode("utf-8-sig"))
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
    # no setting is a table: this one would be an unknown table of the file
    nested = [f"[{name}.{spelled(key)}]" for name in TABLES for key, value in tables[name].items() if _is_table(value)]
    if nested:
        raise SettingError(f"{source} has an unknown entry {nested[0]}.", f"Known tables: [{'], ['.join(TABLES)}].")
    for name, kind in TABLES.items():
        _check_values(kind, tables[name], f"{source}, [{name}]: ")
    return tables


def _check_values(kind: type[Settings], table: Mapping[str, Any], where: str) -> None:
    """Check the keys of a table, and each value by itself.

    Raises:
        SettingError: For what is unknown, out of range or of another type.
    """
    if kind is VisualSettings and "method" in table:
        raise SettingError(f"{where}method is a setting of [train-prompts], which stage 2 takes over.", "Leave it out.")
    try:
        kind.model_validate(_given(table))
    except ValidationError as error:
        # errors without a field come from validators of several values
        single = [entry for entry in error.errors(include_url=False) if entry["loc"]]
        if single:
            raise _setting_error(kind, single, where) from None
    _check_types(kind, table, where)


def _check_types(kind: type[Settings], table: Mapping[str, Any], where: str) -> None:
    """Check that values that can be read have the type of their setting too: "1" is not a number, and true is not 1.

    Raises:
        SettingError: For the first value of another type.
    """
    for key, value in table.items():
        field = kind.model_fields[key.replace("-", "_")]
        alone: Any = field.annotation  # with its constraints, but without its alias, which belongs to the whole class
        for constraint in field.metadata:
            alone = Annotated[alone, constraint]
        read = TypeAdapter[Any](alone).validate_python(value)
        first = read[0] if isinstance(read, tuple) and read else read
        if not _is_of_type(value, read):
            reason = f"must be {_NAMES[type(first)]}{', without quotes' if isinstance(value, str) else ''}"
            shown = json.dumps(value, ensure_ascii=False)
            raise SettingError(f"{where}{key} = {spelled(shown)}: {reason}.")


def _is_of_type(value: Any, read: Any) -> bool:
    """Return whether a value of a file has the type of what it was read as; one value may stand for a list of one."""
    if isinstance(value, list):
        return isinstance(read, tuple) and all(map(_is_of_type, value, read))
    if isinstance(read, tuple):
        return all(_is_of_type(value, each) for each in read)
    return type(value) in _TYPES.get(type(read), (type(value),))


def _is_table(value: Any) -> bool:
    """True if a value is a table, or a list with tables or lists in it."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value))


def build_settings(kind: type[Kind], table: Mapping[str, Any], options: Mapping[str, Any]) -> Kind:
    """Return checked settings from defaults, a file and options.

    Args:
        kind: The settings class.
        table: Values of the file, which override defaults.
        options: Values of the command line, which override the file; None if an option was not given.

    Raises:
        SettingError: If a setting is unknown or out of range; the message names all such settings and their values.
    """
    try:
        return kind.model_validate(_given(table) | _given(options))
    except ValidationError as error:
        raise _setting_error(kind, error.errors(include_url=False)) from None


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None, keyed by option name."""
    return {name.replace("_", "-"): value for name, value in values.items() if value is not None}


def _setting_error(kind: type[Settings], entries: Sequence[Any], where: str = "") -> SettingError:
    """Return an error that lists all faults found by pydantic."""
    unknown = any(entry["type"] == "extra_forbidden" for entry in entries)
    known = ", ".join(name.replace("_", "-") for name, field in kind.model_fields.items() if not field.exclude)
    return SettingError(where + "\n".join(map(_fault, entries)), f"Known settings here: {known}." if unknown else "")


def _fault(entry: Any) -> str:
    option = "--" + str(entry["loc"][0]) if entry["loc"] else ""
    if entry["type"] == "extra_forbidden":
        return f"unknown setting {entry['loc'][0]!r}"
    reason = _reason(entry)
    value = entry["input"]
    shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else value
    return f"{option} {spelled(shown)}: {reason}" if option else reason


def _reason(entry: Any) -> str:
    """Return what a value must be; pydantic's own words only for checks that are written in ours."""
    limits = {name: _limit(value) for name, value in entry.get("ctx", {}).items()}
    reasons = {
        "greater_than_equal": "must be at least {ge}",
        "greater_than": "must be more than {gt}",
        "less_than_equal": "must be at most {le}",
        "less_than": "must be less than {lt}",
        "literal_error": "must be {expected}",
        "finite_number": "must be a finite number",
        **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be a whole number"),
        **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
        **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
        **dict.fromkeys(("string_type", "path_type"), "must be a text"),
        **dict.fromkeys(("string_unicode", "path_unicode"), "must be valid UTF-8"),
        "tuple_type": "must be a list",
    }
    own = reasons.get(entry["type"])
    return f"{own.format(**limits)}." if own else str(entry["msg"]).removeprefix("Value error, ")


def _limit(value: Any) -> str:
    """Return a limit of a range as text; whole numbers without a fraction, all else as it is."""
    whole = isinstance(value, int | float) and value == int(value)
    return f"{int(value):,}" if whole else str(value)


def saved_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as JSON-ready values, keyed by option name."""
    return settings.model_dump(mode="json", by_alias=True)


def with_effect(stage: str, method: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the saved settings of a stage without those that the method does not read or that other values make idle.

    Args:
        stage: A table of settings.
        method: The method of the run; of one that is not known, all settings are returned.
        values: The settings as `saved_settings` returns them.
    """
    kind = TABLES.get(stage)
    if kind is None or method not in METHODS:
        return dict(values)
    idle = set(unread(method, kind))
    for name, setting in kind.described():
        if any(values.get(other.replace("_", "-"), ...) == value for other, value in setting.idle_with):
            idle.add(name)
    return {name: value for name, value in values.items() if name.replace("-", "_") not in idle}


def of_method(settings: VisualSettings, method: str) -> VisualSettings:
    """Return settings of stage 2 with the defaults of a run's method, which `settings` need not name.

    Raises:
        SettingError: If they name another method, the method does not read one of them, or has other losses.
    """
    if settings.method != method:
        if "method" in settings.model_fields_set:
            raise SettingError(
                f"These settings of stage 2 are of --method {settings.method}, and the run's stage 1 is of {method}.",
                "Leave the method out: stage 2 goes on with that of stage 1.",
            )
        settings = build_settings(VisualSettings, given_settings(settings), {"method": method})
    check_method(settings)
    check_loss(settings.method, settings.stage2_loss)
    check_used(settings)
    return settings


def given_settings(settings: Settings) -> dict[str, Any]:
    """Return only the settings that were given, as JSON-ready values keyed by option name."""
    return settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
