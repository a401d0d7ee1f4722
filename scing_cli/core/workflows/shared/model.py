"""Which image encoder a command uses: the newest run's, a named run's, the one a run started from, or a plain CLIP."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.core.artifacts import VISUAL_REMEDY, Run, cache_folder, check_provenance, choose_run, open_run
from scing_cli.core.errors import IndexFileError, RunError, ScingError, SettingError
from scing_cli.core.paths import paths_in_place
from scing_cli.core.runtime import Reporter

if TYPE_CHECKING:
    from scing_cli.core.encoders.image import ImageEncoder
    from scing_cli.core.methods.prompts_file import IdentityTexts


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """What the user said about the model.

    Args:
        run: A run folder; None for the newest complete one.
        model: A CLIP without a run: its name.
        pretrained: Its weights; None only for a model whose weights ship with this package.
        stride: Of its patches; None for the model's own.
        seed: Draws the weights of `random`.
        statistics: Of the pixels: `half` or `clip` (R11).
    """

    run: Path | None = None
    model: str | None = None
    pretrained: str | None = None
    stride: int | None = None
    seed: int = 0
    statistics: str = "half"

    def __post_init__(self) -> None:
        paths_in_place(self, "run")
        if self.run is not None and self.model is not None:
            raise SettingError(
                "--run and --model were both given.", "Use --run for a trained model, --model for a plain one."
            )
        for option, value in (("--pretrained", self.pretrained), ("--stride", self.stride)):
            if value is not None and self.model is None:
                raise SettingError(
                    f"{option} needs --model: a run has its own.",
                    "For example: --model ViT-B-16-quickgelu --pretrained openai",
                )


@dataclasses.dataclass(frozen=True)
class OpenedModel:
    """An image encoder that is known, and loaded when it is asked for: its inference copy may do without it.

    Args:
        digest: Of its weights and geometry.
        where: JSON-ready: how to open it again.
        run: The run it comes from, if any.
        cameras: Those it has a vector for (R15).
        copies: Folders where its inference copy may lie, the best one first.
        load: Loads it, on the CPU, and checks that it is the one of the digest.
    """

    digest: str
    where: Mapping[str, Any]
    run: Run | None
    cameras: tuple[str, ...]
    copies: tuple[Path, ...]
    load: Callable[[], ImageEncoder]

    @functools.cached_property
    def encoder(self) -> ImageEncoder:
        """The encoder, on the CPU until somebody moves it."""
        return self.load()

    def label(self) -> str:
        """Return what to call it in messages."""
        return str(self.run.path) if self.run else f"{self.where['model']} ({self.where['pretrained']})"


def open_model(choice: ModelChoice, *, reporter: Reporter) -> OpenedModel:
    """Open the model a command shall use.

    Raises:
        RunError: If no run is complete, or the named one is not.
        WeightsError: If the plain model or its weights cannot be had.
    """
    if choice.model is not None:
        return _plain(choice, reporter)
    run = choose_run(choice.run, stage="visual", warn=reporter.warn)
    if choice.run is None:
        reporter.note(f"Using the newest finished run: {run.path}")
    return _trained(run)


def reopen_model(where: Mapping[str, Any], digest: str, *, source: Path, reporter: Reporter) -> OpenedModel:
    """Open the model an index names.

    Raises:
        IndexFileError: If it is gone, or is no longer the same.
    """
    remedy = (
        "Name the model that made it with --run FOLDER, or embed the gallery again: scing embed --force, same --output."
    )
    try:
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

    return OpenedModel(digest, where, None, (), (_cached_copy(digest),), load)


def _check_same(there: str, wanted: str, label: str, source: Path, remedy: str) -> None:
    if there != wanted:
        raise IndexFileError(
            f"{source} was made by another model (visual {wanted[:8]}…) than {label} now holds (visual {there[:8]}…).",
            remedy,
        )


def starting_encoder(run: Run, texts: IdentityTexts, pretrained: str | None, reporter: Reporter) -> ImageEncoder:
    """Return the CLIP image encoder that stage 1 froze and stage 2 starts from, checked by its digest.

    Args:
        run: The run.
        texts: What its stage 1 left.
        pretrained: Where the weights lie now, if they have moved.
        reporter: Told of a download.

    Raises:
        RunError: If it is not the model that the prompts were learnt with.
        WeightsError: If the model or its weights cannot be had.
    """
    from scing_cli.core.encoders.clip import load_clip
    from scing_cli.core.encoders.encoder_file import encoder_digest

    model, settings = run.info["model"], run.info["settings"]["train-prompts"]
    clip = load_clip(
        model["model"],
        pretrained or model["pretrained"],
        stride=settings["stride"],
        statistics=settings["statistics"],
        seed=settings["seed"],
        reporter=reporter,
    )
    digest = encoder_digest(clip.image)
    if digest != texts.model_digest:
        raise RunError(
            f"{model['model']} ({model['pretrained']}) is not the model that {run.path} learnt its prompts with "
            f"(visual {digest[:8]}… here, {texts.model_digest[:8]}… there).",
            "Name the weights of that time with --pretrained FILE, or begin anew: scing train-prompts --data DIR",
        )
    return clip.image


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
    return OpenedModel(digest, where, run, cameras, (run.inference, _cached_copy(digest)), load)


def _plain(choice: ModelChoice, reporter: Reporter) -> OpenedModel:
    from scing_cli.core.encoders.hub import shipped_weights

    if choice.model is None or (choice.pretrained is None and not shipped_weights(choice.model)):
        raise ScingError(
            f"--model {choice.model} needs --pretrained.",
            "For example: --pretrained openai, --pretrained FILE or --pretrained random",
        )
    from scing_cli.core.encoders.clip import load_clip
    from scing_cli.core.encoders.encoder_file import encoder_digest

    stride, seed, statistics = choice.stride, choice.seed, choice.statistics
    clip = load_clip(
        choice.model, choice.pretrained, stride=stride, seed=seed, statistics=statistics, reporter=reporter
    )
    options = {"stride": stride, "seed": seed, "statistics": statistics}
    where = {"model": clip.name, "pretrained": clip.pretrained, **options}
    image = clip.image  # the text tower is not wanted any more
    digest = encoder_digest(image)
    return OpenedModel(digest, where, None, (), (_cached_copy(digest),), lambda: image)


def _cached_copy(digest: str) -> Path:
    """Return where the inference copy of a plain model lies, or of a run that cannot be written."""
    return cache_folder() / "inference" / digest[:32]
