"""The command after `Next:`, which works as it is printed, in the folder where it is printed."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scing_cli.core.artifacts import Run

INDEX = Path("gallery.faiss")


def after_stage1(run: Run, method: str) -> str:
    """Return the command that trains stage 2, or for a method without one the command that embeds the gallery."""
    from scing_cli.core.settings import METHODS  # which `embed` does not need

    if not METHODS[method].has_stage2:
        return embed_command(run)
    return shlex.join(["scing", "train-visual", "--run", str(run.path)])


def embed_command(run: Run) -> str:
    """Return the command that embeds the gallery of a run's data, or all images if they have no gallery."""
    from scing_cli.core.workflows.shared.run_data import run_manifest

    words = ["scing", "embed", "--run", str(run.path)]
    if "gallery" not in run_manifest(run, check_files=False).splits():
        words += ["--split", "all"]
    if INDEX.exists():  # it is not overwritten
        names = (f"{run.path.absolute().name}{number}.faiss" for number in itertools.chain([""], itertools.count(2)))
        words += ["--output", next(name for name in names if not Path(name).exists())]
    return shlex.join(words)


def search_command(location: Path | str, example: Path) -> str:
    """Return the command that searches a gallery for one of its images."""
    photo = str(example.relative_to(Path.cwd()) if example.is_relative_to(Path.cwd()) else example)
    photo = f"./{photo}" if photo.startswith("-") else photo  # otherwise it would be an option
    index = [] if location == INDEX else ["--index", str(location)]
    return shlex.join(["scing", "search", photo, *index])
