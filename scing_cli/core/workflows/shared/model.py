"""Opens a command's image encoder: that of the newest run, of a given run, of a plain CLIP, or of a file.

Whatever it is, it becomes an `OpenedModel`: a digest, a way to open it again, and something that embeds images.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from scing_cli.core.artifacts import VISUAL_REMEDY, Run, cache_folder, check_provenance, choose_run, open_run
from scing_cli.core.encoders.graph_names import is_graph_file
from scing_cli.core.errors import INDEX_AGAIN, IndexFileError, RunError, ScingError, SettingError
from scing_cli.core.index import GalleryLocation
from scing_cli.core.manifest import relative_path
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.model_choice import ModelChoice

if TYPE_CHECKING:
    from scing_cli.core.embeddings import Embedder
    from scing_cli.core.encoders.spectral import AnyImageEncoder
    from scing_cli.core.workflows.shared.machine import Machine

__all__ = ["ModelChoice", "OpenedModel", "open_model", "open_run_model", "reopen_model"]
RELATIVE, RELATIVE_FILE = "relative_run", "relative_model"
MISSING = "missing"  # key of `Stamp.model`, and of a stamp's `model`
# Keys of `Stamp.model` that may name files, and of their paths relative to the index's folder.
FILES: Mapping[str, str] = MappingProxyType({"model": RELATIVE_FILE, "pretrained": "relative_pretrained"})


@dataclasses.dataclass(frozen=True)
class OpenedModel:
    """An image encoder that is loaded on first use; commands that use its OpenVINO model do not load its tower.

    Args:
        digest: Digest of its weights and geometry.
        where: How to open it again, as JSON-ready values.
        run: Its run, if any.
        cameras: Cameras that have a vector (R15).
        openvino_folders: Folders that may contain its OpenVINO model, the preferred one first.
        load: Loads its tower on the CPU and checks its digest.
        engine: Makes the embedder of an encoder that has no tower, because it is a file for another library.
        spectra: The spectra of an observation that it reads; none for ordinary images.
    """

    digest: str
    where: Mapping[str, Any]
    run: Run | None
    cameras: tuple[str, ...]
    openvino_folders: tuple[Path, ...]
    load: Callable[[], AnyImageEncoder]
    engine: Callable[[Machine], Embedder] | None = None
    spectra: tuple[str, ...] = ()

    @functools.cached_property
    def encoder(self) -> AnyImageEncoder:
        """The tower; it is loaded on the CPU."""
        return self.load()

    @property
    def missing(self) -> str:
        """What a missing one of several spectra counts as: `mean` of the others, or `zero`, grey pixels."""
        trained = self.run.visual_stamp()["model"] if self.run is not None else {}
        return str(self.where.get(MISSING) or trained.get(MISSING) or "mean")

    def embedder(self, machine: Machine, *, kind: str) -> Embedder:
        """Return what embeds with it: its own engine, or torch.

        Raises:
            SettingError: If it does not give this kind of descriptor.
        """
        if self.engine is None:
            return machine.embedder(self.encoder, kind=kind, on_all=True)
        if kind != "projected":
            raise SettingError(
                f"--descriptor {kind} needs a CLIP; {self.label()} gives one vector per image.",
                "Leave --descriptor out.",
            )
        return self.engine(machine)

    def seen_from(self, index: Path) -> dict[str, Any]:
        """Return `where`, and for a run or files also the path relative to the folder of an index (`Stamp.model`)."""
        if self.run is not None:
            return {**self.where, RELATIVE: relative_path(index.parent, self.run.path)}
        files = {FILES[key]: Path(self.where[key]) for key in files_of_model(self.where)}
        near = {key: Path(relative_path(index.parent, file.parent), file.name) for key, file in files.items()}
        return {**self.where, **{key: path.as_posix() for key, path in near.items()}}

    def label(self) -> str:
        """Return the name for messages."""
        if self.engine is not None:
            return str(self.where["model"])
        if self.run is None:
            return f"{self.where['model']} ({self.where['pretrained']})"
        other = f" (missing spectra: {self.where[MISSING]})" if MISSING in self.where else ""
        return f"{self.run.path}{other}"


def open_model(choice: ModelChoice, *, reporter: Reporter) -> OpenedModel:
    """Open the model that the user chose.

    Raises:
        RunError: If no run is complete, or the given run is not.
        WeightsError: If the plain model or its weights are not available.
    """
    if choice.model is not None and is_graph_file(choice.model):
        from scing_cli.core.workflows.shared.graph_model import open_graph_model

        return open_graph_model(choice, reporter)
    if choice.model is not None:
        from scing_cli.core.workflows.shared.plain_model import open_plain_model

        return open_plain_model(choice, reporter)
    run = choose_run(choice.run, stage="visual", warn=reporter.warn)
    if choice.run is None:
        reporter.note(f"Using the newest finished run: {run.path}")
    return _trained(run, choice.missing)


def reopen_model(where: Mapping[str, Any], digest: str, *, source: GalleryLocation, reporter: Reporter) -> OpenedModel:
    """Open the model that made an index.

    Raises:
        IndexFileError: If the model does not exist any more or has changed.
    """
    remedy = f"Give the model that made it: --run FOLDER. Or embed the gallery again: {INDEX_AGAIN}"
    try:
        if near := _near(where, digest, source):
            if near.path.resolve() != Path(where["run"]).resolve():
                reporter.note(f"The index's run was found at {near.path}.")
            return _trained(near, where.get(MISSING))
        if "run" in where:
            run = open_run(Path(where["run"]))
            run.need("visual")
            return _checked(_trained(run, where.get(MISSING)), digest, source, remedy)
    except RunError as error:
        raise IndexFileError(
            f"{source} was made by a model that cannot be used: {error.what}", f"{error.remedy}\n{remedy}"
        ) from error
    if is_graph_file(str(where.get("model", ""))):
        from scing_cli.core.workflows.shared.graph_model import reopen_graph_model

        return reopen_graph_model(where, digest, source)
    if "model" not in where:
        raise IndexFileError(f"{source} does not say which model made it.", remedy)
    from scing_cli.core.workflows.shared.plain_model import find_files

    found = find_files(where, source, reporter)

    def load() -> AnyImageEncoder:
        from scing_cli.core.workflows.shared.plain_model import load_again

        return load_again((found, where), digest, source=source, reporter=reporter)

    cameras, spectra = (tuple(where.get(name) or ()) for name in ("cameras", "spectra"))
    return OpenedModel(digest, found, None, cameras, (openvino_cache(digest),), load, spectra=spectra)


def files_of_model(where: Mapping[str, Any]) -> list[str]:
    """Return the keys of `Stamp.model` that name files: of a plain CLIP its JSON file, its weights, both or none."""
    return [key for key in FILES if Path(where.get(key) or "").is_absolute()]


def _near(where: Mapping[str, Any], digest: str, source: GalleryLocation) -> Run | None:
    """Return the run that lies where an index's run lay, seen from the index, if it has the model of the index.

    A copied folder with run and index uses its own run; a moved one needs no other path.
    """
    if not isinstance(relative := where.get(RELATIVE), str) or "run" not in where:
        return None
    try:
        run = open_run(Path(os.path.normpath(source.local.parent.resolve() / relative)))
        return run if run.has("visual") and _trained(run, where.get(MISSING)).digest == digest else None
    except (ScingError, OSError, ValueError):  # another run, or none, lies there
        return None


def _checked(opened: OpenedModel, expected: str, source: GalleryLocation, remedy: str) -> OpenedModel:
    if (found := opened.digest) == expected:
        return opened
    theirs = f"{opened.label()} has (visual {found[:8]}…)"
    raise IndexFileError(f"{source} was made by another model (visual {expected[:8]}…) than {theirs}.", remedy)


def _trained(run: Run, missing: str | None = None) -> OpenedModel:
    """Open the model of a run; `missing` for another reading of missing spectra than that of its training.

    Raises:
        RunError: If the run is damaged.
        SettingError: If `missing` is given for a model of one image per observation.
    """
    stamp, folder = run.visual_stamp(), run.stage("visual")
    check_provenance(folder, stamp, remedy=VISUAL_REMEDY)
    cameras, spectra = (tuple(map(str, stamp["model"].get(name) or ())) for name in ("cameras", "spectra"))
    if missing is not None and len(spectra) < 2:
        raise SettingError(
            f"--missing {missing} has no effect: {run.path} reads one image of each observation.",
            "Leave it out, or choose a run that was trained with several --spectra.",
        )
    other = missing if missing != stamp["model"].get(MISSING) else None

    def load() -> AnyImageEncoder:
        from scing_cli.core.encoders.encoder_file import load_image_encoder

        encoder, loaded = load_image_encoder(folder)
        if loaded["digest"] != stamp["digest"]:
            raise RunError(f"{folder} was replaced while it was in use.", "Run the command again.")
        if other is not None:
            encoder.missing = other
        return encoder

    where, digest = {"run": str(run.path.absolute())}, str(stamp["digest"])
    if other is not None:  # it gives other vectors, so it is another model
        where, digest = {**where, MISSING: other}, sha256(f"{digest} {MISSING} {other}".encode()).hexdigest()
    return OpenedModel(digest, where, run, cameras, (run.inference, openvino_cache(digest)), load, spectra=spectra)


def open_run_model(choice: ModelChoice, *, reporter: Reporter) -> OpenedModel | None:
    """Open a run's model, or a file, which loads nothing yet. Of a plain model, which takes seconds, check the name.

    A command that reads data calls it first, and `open_model` only after its data was accepted.

    Returns:
        The model; None for a plain model.

    Raises:
        RunError: As for `open_model`.
        WeightsError: As for `open_model`.
    """
    if choice.model is None or is_graph_file(choice.model):
        return open_model(choice, reporter=reporter)
    from scing_cli.core.workflows.shared.plain_model import check_plain

    check_plain(choice, reporter)
    return None


def openvino_cache(digest: str) -> Path:
    """Return the folder for the OpenVINO model of a plain model, or of a run in a read-only folder."""
    return cache_folder() / "inference" / digest[:32]
