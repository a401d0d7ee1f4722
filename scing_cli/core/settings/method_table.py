"""The table of methods.

To add a method, add a row to `METHODS` and its package to `core/methods` (`methods.load_method` imports it).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from types import MappingProxyType

from scing_cli.core.errors import SettingError
from scing_cli.core.settings.field import IMAGES, PAIRS

DEEP = ("prompt-decoupling",)  # methods with deep prompts
BOUND = ("dmpt",)  # methods that bind spectra by prompts
OF_IDENTITIES = ("scing", "clip-reid", "cocoop")  # methods that learn prompts of identities
CONDITIONED = ("scing", "cocoop")  # methods whose prompts depend on the image
SEEN = ("scing", *DEEP, *BOUND)  # methods that augment images in stage 1


@dataclasses.dataclass(frozen=True)
class MethodSpec:
    """One row of the table of methods.

    Args:
        summary: One line for messages.
        module: Name of the package in `core/methods`, which has the stages of `Method`.
        published: Names of its rows in the paper's tables.
        rows: What a training row is: one of `images`, or one of `pairs` of an image and a caption.
        trains_prompts: Whether stage 1 trains anything; if not, it only makes the run.
        spectral: Whether its model is one of observations even if it reads only the visible images.
        has_stage2: Whether there is a stage 2; if not, stage 1 trains everything.
    """

    summary: str
    module: str
    published: tuple[str, ...] = ()
    rows: str = IMAGES
    trains_prompts: bool = True
    spectral: bool = False
    has_stage2: bool = True


METHODS: Mapping[str, MethodSpec] = MappingProxyType(
    {
        "scing": MethodSpec(
            "SVIP gated visual prompts and PDCA consistency", "scing", ("SCING", "CLIP-ReID + SVIP + PDCA")
        ),
        "clip-reid": MethodSpec("each identity's own tokens, the baseline", "clip_reid", ("CLIP-ReID",)),
        "cocoop": MethodSpec("a meta-net adds the image to every token", "cocoop", ("CoCoOp", "CLIP-ReID + metanet")),
        "prompt-decoupling": MethodSpec(
            "words and images: deep prompts in both encoders, then both are tuned", "prompt_decoupling", rows=PAIRS
        ),
        "direct": MethodSpec(
            "words and images: both encoders are tuned without prompts", "direct", rows=PAIRS, trains_prompts=False
        ),
        "dmpt": MethodSpec(
            "three spectra: prompts in a frozen encoder, and an exchange between spectra",
            "dmpt",
            spectral=True,
            has_stage2=False,
        ),
    }
)


def find_method(name: str) -> MethodSpec:
    """Return the row of a method.

    Raises:
        SettingError: If there is no such method; the message lists all.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        known = "; ".join(f"{key} ({spec.summary})" for key, spec in METHODS.items())
        hint = f"Did you mean {close[0]}? " if close else ""
        raise SettingError(f"--method {name!r} is unknown.", f"{hint}Known: {known}.")
    return METHODS[name]


def rows_of(method: str) -> str:
    """Return the kind of a method's training rows; `images` for a method that is not known."""
    return METHODS[method].rows if method in METHODS else IMAGES
