"""Folders with weights: as open_clip, transformers and this program write them, and copies in the hub's cache.

transformers, open_clip and timm fill the Hugging Face hub's cache. A repository `owner/name` is a folder
`models--owner--name` there, with `snapshots/COMMIT`, whose files are links into `blobs`. `HF_HUB_CACHE` or `HF_HOME`
says where the cache is. Nothing is downloaded here, and no weights are opened.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from scing_cli.core.errors import WeightsError, spelled
from scing_cli.core.paths import check_local

SUFFIXES = (".safetensors", ".pt", ".bin", ".pth")
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TRANSFORMERS_FILES = ("model.safetensors", "pytorch_model.bin")
FOLDER_FILES = (*HUB_FILES, *TRANSFORMERS_FILES, "image_encoder.safetensors")
_IN_A_RUN = "visual/image_encoder.safetensors"
_REPOSITORY = re.compile(r"(?:hf-hub:)?([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
_COMMITS = "snapshots"


def repository_of(name: str) -> str | None:
    """Return the repository that a name may mean, without open_clip's prefix `hf-hub:`; None for other names and paths.

    >>> repository_of("hf-hub:openai/clip-vit-base-patch16"), repository_of("ViT-B-16"), repository_of("./a/b")
    ('openai/clip-vit-base-patch16', None, None)
    """
    match = _REPOSITORY.fullmatch(name)
    return match[1] if match is not None and not os.path.lexists(name) else None


def hub_copy(name: str) -> Path | None:
    """Return the folder of a repository's current copy in the hub's cache.

    Args:
        name: `owner/name`, `hf-hub:owner/name`, or the path of a repository's folder in a cache.

    Returns:
        None if the name is not one of these, or the cache has no copy.
    """
    if os.path.isdir(Path(name) / _COMMITS):  # noqa: PTH112 - False for a name that is too long for the system
        return _current(Path(name).absolute())
    if (repository := repository_of(name)) is None:
        return None
    from huggingface_hub import constants

    return _current(Path(constants.HF_HUB_CACHE).absolute() / f"models--{repository.replace('/', '--')}")


def _current(folder: Path) -> Path | None:
    """Return the copy that the branch `main` names, else the newest one; None if there is none."""
    try:
        commit = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        commit = ""
    found = [each for each in (folder / _COMMITS).glob("*") if each.is_dir()]
    return max(found, key=lambda each: (each.name == commit, each.stat().st_mtime, each.name), default=None)


def weights_in(folder: Path) -> Path | None:
    """Return the first of `FOLDER_FILES` in a folder, or a run's image encoder; None if there is none.

    Raises:
        WeightsError: If it is a link to a place outside the folder, or the weights are in several files.
    """
    found = next((folder / name for name in (*FOLDER_FILES, _IN_A_RUN) if (folder / name).is_file()), None)
    if found is None and (parts := sorted(each.name for each in folder.glob("*.index.json"))):
        raise WeightsError(
            f"{folder} has its weights in several files ({parts[0]} lists them), which cannot be read.",
            "Save them as one file, such as model.safetensors, with the program that wrote them.",
        )
    if found is not None:
        refuse_outside(found, folder, remedy=f"If you trust this file, name it: --pretrained {found.resolve()}")
    return found


def given_file(pretrained: str) -> Path:
    """Return the file that `--pretrained` names: itself, or that of a folder or of a copy in the hub's cache.

    Raises:
        WeightsError: If there is none; the message names what was looked for.
    """
    path = check_local(Path(pretrained)).absolute()
    folder = hub_copy(pretrained) or (path if path.is_dir() else None)
    if folder is not None:
        if (found := weights_in(folder)) is None:
            raise WeightsError(
                f"{folder} has no weights file.", f"It should hold {', '.join(FOLDER_FILES)}. Or give a file."
            )
        return found
    if not path.is_file():
        repository = repository_of(pretrained) if path.suffix not in SUFFIXES else None
        fetch = f" Or fetch a copy into the hub's cache: hf download {repository}" if repository else ""
        raise WeightsError(f"The weights file {path} does not exist.", f"Give its path: --pretrained FILE.{fetch}")
    return path


def is_file_name(pretrained: str) -> bool:
    """Return whether `--pretrained` is a path, not a tag or a repository whose copy the hub's cache has.

    It is one by its suffix or folder, or because such weights exist.
    """
    path = Path(pretrained)
    if path.is_file() or (path.is_dir() and (hub_copy(pretrained) or weights_in(path)) is not None):
        return True
    return (path.suffix in SUFFIXES or len(path.parts) > 1) and hub_copy(pretrained) is None


def is_place(pretrained: str) -> bool:
    """Return whether `--pretrained` is a path or a repository in the hub's cache, not a tag or `random`."""
    return is_file_name(pretrained) or hub_copy(pretrained) is not None


def refuse_outside(file: Path, *named: Path, remedy: str = "If you trust this file, copy it into the folder.") -> None:
    """Check that a file lies in one of some folders, links followed.

    Args:
        file: The file; it need not exist.
        named: The folders, as for `leads_outside`.
        remedy: What to do with a link to a place outside.

    Raises:
        WeightsError: If it is a link to a place outside.
    """
    if all(leads_outside(file, folder) for folder in named):
        what = f"{spelled(file)} is a link to {spelled(file.resolve())}, outside its folder: it was not opened."
        raise WeightsError(what, remedy)


def leads_outside(file: Path, named: Path) -> bool:
    """Return whether a file is outside a folder, links followed; in the hub's cache, outside its repository's folder.

    Args:
        file: A file in the folder, or in a folder in it.
        named: The folder that the user named, which may be a link.
    """
    folder = named.resolve()
    root = folder.parents[1] if folder.parent.name == _COMMITS else folder
    return not file.resolve().is_relative_to(root)
