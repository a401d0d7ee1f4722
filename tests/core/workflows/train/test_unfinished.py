"""Settings of a training that goes on with a newer version of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from scing_cli.core.errors import SettingError
from scing_cli.core.settings import PromptSettings, build_settings, saved_settings
from scing_cli.core.workflows.train.unfinished import Unfinished


def begun(folder: Path, given: dict[str, object], **then: object) -> Unfinished:
    """Return a training with some defaults of another time."""
    settings = saved_settings(build_settings(PromptSettings, given, {})) | then
    return Unfinished(folder, "prompts", {"settings": settings}, {"settings": given}, {})


def test_defaults_of_the_start_are_kept(tmp_path: Path) -> None:
    training = begun(tmp_path, {"epochs": 5}, condition="unit")
    settings = training.settings(PromptSettings, {})
    assert (settings.condition, settings.epochs) == ("unit", 5)
    assert training.settings(PromptSettings, {"condition": "unit"}) == settings
    with pytest.raises(SettingError, match="condition is unit there, raw here"):
        training.settings(PromptSettings, {"condition": "raw"})


def test_settings_that_did_not_exist_then_have_todays_defaults(tmp_path: Path) -> None:
    training = begun(tmp_path, {"lr": 1e-3})
    older = {name: value for name, value in training.facts["settings"].items() if name != "condition"}
    settings = Unfinished(tmp_path, "prompts", {"settings": older}, training.given, {}).settings(PromptSettings, {})
    assert settings == build_settings(PromptSettings, {"lr": 1e-3}, {})
