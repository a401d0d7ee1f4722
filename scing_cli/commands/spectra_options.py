"""The options of observations: the near-infrared and the thermal image of a person, and spectra to take away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NearInfrared = Annotated[
    list[Path] | None,
    typer.Option(
        "--near-infrared",
        help="The near-infrared image of the photo, or a query without one; once for each photo, in their order.",
        metavar="IMAGE",
    ),
]
Thermal = Annotated[
    list[Path] | None,
    typer.Option("--thermal", help="The thermal image, in the same way.", metavar="IMAGE"),
]
Drop = Annotated[
    str | None,
    typer.Option(
        "--drop",
        help="Take spectra away from every image, such as near-infrared,thermal; each: all cases, one after the other.",
        metavar="SPECTRA|each",
    ),
]
