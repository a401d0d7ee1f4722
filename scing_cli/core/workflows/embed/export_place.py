"""Where an exported model is written, and in which format."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.encoders.export_facts import KEY
from scing_cli.core.errors import WRITE_REMEDY, ScingError, SettingError, one_line, spelled
from scing_cli.core.safe_reading import MOST, SMALL, check_ordinary, parse_json, read_limited

ONNX, OPEN_CLIP, TRANSFORMERS = "onnx", "open_clip", "transformers"
EXPORT_FORMATS = (ONNX, OPEN_CLIP, TRANSFORMERS)
OWN_FILES = frozenset(
    {
        "open_clip_config.json",
        "open_clip_model.safetensors",
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
    }
)
_WITHOUT_FACTS = frozenset({"preprocessor_config.json"})  # transformers does not pass on other keys of it
_LARGEST = 2**31 - 1  # bytes of an ONNX file
# Names of single files in formats that are not written; a folder of such a name would only confuse.
_OTHERS = frozenset({".bin", ".ckpt", ".engine", ".json", ".pb", ".pt", ".pth", ".safetensors", ".tflite", ".xml"})


def choose_format(target: Path, named: str | None) -> str:
    """Return the format of an export: the one that was named, else ONNX for a name in `.onnx`, else open_clip's folder.

    Raises:
        SettingError: If the format is unknown, or the name does not fit it.
    """
    if named is not None and named not in EXPORT_FORMATS:
        raise SettingError(f"--export-format {named!r} is unknown.", f"Known: {', '.join(EXPORT_FORMATS)}.")
    shown, is_onnx = f"--export {spelled(target)}", target.suffix.lower() == ".onnx"
    if target.name in {"", ".."}:
        raise SettingError(f"{shown} does not name a new file or folder.", "For example: --export encoder.onnx")
    if named == ONNX and not is_onnx:
        raise SettingError(f"{shown}: the name of an ONNX file ends in .onnx.", f"Name it {spelled(target.name)}.onnx.")
    if named not in (None, ONNX) and is_onnx:
        raise SettingError(f"{shown} names an ONNX file, but --export-format {named} is a folder.", "Leave one out.")
    if target.suffix.lower() in _OTHERS:
        raise SettingError(
            f"{shown}: no single file of this kind is written.",
            "Name an ONNX file (NAME.onnx), or a folder, which gets configuration and safetensors.",
        )
    return named or (ONNX if is_onnx else OPEN_CLIP)


def check_target(target: Path, chosen: str, *, force: bool) -> None:
    """Check that an export can be written.

    Raises:
        ScingError: If the target exists and may not be replaced, or its folder cannot be written.
    """
    if not target.parent.is_dir():
        raise ScingError(
            f"Cannot write {spelled(target)}: there is no folder {spelled(target.parent)}.",
            "Create the folder first, or name another path.",
        )
    if os.path.lexists(target):
        if not force:
            raise ScingError(
                f"{spelled(target)} is there already.", "Replace it with --force, or name another --export."
            )
        _check_replaceable(target, chosen)
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ScingError(
            f"Cannot write {spelled(target)}: {error.strerror}.", "Choose another place for it."
        ) from error


def _check_replaceable(target: Path, chosen: str) -> None:
    """Check that `--force` replaces nothing but a file by a file, or a folder by another one, that scing exported."""
    is_folder = target.is_dir() and not target.is_symlink()
    if is_folder == (chosen == ONNX):
        kinds = ("a folder", "a file") if is_folder else ("not a folder", "a folder")
        raise ScingError(f"{spelled(target)} is {kinds[0]}; {chosen} is {kinds[1]}.", "Name another --export.")
    if not is_folder:
        if not _is_exported(target):
            raise ScingError(
                f"{spelled(target)} is not an export of scing: --force does not replace it.", "Name another file."
            )
        return
    files = sorted(target.iterdir())
    if others := [file.name for file in files if file.name not in OWN_FILES]:
        raise ScingError(
            f"{spelled(target)} holds other files, such as {spelled(others[0])}: --force does not replace it.",
            "Name another folder.",
        )
    # Models of other programs have files of the same names.
    stating = [file for file in files if file.name not in _WITHOUT_FACTS]
    if files and not (stating and all(map(_is_exported, stating))):
        raise ScingError(
            f"{spelled(target)} is not an export of scing: --force does not replace it.", "Name another folder."
        )


def _is_exported(file: Path) -> bool:
    """Return whether a file has the facts that `export_facts` wrote into it."""
    try:
        check_ordinary(file)
        return _has_facts(_stated(file))
    except (OSError, ValueError, ScingError):
        return False


def _stated(file: Path) -> object:
    """Return what is under the key `scing` of a configuration, a safetensors file or an ONNX file."""
    if file.suffix == ".json":
        content = parse_json(read_limited(file, SMALL))
        return content.get(KEY) if isinstance(content, dict) else None
    if file.suffix == ".safetensors":
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = parse_json(stream.read(min(size, MOST)))
        metadata = header.get("__metadata__") if isinstance(header, dict) else None
        text = metadata.get(KEY) if isinstance(metadata, dict) else None
    else:
        from scing_cli.core.encoders.graph_files.onnx_graph import read_onnx

        text = read_onnx(read_limited(file, _LARGEST), file).statement
    return parse_json(text.encode()) if isinstance(text, str) else None


def _has_facts(facts: object) -> bool:
    """Return whether these are facts of an export; who wrote an encoder may state its preparation alone."""
    return isinstance(facts, dict) and "digest" in facts and str(facts.get("made_by")).startswith("scing ")


@contextlib.contextmanager
def replacing_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """Yield an empty folder next to `target`. On success it is renamed to `target`, otherwise it is removed.

    Args:
        target: The folder to write.
        force: Replace a former export.

    Raises:
        ScingError: If the folder cannot be written, or appeared in the meantime.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            made, former = Path(temporary) / "made", Path(temporary) / "former"
            made.mkdir()  # with the permissions of a usual folder
            try:
                yield made
            except ScingError as error:  # it names a file of the temporary folder
                raise type(error)(error.what.replace(str(made), spelled(target)), error.remedy) from error
            check_target(target, OPEN_CLIP, force=force)
            if target.exists():
                target.rename(former)
            try:
                made.rename(target)
            except OSError:
                if former.exists():
                    former.rename(target)
                raise
    except OSError as error:
        raise ScingError(
            f"Cannot write {spelled(target)}: {error.strerror or one_line(error)}.", WRITE_REMEDY
        ) from error
