"""Which settings a method reads: a setting says so with its `methods` and `rows`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from scing_cli.core.errors import SettingError
from scing_cli.core.settings.field import MODEL, Settings, option_of
from scing_cli.core.settings.method_table import find_method
from scing_cli.core.settings.prompt_settings import PromptSettings

if TYPE_CHECKING:
    from scing_cli.core.settings.visual_settings import VisualSettings


def unread(method: str, kind: type[Settings] | None = None) -> frozenset[str]:
    """Return the settings of a stage that the method does not read, but other methods do.

    Args:
        method: The method.
        kind: The settings of the stage; None for stage 1.

    Raises:
        SettingError: If there is no such method.

    >>> sorted(unread("cocoop") & {"gate", "identity_text", "epochs"})
    ['gate']
    >>> sorted(unread("direct") & {"tokens", "epochs", "stride"})
    ['epochs', 'tokens']
    """
    spec, kind = find_method(method), kind or PromptSettings
    idle = kind is PromptSettings and not spec.trains_prompts
    return frozenset(
        name
        for name, setting in kind.described()
        if (setting.methods and method not in setting.methods)
        or setting.rows not in ("", spec.rows)
        or (idle and setting.panel != MODEL and name not in ("method", "seed"))
    )


def check_method(settings: PromptSettings | VisualSettings) -> None:
    """Check that the method reads every setting given by option or file.

    Raises:
        SettingError: If it does not; the message names those settings. Or if there is no such method.
    """
    check_read(settings.method, type(settings), settings.model_fields_set)


def check_read(method: str, kind: type[Settings], names: Iterable[str]) -> None:
    """Check that a method reads these settings of a stage.

    Raises:
        SettingError: If it does not; the message names them. Or if there is no such method.
    """
    given = unread(method, kind) & set(names)
    options = [option_of(name, setting) for name, setting in kind.described() if name in given]
    if options:
        raise SettingError(
            f"{', '.join(options)} {'is' if len(options) == 1 else 'are'} not read by --method {method}.",
            "Leave out what belongs to another method, on the command line and in the --config file.",
        )
