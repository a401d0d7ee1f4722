"""The options of an evaluation of words."""

from __future__ import annotations

from typing import Annotated

import typer

Queries = Annotated[
    str,
    typer.Option(
        "--queries",
        help="What the queries are: images, or text: each caption of the test, among all its images.",
        metavar="images|text",
    ),
]
Direction = Annotated[
    str | None,
    typer.Option(
        "--direction",
        help="With --queries text: search images by captions (default), or captions by images.",
        metavar="text-to-image|image-to-text",
    ),
]
