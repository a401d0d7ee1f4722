"""`scing embed --export`: write an image encoder for other programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import SettingError, counted

if TYPE_CHECKING:
    from scing_cli.core.workflows.embed.gallery_images import GalleryChoice
    from scing_cli.core.workflows.shared.machine import Machine
    from scing_cli.core.workflows.shared.model import ModelChoice

EXPORT = "Export"
Export = Annotated[
    Path | None,
    typer.Option(
        "--export",
        help="Write the image encoder for other programs, instead of an index: an ONNX file, or a folder.",
        metavar="FILE.onnx|DIR",
        rich_help_panel=EXPORT,
    ),
]
ExportFormat = Annotated[
    str | None,
    typer.Option(
        "--export-format",
        help="Format of --export (default: onnx for FILE.onnx, open_clip for a folder).",
        metavar="onnx|open_clip|transformers",
        rich_help_panel=EXPORT,
    ),
]


def export_model(
    choice: ModelChoice,
    images: GalleryChoice,
    target: Path | None,
    how: tuple[str | None, str, bool],
    machine: Machine,
    terminal: Terminal,
) -> None:
    """Export an image encoder and print what was written.

    Args:
        choice: Which model.
        images: The images to compare on.
        target: The file or folder; None if `--export` was not given.
        how: The values of `--export-format`, `--descriptor` and `--force`.
        machine: Device, precision and threads.
        terminal: Receives notes and the result.

    Raises:
        SettingError: If `--export-format` was given without `--export`.
        ScingError: As for `export_encoder`.
    """
    export_format, descriptor, force = how
    if target is None:
        raise SettingError("--export-format has no effect without --export.", "Add --export NAME, or leave it out.")
    from scing_cli.core.workflows.embed.export_encoder import export_encoder

    report = export_encoder(
        choice,
        target,
        export_format=export_format,
        descriptor=descriptor,
        images=images,
        force=force,
        machine=machine,
        reporter=terminal,
    )
    if terminal.result(dataclasses.asdict(report) | {"path": str(report.path)}):
        return
    size = f"images of {report.height}x{report.width} pixels"
    vectors = f"unit vectors of width {report.dimensions} ({report.descriptor})"
    terminal.say(f"{report.path}: the image encoder of {report.model} as {report.export_format}: {size}, {vectors}.")
    compared = f"smallest cosine to the encoder's vectors {report.least_cosine:.6f}"
    terminal.say(f"Compared on {counted(report.images, 'image')}: {compared}.")
