"""The options of `scing prepare` that draw a synthetic data set."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def _synthetic(name: str, *, text: str, least: int | None = None, most: int | None = None) -> Any:
    """Declare an option that needs `--synthetic`. Its value is None if it is not given; `text` names the default."""
    return typer.Option(name, help=text, min=least, max=most, rich_help_panel="With --synthetic", show_default=False)


Synthetic = Annotated[bool, typer.Option("--synthetic", help="Create a synthetic data set in DIR first.")]
Identities = Annotated[
    int | None, _synthetic("--identities", text="People in the training split (default: 32).", least=2)
]
TestIdentities = Annotated[
    int | None, _synthetic("--test-identities", text="Other people, in the test split (default: as many).", least=1)
]
Cameras = Annotated[int | None, _synthetic("--cameras", text="Number of cameras (default: 4).", least=1)]
ImagesPerCamera = Annotated[
    int | None, _synthetic("--images-per-camera", text="Images of each person by each camera (default: 2).", least=1)
]
OccludedQueries = Annotated[
    bool | None, _synthetic("--occluded-queries", text="Hide 30-60 % of the body in every query.")
]
OccludedTraining = Annotated[
    float | None,
    _synthetic(
        "--occluded-training",
        text="Do the same in this share of the training images, 0 to 1 (default: 0).",
        least=0,
        most=1,
    ),
]
Wording = Annotated[
    str | None,
    _synthetic(
        "--wording",
        text="Write two captions per image: usual, or unmet for words and sentences that no shipped model has met "
        "(default: one caption in usual words).",
    ),
]
Spectra = Annotated[
    str | None,
    _synthetic(
        "--spectra",
        text="One image per spectrum, such as rgb,nir,tir (visible, near-infrared, thermal), without captions "
        "(default: visible images with captions).",
    ),
]
Night = Annotated[
    bool | None, _synthetic("--night", text="With --spectra: make visible images dark and noisy, as at night.")
]
Look = Annotated[
    str | None,
    _synthetic(
        "--look",
        text="drawn, lifelike for bodies, light and sensors as in photographs, or unmet for the same by cameras with "
        "other heights, light, sizes and colours (default: drawn).",
    ),
]
