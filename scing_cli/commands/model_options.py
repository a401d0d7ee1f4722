"""The options of a plain CLIP instead of a run: `--model`, its weights and its pixels."""

from __future__ import annotations

from typing import Annotated

import typer

MODEL = "Model"  # the title of the panel

PlainModel = Annotated[
    str | None,
    typer.Option(
        "--model", help="A plain CLIP instead of a run, such as scing-tiny.", metavar="NAME", rich_help_panel=MODEL
    ),
]
PlainPretrained = Annotated[
    str | None,
    typer.Option("--pretrained", help="Weights of --model.", metavar="TAG|FILE|random", rich_help_panel=MODEL),
]
PlainStride = Annotated[
    int | None, typer.Option("--stride", help="Patch stride of --model.", metavar="16|12", rich_help_panel=MODEL)
]
PlainStatistics = Annotated[
    str,
    typer.Option(
        "--statistics",
        help="Pixel mean and deviation of --model: what its folder states, 0.5, or CLIP's own.",
        metavar="auto|half|clip",
        rich_help_panel=MODEL,
    ),
]
PlainInterpolation = Annotated[
    str,
    typer.Option(
        "--interpolation",
        help="Resizing for --model: what its folder states (else bicubic), or one of these.",
        metavar="auto|bicubic|bilinear",
        rich_help_panel=MODEL,
    ),
]
