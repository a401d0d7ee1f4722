"""Opens a command's image encoder: the newest run's, a given run's, or a plain CLIP."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.core.artifacts import VISUAL_REMEDY, Run, cache_folder, check_provenance, choose_run, open_run
from scing_cli.core.encoders import hub
from scing_cli.core.errors import IndexFileError, RunError, ScingError, SettingError
from scing_cli.core.manifest import relative_path
from scing_cli.core.paths import paths_in_place
from scing_cli.core.runtime import Reporter

if TYPE_CHECKING:
    from scing_cli.core.encoders.image import ImageEncoder

RELATIVE = "relative_run"
LARGEST_STRIDE = 64  # pixels
LARGEST_FACTOR = 100


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """The user's choice of a model.

    Args:
        run: A run folder; None for the newest complete run.
        model: Name of a CLIP without a run.
        pretrained: Weights of `model`; None only if they ship with this package.
        stride: Step between patches in pixels; None for the model's own.
        seed: Seed of the weights `random`.
        statistics: Pixel statistics: `half`, `clip` (R11), or `auto` for what the model's folder states, else `half`.
        interpolation: `bicubic`, `bilinear`, or `auto` for what the model's folder states, else `bicubic`.
        cameras: Names of the camera vectors of `pretrained`, in their order; without names they are left out.
        camera_factor: Factor of these vectors.
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

    def __post_init__(self) -> None:
        paths_in_place(self, "run")
        object.__setattr__(self, "cameras", tuple(self.cameras))  # an index's stamp has a list
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
        }
        for option, given in chosen.items():
            if given and self.model is None:
                raise SettingError(
                    f"{option} needs --model: a run has its own.",
                    "For example: --model ViT-B-16-quickgelu --pretrained openai",
                )
        if self.stride is not None and not 1 <= self.stride <= LARGEST_STRIDE:
            raise SettingError(f"--stride {self.stride}: must be 1 to {LARGEST_STRIDE}.", "CLIP's own is 16; or 12.")
        self._check_cameras()

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


@dataclasses.dataclass(frozen=True)
class OpenedModel:
    """An image encoder that is loaded on first use; commands that use its OpenVINO model do not load it.

    Args:
        digest: Digest of its weights and geometry.
        where: How to open it again, as JSON-ready values.
        run: Its run, if any.
        cameras: Cameras that have a vector (R15).
        openvino_folders: Folders that may contain its OpenVINO model, the preferred one first.
        load: Loads it on the CPU and checks its digest.
    """

    digest: str
    where: Mapping[str, Any]
    run: Run | None
    cameras: tuple[str, ...]
    openvino_folders: tuple[Path, ...]
    load: Callable[[], ImageEncoder]

    @functools.cached_property
    def encoder(self) -> ImageEncoder:
        """The encoder; it is loaded on the CPU."""
        return self.load()

    def seen_from(self, index: Path) -> dict[str, Any]:
        """Return `where`, and for a run also its path relative to the folder of an index (`Stamp.model`)."""
        if self.run is None:
            return dict(self.where)
        return {**self.where, RELATIVE: relative_path(index.parent, self.run.path)}

    def label(self) -> str:
        """Return the name for messages."""
        return str(self.run.path) if self.run else f"{self.where['model']} ({self.where['pretrained']})"


def open_model(choice: ModelChoice, *, reporter: Reporter) -> OpenedModel:
    """Open the model that the user chose.

    Raises:
        RunError: If no run is complete, or the given run is not.
        WeightsError: If the plain model or its weights are not available.
    """
    if choice.model is not None:
        return _plain(choice, reporter)
    run = choose_run(choice.run, stage="visual", warn=reporter.warn)
    if choice.run is None:
        reporter.note(f"Using the newest finished run: {run.path}")
    return _trained(run)


def reopen_model(where: Mapping[str, Any], digest: str, *, source: Path, reporter: Reporter) -> OpenedModel:
    """Open the model that made an index.

    Raises:
        IndexFileError: If the model does not exist any more or has changed.
    """
    remedy = (
        "Give the model that made it: --run FOLDER. Or embed the gallery again: scing embed --force, same --output."
    )
    try:
        if near := _near(where, digest, source):
            if near.path.resolve() != Path(where["run"]).resolve():
                reporter.note(f"The index's run was found at {near.path}.")
            return _trained(near)
        if "run" in where:
            run = open_run(Path(where["run"]))
            run.need("visual")
            opened = _trained(run)
            _check_same(opened.digest, digest, opened.label(), source, remedy)
            return opened
    except RunError as error:
        raise IndexFileError(
            f"{source} was made by a model that cannot be used: {error.what}", f"{error.remedy}\n{remedy}"
        ) from error
    if "model" not in where:
        raise IndexFileError(f"{source} does not say which model made it.", remedy)
    known = {field.name for field in dataclasses.fields(ModelChoice)}
    choice = ModelChoice(**{name: value for name, value in where.items() if name in known})

    def load() -> ImageEncoder:
        opened = _plain(choice, reporter)
        _check_same(opened.digest, digest, opened.label(), source, remedy)
        return opened.encoder

    return OpenedModel(digest, where, None, choice.cameras, (_openvino_cache(digest),), load)


