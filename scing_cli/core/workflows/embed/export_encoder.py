"""Export an image encoder, so that other programs run it: an ONNX file, or a folder of open_clip or transformers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scing_cli.core.artifacts import Run, replacing
from scing_cli.core.batches import Pixels
from scing_cli.core.encoders.export_facts import KEY, export_facts
from scing_cli.core.encoders.geometry import Geometry, check_class, check_descriptor
from scing_cli.core.errors import ScingError, SettingError, WeightsError
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, Silent
from scing_cli.core.workflows.embed import export_check
from scing_cli.core.workflows.embed.export_crops import crop_pixels, find_crops
from scing_cli.core.workflows.embed.export_place import ONNX, check_target, choose_format, replacing_folder
from scing_cli.core.workflows.embed.gallery_images import GalleryChoice
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, open_model, open_run_model
from scing_cli.core.workflows.shared.starting_encoder import starting_clip

if TYPE_CHECKING:
    from scing_cli.core.encoders.clip import ClipModel
    from scing_cli.core.encoders.spectral import AnyImageEncoder

__all__ = ["ExportReport", "export_encoder"]

_GRAPHS = (".onnx", ".xml")


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Args:
        path: The file or folder.
        export_format: onnx, open_clip or transformers.
        model: The model, for messages.
        digest: Digest of the image encoder.
        descriptor: `projected` or `concat`.
        height: Height of its images, in pixels.
        width: Width of its images, in pixels.
        dimensions: D, the width of its vectors.
        images: Number of images that it was compared on.
        least_cosine: The smallest cosine of its vectors to the encoder's.
    """

    path: Path
    export_format: str
    model: str
    digest: str
    descriptor: str
    height: int
    width: int
    dimensions: int
    images: int
    least_cosine: float


