"""The one table of methods: what each is, where it lies, which settings only it reads, what the paper's tables call it.

It costs nothing to import; `methods.load_method` loads a row's package.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from scing_cli.core.errors import SettingError

if TYPE_CHECKING:
    from scing_cli.core.config import PromptSettings


@dataclasses.dataclass(frozen=True)
class MethodSpec:
    """One row of the table.

    Args:
        summary: One line for messages.
        module: The package in `methods` that is a `Method`.
        published: Its rows in the paper's tables.
        reads: The settings of stage 1 that not every method reads, and this one does.
    """

    summary: str
    module: str
    published: tuple[str, ...]
    reads: tuple[str, ...] = ()


CONDITION = ("identity_text",)
SVIP = ("gate", "fused_tokens")
PDCA = ("consistency", "consistency_weight", "views", "feature_dropout", "occlusion", "flip", "erase", "crop")
OPTIONS = {"consistency": "--no-consistency"}  # where an option is not called as its setting

METHODS: Mapping[str, MethodSpec] = MappingProxyType(
    {
        "scing": MethodSpec(
            "SVIP gated visual prompts and PDCA consistency",
            "scing",
            ("SCING", "CLIP-ReID + SVIP + PDCA"),
            (*CONDITION, *SVIP, *PDCA),
        ),
        "clip-reid": MethodSpec("each identity's own tokens, the baseline", "clip_reid", ("CLIP-ReID",)),
        "cocoop": MethodSpec(
            "a meta-net adds the image to every token",
            "cocoop",
            ("CoCoOp", "CLIP-ReID + metanet"),
            CONDITION,
        ),
    }
)


def find_method(name: str) -> MethodSpec:
    """Return a method's row.

    Raises:
        SettingError: If the table has no such row; the message lists the rows.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        known = "; ".join(f"{key} ({spec.summary})" for key, spec in METHODS.items())
        hint = f"Did you mean {close[0]}? " if close else ""
        raise SettingError(f"--method {name!r} is unknown.", f"{hint}Known: {known}.")
    return METHODS[name]


def unread(method: str) -> frozenset[str]:
    """Return the settings of stage 1 that other methods read, and this one does not.

    >>> sorted(unread("cocoop") & {"gate", "identity_text", "epochs"})
    ['gate']
    """
    return frozenset(name for spec in METHODS.values() for name in spec.reads) - set(find_method(method).reads)


def check_method(settings: PromptSettings) -> None:
    """Refuse what was given, by option or file, and the method does not read.

    Raises:
        SettingError: Naming those settings; or if there is no such method.
    """
    given = unread(settings.method) & settings.model_fields_set
    options = [
        OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in type(settings).model_fields if name in given
    ]
    if options:
        raise SettingError(
            f"{', '.join(options)}: --method {settings.method} has no use for {'it' if len(options) == 1 else 'them'}.",
            "Leave out what belongs to another method, on the command line and in the --config file.",
        )
