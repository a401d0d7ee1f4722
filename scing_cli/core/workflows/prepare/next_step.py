"""What to do after `prepare`: the next command, and how to make data without queries ready for an evaluation."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from scing_cli.core.artifacts import choose_run
from scing_cli.core.datasets import check_evaluation, check_training
from scing_cli.core.datasets.checks import is_tested_by_words
from scing_cli.core.datasets.hold_out import EXAMPLE, divide_people
from scing_cli.core.errors import DataError, RunError
from scing_cli.core.manifest import Manifest

PLAIN_MODEL = ("--model", "ViT-B-16-quickgelu", "--pretrained", "openai")
BY_WORDS = ("--method", "prompt-decoupling")
BY_SPECTRA = ("--method", "dmpt")
INDEX = Path("gallery.faiss")
WORDS = "No image is a query. The captions of the gallery are: scing evaluate --queries text searches it by them."
CHECK_PATHS = "Check that the paths are right, relative to the file that lists them, and that their disk is mounted."


def next_command(manifest: Manifest, data: Path, *, unlabelled: bool) -> str | None:
    """Return the command that usually follows: training if possible, else an evaluation, else an index.

    Without any row, none follows.

    Args:
        manifest: The rows, without unreadable images.
        data: What `--data` takes: the data set, or its manifest.
        unlabelled: Whether `data` is a folder of images without labels.
    """
    if not len(manifest):
        return None
    if _passes(check_training, manifest):
        learns_words = any(row.captions for row in manifest if row.split == "train")
        method = BY_WORDS if is_tested_by_words(manifest) and learns_words else ()
        method = BY_SPECTRA if manifest.spectra() else method
        return shlex.join(["scing", "train-prompts", *method, "--data", str(data)])
    model = () if _is_trained() else PLAIN_MODEL
    if is_tested_by_words(manifest):
        return shlex.join(["scing", "evaluate", "--queries", "text", "--data", str(data), *model])
    if _passes(check_evaluation, manifest):
        return shlex.join(["scing", "evaluate", "--data", str(data), *model])
    what = ("--images", str(data)) if unlabelled else ("--data", str(data), "--split", "all")
    output = ("--output", f"{data.stem or 'images'}.faiss") if INDEX.exists() else ()
    return shlex.join(["scing", "embed", *what, *model, *output])


def nothing_to_evaluate(manifest: Manifest, command: list[str], *, seed: int) -> tuple[str, str]:
    """Return a note on data with people but without queries, and the command that divides the people.

    If the test is by words, the note says so, and there is no command. Both are empty if there are queries or no
    people; the command alone, if the people cannot be divided.

    Args:
        manifest: The rows, without unreadable images.
        command: The words of the `prepare` command that read this data.
        seed: The seed of that command.
    """
    if is_tested_by_words(manifest):
        return WORDS, ""
    if not manifest.identities() or {"val", "query", "gallery"}.intersection(manifest.splits()):
        return "", ""
    said = "Nothing can be evaluated yet: no image is a query."
    try:
        divide_people(manifest, EXAMPLE, seed=seed)
    except DataError as error:
        return f"{said} {error.what}", ""
    divide = shlex.join([*command, "--hold-out", str(EXAMPLE)])
    return f"{said} To hold out some people for testing: {divide}", divide


def nothing_usable(readable: Manifest, manifest: Manifest) -> str:
    """Return a note that no image can be read, so that no command can follow; empty if one can.

    Args:
        readable: The rows, without unreadable images.
        manifest: All rows.
    """
    if len(readable):
        return ""
    files = len({row.path for row in manifest})
    images = "The only image cannot" if files == 1 else f"None of the {files:,} images can"
    return f"{images} be read: nothing can be trained, embedded or evaluated. {CHECK_PATHS}"


def _passes(check: Callable[[Manifest], None], manifest: Manifest) -> bool:
    try:
        check(manifest)
    except DataError:
        return False
    return True


def _is_trained() -> bool:
    """Return whether `./runs` has a finished run, which the commands use by default."""
    try:
        choose_run(None, stage="visual")
    except RunError:
        return False
    return True