def _near(where: Mapping[str, Any], digest: str, source: Path) -> Run | None:
    """Return the run that lies where an index's run lay, seen from the index, if it has the model of the index.

    A copied folder with run and index uses its own run, and one that was moved needs no other path.
    """
    if not isinstance(relative := where.get(RELATIVE), str) or "run" not in where:
        return None
    try:
        run = open_run(Path(os.path.normpath(source.parent.resolve() / relative)))
        return run if run.has("visual") and run.visual_stamp()["digest"] == digest else None
    except (ScingError, OSError, ValueError):  # another run, or none, lies there
        return None


def _check_same(found: str, expected: str, label: str, source: Path, remedy: str) -> None:
    if found != expected:
        raise IndexFileError(
            f"{source} was made by another model (visual {expected[:8]}…) than {label} has (visual {found[:8]}…).",
            remedy,
        )


def _trained(run: Run) -> OpenedModel:
    stamp = run.visual_stamp()
    check_provenance(run.visual, stamp, remedy=VISUAL_REMEDY)
    cameras = tuple(map(str, stamp["model"].get("cameras") or ()))

    def load() -> ImageEncoder:
        from scing_cli.core.encoders.encoder_file import load_image_encoder

        encoder, loaded = load_image_encoder(run.visual)
        if loaded["digest"] != stamp["digest"]:
            raise RunError(f"{run.visual} was replaced while it was in use.", "Run the command again.")
        return encoder

    where, digest = {"run": str(run.path.absolute())}, stamp["digest"]
    return OpenedModel(digest, where, run, cameras, (run.inference, _openvino_cache(digest)), load)


def check_plain(choice: ModelChoice, reporter: Reporter) -> str:
    """Return the name of a plain model after checking, without torch, that it and its weights are there.

    Raises:
        ScingError: If no weights were named, and none ship with this package.
        WeightsError: If the model is unknown, or its weights are not available.
    """
    if choice.model is None or (choice.pretrained is None and not hub.has_own_weights(choice.model)):
        raise ScingError(
            f"--model {choice.model} needs --pretrained.",
            "For example: --pretrained openai, --pretrained FILE or --pretrained random",
        )
    hub.locate(choice.model, choice.pretrained, reporter=reporter)
    return choice.model


def open_run_model(choice: ModelChoice, *, reporter: Reporter) -> OpenedModel | None:
    """Open a run's model, which loads nothing yet. Of a plain model, which takes seconds to load, only check the name.

    A command that reads data calls it first, and `open_model` only after its data was accepted.

    Returns:
        The run's model; None for a plain model.

    Raises:
        RunError: As for `open_model`.
        WeightsError: As for `open_model`.
    """
    if choice.model is None:
        return open_model(choice, reporter=reporter)
    check_plain(choice, reporter)
    return None


def _plain(choice: ModelChoice, reporter: Reporter) -> OpenedModel:
    name = check_plain(choice, reporter)
    from scing_cli.core.encoders.clip import load_image_tower
    from scing_cli.core.encoders.encoder_file import encoder_digest

    options = {each: getattr(choice, each) for each in ("stride", "seed", "statistics", "interpolation")}
    if choice.cameras:
        options |= {"cameras": list(choice.cameras), "camera_factor": choice.camera_factor}
    loaded = load_image_tower(name, choice.pretrained, reporter=reporter, **options)
    where = {"model": loaded.name, "pretrained": loaded.pretrained, **options}
    image = loaded.image
    digest = encoder_digest(image)
    return OpenedModel(digest, where, None, choice.cameras, (_openvino_cache(digest),), lambda: image)


def _openvino_cache(digest: str) -> Path:
    """Return the folder for the OpenVINO model of a plain model, or of a run in a read-only folder."""
    return cache_folder() / "inference" / digest[:32]
