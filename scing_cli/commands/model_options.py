"""The options of a plain CLIP or a file instead of a run: `--model`, its weights, its pixels and its cameras."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scing_cli.core.spectra import parse_spectra

if TYPE_CHECKING:
    from scing_cli.core.workflows.shared.model import ModelChoice

MODEL = "Model"  # the title of the panel

PlainModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A plain CLIP instead of a run, such as scing-small; or any encoder as ONNX or OpenVINO IR (.onnx, .xml).",
        metavar="NAME|FILE",
        rich_help_panel=MODEL,
    ),
]
MovedModel = Annotated[
    Path | None,
    typer.Option("--model", help="The model that made the index, without a run, if it was moved.", metavar="PLACE"),
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
        help="Pixel mean and deviation of --model: as stated with it, 0.5, CLIP's own, or (of a file) ImageNet's.",
        metavar="auto|half|clip|imagenet",
        rich_help_panel=MODEL,
    ),
]
PlainInterpolation = Annotated[
    str,
    typer.Option(
        "--interpolation",
        help="Resizing for --model: as stated with it (else bicubic; bilinear for a file), or one of these.",
        metavar="auto|bicubic|bilinear",
        rich_help_panel=MODEL,
    ),
]
PlainCameras = Annotated[
    str | None,
    typer.Option(
        "--cameras",
        help="Names for the camera vectors in --pretrained, in their order.",
        metavar="NAME,NAME,...",
        rich_help_panel=MODEL,
    ),
]
PlainCameraFactor = Annotated[
    float,
    typer.Option(
        "--camera-factor", help="Factor of these vectors; SIE_COE of CLIP-ReID.", metavar="X", rich_help_panel=MODEL
    ),
]

PlainSpectra = Annotated[
    str | None,
    typer.Option(
        "--spectra",
        help="Spectra of each observation that --model reads, instead of the visible image.",
        metavar="rgb,nir,tir",
        rich_help_panel=MODEL,
    ),
]
Missing = Annotated[
    str | None,
    typer.Option(
        "--missing",
        help="A missing spectrum counts as the mean of the others, or as grey pixels (default: a run's own; mean).",
        metavar="mean|zero",
        rich_help_panel=MODEL,
    ),
]


def camera_names(text: str) -> tuple[str, ...]:
    """Return the names in the value of `--cameras`.

    >>> camera_names("1, 2,door")
    ('1', '2', 'door')
    """
    return tuple(name.strip() for name in text.split(","))


def spectra_names(text: str | None) -> tuple[str, ...]:
    """Return the spectra in the value of `--spectra`; none if it was not given.

    Raises:
        SettingError: If a name is unknown, or stands there twice.
    """
    return () if text is None else parse_spectra(text, "--spectra")


def choose(
    *first: Any, cameras: str | None, camera_factor: float, spectra: str | None, missing: str | None
) -> ModelChoice:
    """Return the choice of a model; `first` are the first fields of `ModelChoice`, as their options give them.

    Raises:
        SettingError: If the options contradict each other.
    """
    from scing_cli.core.workflows.shared.model import ModelChoice

    names = () if cameras is None else camera_names(cameras)
    further: dict[str, Any] = {
        "cameras": names,
        "camera_factor": camera_factor,
        "spectra": spectra_names(spectra),
        "missing": missing,
    }
    return ModelChoice(*first, **further)


def given(**values: object) -> dict[str, object]:
    """Return options of a plain model by name, with None for a value that is the default.

    >>> given(model=None, statistics="auto", cameras="1,2")
    {'model': None, 'statistics': None, 'cameras': '1,2'}
    """
    usual: dict[str, object] = {"statistics": "auto", "interpolation": "auto", "camera_factor": 1.0}
    return {name: None if value == usual.get(name) else value for name, value in values.items()}
