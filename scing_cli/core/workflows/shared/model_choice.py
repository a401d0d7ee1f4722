"""The user's choice of a model: a run, a plain CLIP, or a file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from scing_cli.core.encoders.graph_names import is_graph_file
from scing_cli.core.errors import SettingError
from scing_cli.core.paths import paths_in_place

LARGEST_STRIDE = 64  # pixels
LARGEST_FACTOR = 100
MISSING = ("mean", "zero")


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """The user's choice of a model.

    Args:
        run: A run folder; None for the newest complete run.
        model: Name of a CLIP without a run, or the path of an encoder as ONNX or OpenVINO IR.
        pretrained: Weights of `model`; None only if they ship with this package.
        stride: Step between patches in pixels; None for the model's own.
        seed: Seed of the weights `random`.
        statistics: Pixel statistics: `half`, `clip` (R11), `imagenet` (only of a file), or `auto` for what the model's
            folder or file states, else `half` for a CLIP, `imagenet` for a file.
        interpolation: `bicubic`, `bilinear`, or `auto` for what the model's folder or file states, else `bicubic` for a
            CLIP, `bilinear` for a file.
        cameras: Names of the camera vectors of `pretrained`, in their order; without names they are left out.
        camera_factor: Factor of these vectors.
        spectra: The spectra of an observation that `model` reads; none for the visible image.
        missing: What a missing one of several spectra counts as: `mean` of the others, or `zero`, grey pixels. None for
            what a run was trained with, and for the mean.
    """

    run: Path | None = None
    model: str | None = None
    pretrained: str | None = None
    stride: int | None = None
    seed: int = 0
    statistics: str = "auto"
    interpolation: str = "auto"
    cameras: tuple[str, ...] = ()
    camera_factor: float = 1.0
    spectra: tuple[str, ...] = ()
    missing: str | None = None

    def __post_init__(self) -> None:
        paths_in_place(self, "run")
        for name in ("cameras", "spectra"):  # an index's stamp has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.model, os.PathLike):
            object.__setattr__(self, "model", os.fspath(self.model))
        if self.run is not None and self.model is not None:
            raise SettingError(
                "--run and --model were both given.", "Use --run for a trained model, --model for a plain one."
            )
        chosen = {
            "--pretrained": self.pretrained is not None,
            "--stride": self.stride is not None,
            "--statistics": self.statistics != "auto",
            "--interpolation": self.interpolation != "auto",
            "--cameras": bool(self.cameras),
            "--camera-factor": self.camera_factor != 1,
            "--spectra": bool(self.spectra),
        }
        for option, given in chosen.items():
            if given and self.model is None and option != "--camera-factor":
                raise SettingError(
                    f"{option} needs --model: a run has its own.",
                    "For example: --model ViT-B-16-quickgelu --pretrained openai",
                )
        fixed = {
            "--pretrained": "the file has its weights and its size",
            "--stride": "the file has its weights and its size",
            "--cameras": "its only input is an image",
            "--camera-factor": "its only input is an image",
            "--spectra": "its only input is an image",
        }
        for option, reason in fixed.items():
            if self.model is not None and is_graph_file(self.model) and chosen[option]:
                raise SettingError(
                    f"{option} has no effect with --model {self.model}: {reason}.",
                    f"Leave {option} out.",
                )
        if self.stride is not None and not 1 <= self.stride <= LARGEST_STRIDE:
            raise SettingError(f"--stride {self.stride}: must be 1 to {LARGEST_STRIDE}.", "CLIP's own is 16; or 12.")
        self._check_cameras()
        self._check_missing()

    def _check_missing(self) -> None:
        if self.missing is None:
            return
        if self.missing not in MISSING:
            raise SettingError(f"--missing {self.missing}: must be {' or '.join(MISSING)}.")
        if self.model is not None and len(self.spectra) < 2:
            raise SettingError("--missing needs several --spectra.", "For example: --spectra rgb,nir,tir")

    def _check_cameras(self) -> None:
        if self.camera_factor != 1 and not self.cameras:
            raise SettingError("--camera-factor needs --cameras.", "Name the cameras: --cameras 1,2,3,4,5,6")
        if not 0 < self.camera_factor <= LARGEST_FACTOR:
            raise SettingError(
                f"--camera-factor {self.camera_factor}: must be above 0, at most {LARGEST_FACTOR}.",
                "It is MODEL.SIE_COE of CLIP-ReID: 1 for its published models.",
            )
        if "" in self.cameras or len(set(self.cameras)) < len(self.cameras):
            raise SettingError(
                f"--cameras {','.join(self.cameras)}: each camera needs a name of its own.",
                "For example: --cameras 1,2,3,4,5,6",
            )
