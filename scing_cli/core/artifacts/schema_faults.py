"""Find the first value of a JSON file that its schema does not allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from scing_cli.core.artifacts.schema_kinds import KINDS
from scing_cli.core.artifacts.schemas import Entry
from scing_cli.core.errors import spelled
from scing_cli.core.settings import PromptSettings, VisualSettings, saved_settings
from scing_cli.core.settings.field import Settings

SHOWN = 60  # characters of a value that a message quotes
STAGE_SETTINGS: Mapping[str, type[Settings]] = MappingProxyType(
    {"train-prompts": PromptSettings, "train-visual": VisualSettings}
)


def find_fault(kind: str, content: Mapping[str, Any]) -> str:
    """Return the first fault of a file's content, with the field and its value; empty if there is none.

    Args:
        kind: A key of `KINDS`.
        content: The parsed JSON object.
    """
    fault = _fault(KINDS[kind], content)
    if not fault and kind == "run":
        stages = content["settings"]
        for stage, settings in STAGE_SETTINGS.items():
            if not fault and stage in stages:
                fault = _settings_fault(settings, stages[stage], f"settings.{stage}", _method_of(stages))
    if not fault and kind in {"prompts stamp", "tower prompts stamp"} and content.get("settings"):
        fault = _settings_fault(PromptSettings, content["settings"], "settings")
    return fault


def _method_of(stages: Mapping[str, Any]) -> str:
    """Return the method that a run's settings of stage 1 name; stage 2 goes on with it."""
    first = stages.get("train-prompts")
    return str(first.get("method", "scing")) if isinstance(first, dict) else "scing"


def _settings_fault(kind: type[Settings], values: object, where: str, method: str = "scing") -> str:
    """Return the first fault of saved settings; settings of another version are ignored."""
    if not isinstance(values, dict):
        return f"{where} is {_shown(values)}: must be an object"
    known = {name.replace("_", "-") for name, field in kind.model_fields.items() if not field.exclude}
    given = {name: value for name, value in values.items() if name in known}
    further = {"method": method} if kind is VisualSettings else {}
    try:
        saved = saved_settings(kind.model_validate({**given, **further}))
    except ValidationError as error:
        return _first(error, where + ".")
    # `model_validate` reads the text "5" as the number 5; the program reads the value as it stands
    changed = [name for name, value in given.items() if not _same(saved[name], value)]
    return (
        f"{where}.{changed[0]} is {_shown(given[changed[0]])}: it has another type than this setting" if changed else ""
    )


def _same(one: object, other: object) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return one == other if numbers else json.dumps(one) == json.dumps(other)


def _fault(kind: type[Entry], content: Mapping[str, Any]) -> str:
    try:
        # As JSON, because strict types of Python would refuse a list for a tuple. Bytes of a file's name that are not
        # UTF-8 stand in it as surrogates, which pydantic refuses: it reads a sign for each.
        named = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogateescape")
        kind.model_validate_json(named.decode("utf-8", "replace"))
    except UnicodeEncodeError as error:
        return f"its content has a lone surrogate, {error.object[error.start]!a}"
    except ValidationError as error:
        return _first(error)
    return ""


def _first(error: ValidationError, where: str = "") -> str:
    """Return the first fault of a content, with the field and its value."""
    first = error.errors(include_url=False)[0]
    field = spelled((where + ".".join(map(str, first["loc"])))[:SHOWN])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{field} is missing"
    if not isinstance(first["input"], dict) or first["type"] != "value_error":
        return f"{field} is {_shown(first['input'])}: {reason[:1].lower()}{reason[1:]}"
    return f"{field.removesuffix('.') or 'its content'}: {reason}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return spelled(text if len(text) <= SHOWN else text[:SHOWN] + "…")