def export_encoder(
    choice: ModelChoice,
    target: StrPath,
    *,
    export_format: str | None = None,
    descriptor: str = "projected",
    images: GalleryChoice | None = None,
    force: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> ExportReport:
    """Write an image encoder in float32 for other programs, if it then gives the same vectors as here.

    The pixels that it needs, its descriptor and its digest are written with it (`export_facts`). It is run on at most
    16 images before it appears under its name.

    Args:
        choice: Which model.
        target: An ONNX file (`NAME.onnx`), or a folder.
        export_format: onnx, open_clip or transformers; None for onnx where the name ends in `.onnx`, else open_clip.
        descriptor: `projected` or `concat` (R10); only ONNX holds `concat`.
        images: The images to compare on; None for those of the run, or drawn ones if they are not there.
        force: Replace a former export.
        machine: Its number of threads decodes images; all else runs on the CPU.
        reporter: Receives notes.

    Returns:
        What was written.

    Raises:
        SettingError: If the format cannot hold the encoder, or the name does not fit the format.
        ScingError: If the target exists and `force` is not set, a package is missing, or the vectors differ.
        RunError: If no run is complete, or the given run is not.
        WeightsError: If a folder needs CLIP's text encoder and its weights are not on this machine.
    """
    target, machine = as_path(target), machine or Machine()
    chosen = choose_format(target, export_format)
    check_class(check_descriptor(descriptor), 0)
    check_target(target, chosen, force=force)
    if choice.model is not None and Path(choice.model).suffix.lower() in _GRAPHS:
        raise SettingError(
            f"--model {choice.model} is a finished graph, not a CLIP: there is nothing to export.", "Copy the file."
        )
    if chosen == ONNX:
        export_check.check_packages()
    trained = open_run_model(choice, reporter=reporter)
    if trained is not None and trained.run is not None:
        stamp = trained.run.visual_stamp()
        geometry, prompts = Geometry.from_dict(stamp["geometry"]), "prompt_tokens" in stamp["model"]
        cameras, spectra = bool(trained.cameras), trained.spectra
        export_check.check_holds(chosen, geometry, cameras=cameras, prompts=prompts, kind=descriptor, spectra=spectra)
    crops = find_crops(trained.run if trained is not None else None, images or GalleryChoice(), reporter)
    # A plain CLIP that is opened again with its text encoder reports then what there is to say.
    model = trained or open_model(choice, reporter=reporter if chosen == ONNX else Silent())
    encoder, geometry = model.encoder, model.encoder.geometry
    prompts = encoder.prompts is not None
    cameras, spectra = bool(model.cameras), model.spectra
    export_check.check_holds(chosen, geometry, cameras=cameras, prompts=prompts, kind=descriptor, spectra=spectra)
    pixels = crop_pixels(crops, geometry, workers=machine.threads(), reporter=reporter)
    if chosen == ONNX:
        least = _write_onnx(target, encoder, model.digest, pixels, kind=descriptor, force=force)
    else:
        clip = dataclasses.replace(_whole_clip(choice, model.run, reporter), image=encoder)
        least = _write_folder(target, clip, model.digest, pixels, chosen, force=force)
    return ExportReport(
        path=target,
        export_format=chosen,
        model=model.label(),
        digest=model.digest,
        descriptor=descriptor,
        height=geometry.height,
        width=geometry.width,
        dimensions=encoder.embed_dim + (encoder.width if descriptor == "concat" else 0),
        images=len(pixels),
        least_cosine=least,
    )


def _write_onnx(
    target: Path, encoder: AnyImageEncoder, digest: str, pixels: Pixels, *, kind: str, force: bool
) -> float:
    """Write an ONNX file and return the smallest cosine of its vectors to the encoder's."""
    import onnx

    from scing_cli.core.encoders.onnx_tower import OUTPUT, image_onnx

    export_check.check_size(encoder)
    state = {name: value.detach().float().cpu().numpy() for name, value in encoder.state_dict().items()}
    model = image_onnx(state, encoder.geometry, encoder.config, kind=kind)
    facts = export_facts(encoder.geometry, kind=kind, digest=digest, output=OUTPUT)
    onnx.helper.set_model_props(model, {KEY: json.dumps(facts)})
    with replacing(target) as temporary:
        onnx.save_model(model, temporary)
        found = export_check.onnx_vectors(temporary, pixels, encoder.geometry, kind)
        least = export_check.check_parity(export_check.encoder_vectors(encoder, pixels), found)
        check_target(target, ONNX, force=force)
    return least


def _write_folder(target: Path, clip: ClipModel, digest: str, pixels: Pixels, chosen: str, *, force: bool) -> float:
    """Write a folder and return the smallest cosine of its vectors to the encoder's."""
    from scing_cli.core.encoders.clip_folders import write_clip_folder

    facts = export_facts(clip.image.geometry, kind="projected", digest=digest)
    with replacing_folder(target, force=force) as made:
        write_clip_folder(made, clip, chosen, facts)
        found = export_check.folder_vectors(made, pixels)
        return export_check.check_parity(export_check.encoder_vectors(clip.image, pixels), found)


def _whole_clip(choice: ModelChoice, run: Run | None, reporter: Reporter) -> ClipModel:
    """Return the CLIP with the text encoder: of a run, the one that stage 2 trained, else the frozen one of stage 1.

    Raises:
        WeightsError: If its weights are not on this machine.
    """
    from scing_cli.core.encoders.clip import load_clip
    from scing_cli.core.encoders.encoder_file import load_text_encoder
    from scing_cli.core.methods.prompts_file import load_texts

    try:
        if run is not None:
            if "text" in run.encoders:
                clip = starting_clip(run, run.info["model"]["digest"], None, Silent())
                return dataclasses.replace(clip, text=load_text_encoder(run.stage("visual")))
            run.need("prompts")
            return starting_clip(run, load_texts(run.stage("prompts")).model_digest, None, Silent())
        options = {each: getattr(choice, each) for each in ("stride", "seed", "statistics", "interpolation")}
        return load_clip(str(choice.model), choice.pretrained, reporter=reporter, **options)
    except ScingError as error:
        raise WeightsError(
            f"A folder needs CLIP's text encoder too: {error.what}",
            "Put its weights back in that place, or export the image encoder alone: --export NAME.onnx",
        ) from error
