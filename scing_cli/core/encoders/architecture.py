"""The CLIP architectures that can be used, and the sizes of their towers.

A model is described by a JSON file in open_clip's format: one that open_clip ships, one of this package
(`assets/models`), or the user's own. This module imports neither torch nor open_clip.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scing_cli.core.encoders.geometry import LARGEST_SIDE
from scing_cli.core.encoders.graph_names import refuse_graph_file
from scing_cli.core.encoders.local_copies import hub_copy, refuse_outside, repository_of
from scing_cli.core.encoders.published_tags import model_of
from scing_cli.core.encoders.tokenizer import VOCABULARY
from scing_cli.core.encoders.transformers_config import from_transformers
from scing_cli.core.encoders.unknown_model import unknown_model
from scing_cli.core.errors import WeightsError, spelled
from scing_cli.core.safe_reading import SMALL, check_ordinary, parse_json, read_limited

OWN_MODELS = Path(__file__).parents[2] / "assets" / "models"
PERSON_SIZE = (256, 128)
LARGEST: Mapping[str, int] = MappingProxyType({"layers": 256, "image_size": LARGEST_SIDE, "mlp_ratio": 64})
LARGEST_NUMBER = 2**16  # for other keys; without limits, a damaged file would use up all memory
_VISION = frozenset({"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio"})
_TEXT = frozenset({"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"})
_TOP = frozenset({"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"})
FORM = "Your own model is a JSON file in open_clip's format, with embed_dim, vision_cfg and text_cfg."
CONFIG_FILES = ("open_clip_config.json", "config.json")
_PLAIN = {"pool_type": ("tok", "argmax"), "pos_embed_type": ("learnable",), "proj_type": ("linear",)}


@dataclasses.dataclass(frozen=True, slots=True)
class ImageTower:
    """Arguments of `image.ImageEncoder`, except the geometry."""

    width: int
    layers: int
    heads: int
    embed_dim: int
    mlp_ratio: float
    quick_gelu: bool


@dataclasses.dataclass(frozen=True, slots=True)
class TextTower:
    """Arguments of `text.TextEncoder`."""

    width: int
    layers: int
    heads: int
    embed_dim: int
    context_length: int
    vocab_size: int
    mlp_ratio: float
    quick_gelu: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Architecture:
    """The architecture of a CLIP model with two plain transformers.

    Args:
        name: The model's name, or the absolute path of its JSON file.
        image: The image tower.
        text: The text tower.
        patch: Side of a patch, in pixels.
        native: Height and width of the images that the model was pretrained on.
        size: Default height and width: `native`, or 256x128 where `native` is square.
    """

    name: str
    image: ImageTower
    text: TextTower
    patch: int
    native: tuple[int, int]
    size: tuple[int, int]


@functools.cache
def known_models() -> tuple[str, ...]:
    """Return the sorted names of all usable models: a plain vision transformer with a plain causal text transformer."""
    return tuple(sorted(name for name, path in _files().items() if _is_plain(name, path)))


def find_architecture(name: str) -> Architecture:
    """Read a model's architecture.

    Args:
        name: A model's name, or the path of a JSON file in open_clip's or transformers' format (it must end in
            `.json`), or of a folder with one of `CONFIG_FILES`, or a repository `owner/name` in the hub's cache. An
            `image_size` of two numbers is height and width. One number means square pretraining; the default size is
            then 256x128.

    Raises:
        WeightsError: If the name is unknown (the message lists close matches), or the model is not a plain CLIP (the
            message gives the reason).
    """
    refuse_graph_file(name)
    files = _files()
    if name in files:
        return _parse(name, _read(files[name]))
    repository = repository_of(name)
    if (path := config_file(name)) is not None:
        return _parse(repository or path.as_posix(), _read(path))
    if repository is not None and hub_copy(repository) is not None:  # open_clip fetches weights without a JSON file
        listed = model_of(repository)
        if listed not in files:
            raise WeightsError(f"--model {name}: its copy has no {' or '.join(CONFIG_FILES)}.", FORM)
        return _parse(repository, _read(files[listed]))
    if Path(name).is_absolute() or name.startswith("."):
        raise WeightsError(f"--model {name}: there is no such folder.", "Check its path.")
    raise unknown_model(name, known_models())


def config_file(name: str) -> Path | None:
    """Return the absolute path of the JSON file that `--model` names, or of that in its folder; None for a name.

    Args:
        name: As for `find_architecture`. A repository may have a copy without such a file.

    Raises:
        WeightsError: If it is a folder without such a file.
    """
    path = Path(name).absolute()
    if name.endswith(".json"):
        return path
    if name in _files():
        return None
    copy = hub_copy(name)
    if copy is None and not os.path.isdir(path):  # noqa: PTH112 - False for a name that is too long for the system
        return None
    folder = copy or path
    found = next((folder / file for file in CONFIG_FILES if (folder / file).is_file()), None)
    if found is None and (copy is None or path.is_dir()):
        remedy = f"It is a run: --run {path}" if (path / "run.json").is_file() else FORM
        raise WeightsError(f"--model {path}: the folder has no {' or '.join(CONFIG_FILES)}.", remedy)
    if found is not None:
        refuse_outside(found, folder)
    return found


@functools.cache
def _files() -> dict[str, Path]:
    """Return the JSON file of every model, by name."""
    # `find_spec` locates open_clip without importing it: an import takes seconds.
    spec = importlib.util.find_spec("open_clip")
    folders = [Path(folder) / "model_configs" for folder in (spec and spec.submodule_search_locations) or ()]
    return {path.stem: path for folder in (*folders, OWN_MODELS) for path in sorted(folder.glob("*.json"))}


def _is_plain(name: str, path: Path) -> bool:
    try:
        _parse(name, _read(path))
    except WeightsError:
        return False
    return True


def _read(path: Path) -> Mapping[str, Any]:
    try:
        check_ordinary(path)
        content = parse_json(read_limited(path, SMALL))
    except FileNotFoundError:
        raise WeightsError(f"--model {path}: the file does not exist.", FORM) from None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"--model {path} cannot be read as JSON: {error}.", FORM) from error
    if not isinstance(content, dict):
        raise WeightsError(f"--model {path} does not contain a JSON object.", FORM)
    return content


def _parse(name: str, content: Mapping[str, Any]) -> Architecture:
    """Convert open_clip's format to an architecture.

    Raises:
        WeightsError: If the model cannot be used; the message gives the reason.
    """
    content = content["model_cfg"] if isinstance(content.get("model_cfg"), Mapping) else content
    if isinstance(content.get("vision_config"), Mapping) and isinstance(content.get("text_config"), Mapping):
        content = from_transformers(content)
    vision, text = content.get("vision_cfg"), content.get("text_cfg")
    if not isinstance(vision, Mapping) or not isinstance(text, Mapping):
        raise _unsuitable(name, "it has no vision_cfg and text_cfg")
    if reason := _foreign(content, vision, text):
        raise _unsuitable(name, reason)
    try:
        return _build(name, content, vision, text)
    except (TypeError, ValueError) as error:
        raise _unsuitable(name, str(error)) from error


def _unsuitable(name: str, reason: str) -> WeightsError:
    return WeightsError(
        f"The model {name} cannot be used: {reason}.",
        "Choose a CLIP with a plain vision transformer, such as ViT-B-16-quickgelu.",
    )


def _foreign(content: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any]) -> str:
    """Return why a model is not a pair of plain transformers; empty if it is."""
    if "timm_model_name" in vision:
        return "its image tower is a timm model, not a plain vision transformer"
    if isinstance(vision.get("layers"), list):
        return "its image tower is a ResNet, not a vision transformer"
    if "hf_model_name" in text:
        return "its text tower is another language model, not CLIP's causal transformer"
    if text.get("hf_tokenizer_name"):
        return "its text tower needs a different tokenizer than CLIP's"
    for title, section, known in (("", content, _TOP), ("vision_cfg.", vision, _VISION), ("text_cfg.", text, _TEXT)):
        for key, value in section.items():
            if key not in known and value and value not in _PLAIN.get(key, ()):
                return f"{title}{spelled(key)} = {value!r} is not part of a plain CLIP"
    return ""


def _build(name: str, content: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any]) -> Architecture:
    embed_dim = _whole(content, "embed_dim", None)
    quick_gelu = bool(content.get("quick_gelu", False))
    width = _whole(vision, "width", 768)
    native, size = _sizes(vision.get("image_size", 224))
    image = ImageTower(
        width=width,
        layers=_whole(vision, "layers", 12),
        heads=width // _whole(vision, "head_width", 64),
        embed_dim=embed_dim,
        mlp_ratio=_ratio(vision),
        quick_gelu=quick_gelu,
    )
    words = TextTower(
        width=_whole(text, "width", 512),
        layers=_whole(text, "layers", 12),
        heads=_whole(text, "heads", 8),
        embed_dim=embed_dim,
        context_length=_whole(text, "context_length", 77),
        vocab_size=_whole(text, "vocab_size", VOCABULARY),
        mlp_ratio=_ratio(text),
        quick_gelu=quick_gelu,
    )
    _check_heads("vision_cfg", image)
    _check_heads("text_cfg", words)
    if words.vocab_size != VOCABULARY:
        raise ValueError(f"text_cfg.vocab_size is {words.vocab_size}, but CLIP's tokenizer has {VOCABULARY} tokens")
    patch = _whole(vision, "patch_size", 16)
    if patch > min(*native, *size):
        raise ValueError(f"vision_cfg.patch_size {patch} is larger than the image")
    return Architecture(name=name, image=image, text=words, patch=patch, native=native, size=size)


def _sizes(image_size: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the (height, width) of pretraining and the default (height, width)."""
    if isinstance(image_size, list) and len(image_size) == 2:
        height, width = (_whole({"image_size": side}, "image_size", None) for side in image_size)
        return (height, width), (height, width)
    side = _whole({"image_size": image_size}, "image_size", None)
    return (side, side), PERSON_SIZE


def _check_heads(title: str, tower: ImageTower | TextTower) -> None:
    if tower.heads < 1 or tower.width % tower.heads:
        raise ValueError(f"{title}: the width {tower.width} cannot be divided among {tower.heads} heads")


def _whole(section: Mapping[str, Any], key: str, default: int | None) -> int:
    value = section.get(key, default)
    largest = LARGEST.get(key, LARGEST_NUMBER)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise ValueError(f"{key} must be a whole number from 1 to {largest:,}, not {value!r}")
    return value


def _ratio(section: Mapping[str, Any]) -> float:
    value = section.get("mlp_ratio", 4.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST["mlp_ratio"]:
        raise ValueError(f"mlp_ratio must be a number above 0, at most {LARGEST['mlp_ratio']}, not {value!r}")
    return float(value)


def check_sizes(tower: object) -> None:
    """Check the sizes in an image tower's stamp before a tower is built from them.

    Raises:
        TypeError: If `tower` is not a mapping.
        ValueError: If a size is missing or out of range.
    """
    if not isinstance(tower, Mapping):
        raise TypeError("the sizes of its model are not a JSON object")
    for name in ("width", "layers", "heads", "embed_dim"):
        _whole(tower, name, None)
    _ratio(tower)
