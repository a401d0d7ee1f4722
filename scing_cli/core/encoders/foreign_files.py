"""Says what a file is that cannot be used as weights of a CLIP: by its first bytes, its keys, or its tensors' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from scing_cli.core.encoders.architecture import find_architecture, known_models
from scing_cli.core.errors import WeightsError, spelled

ONNX_WAY = "Of another network, export the image encoder as ONNX and give that to --model: --model encoder.onnx"
_CLIPS = "Use a CLIP: a file of OpenAI, open_clip, transformers or CLIP-ReID, or one that scing wrote."
_AGAIN = "Download it again; the address may need a login, or lead to a page instead of the file."
_GRAPH = "Give it to --model instead of --pretrained: --model FILE"
_START = 512  # bytes
_SHOWN = 3
_STARTS: tuple[tuple[str, bytes, str], ...] = (
    (
        "a pointer of Git LFS, not the file itself",
        rb"version https://git-lfs",
        "Fetch the file in its repository: git lfs pull",
    ),
    ("an HTML page", rb"\s*(<!--.*?-->\s*)?<(!doctype html|html|head)", _AGAIN),
    ("an OpenVINO graph", rb"\s*(<\?xml[^>]*>\s*)?<net\s", _GRAPH),
    ("an XML file", rb"\s*<\?xml", _AGAIN),
    ("a GGUF file, made for llama.cpp", rb"GGUF", f"{_CLIPS}\n{ONNX_WAY}"),
    ("an ONNX graph", rb"\x08[\x01-\x20](\x12|\x1a|:|B)", _GRAPH),
    ("an HDF5 file, as Keras writes them", rb"\x89HDF\r\n", f"{_CLIPS}\n{ONNX_WAY}"),
    ("an array of numpy", rb"\x93NUMPY", _CLIPS),
    (
        "a compressed file",
        rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|\x28\xb5\x2f\xfd|Rar!",
        "Unpack it, and name the file that it holds.",
    ),
    ("a picture", rb"\xff\xd8\xff|\x89PNG\r\n", _CLIPS),
    ("a JSON file", rb"\s*[{\[]\s*[\"{\[]", "Name the file with the weights, or the folder of both: --model DIR"),
)
_OTHERS = (
    ("an OSNet, such as torchreid's", r"(^|\.)conv1\.conv\.weight$|\.conv2[abcd]\.|\.conv2\.0\.conv2a\."),
    ("a CLIP with a ResNet as image encoder", r"(^|\.)(visual|image_encoder)\.layer1\."),
    ("a CLIP with an image encoder of timm, such as a SigLIP", r"(^|\.)visual\.trunk\."),
    ("a SigLIP or another model of transformers", r"(^|\.)vision_model\.(head|embeddings)\."),
    ("a detector, such as YOLO", r"(^|\.)model\.[0-9]+\.(conv|cv[0-9]|m)\.|(^|\.)(rpn|roi_heads|bbox_head)\."),
    ("a Swin transformer", r"(^|\.)layers\.0\.blocks\.0\.attn\."),
    (
        "a vision transformer of timm, DINO or TransReID",
        r"(^|\.)patch_embed\.proj\.weight$|(^|\.)blocks\.0\.attn\.qkv\.",
    ),
    ("a ResNet", r"(^|\.)layer1\.0\.conv1\.weight$|(^|\.)layer1\.0\.bn1\."),
    ("a language model", r"(^|\.)(lm_head|embed_tokens|wte)\.weight$"),
)


def told_by_start(path: Path) -> WeightsError | None:
    """Return the message for a file of another kind, by its first bytes; None if they are not of a known kind.

    Args:
        path: A file that could not be read as weights.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(_START)
    except OSError:  # its reader said why
        return None
    for what, pattern, remedy in _STARTS:
        if re.match(pattern, start, re.IGNORECASE | re.DOTALL):
            return WeightsError(f"{path} is {what}: it holds no weights that can be read.", remedy)
    return None


def without_tensors(path: Path, content: Any) -> WeightsError:
    """Return the message for a checkpoint that was read and has no named tensors.

    Args:
        path: The file.
        content: What it holds.
    """
    keys = set(content) if isinstance(content, Mapping) else set()
    if {"state", "param_groups"} <= keys:
        return WeightsError(
            f"{path} is the state of an optimizer, not weights.", "Name the file that the training wrote for the model."
        )
    shown = f": it has {', '.join(spelled(str(key)) for key in list(content)[:_SHOWN])}" if keys else ""
    return WeightsError(f"{path} does not contain named tensors{shown}.", "Use a file with a whole CLIP model.")


def appearance(names: Iterable[str]) -> str:
    """Return what kind of model tensors look like that are not those of a plain CLIP; empty if it is not known."""
    known = list(names)
    return next((what for what, pattern in _OTHERS if any(re.search(pattern, name) for name in known)), "")


def not_a_clip(path: Path, found: Mapping[str, Tensor], *, archive: bool) -> WeightsError:
    """Return the message for tensors of another kind of model.

    Args:
        path: The file.
        found: Its tensors.
        archive: Whether it is a TorchScript archive.
    """
    kind = appearance(found)
    looks = f": it looks like {kind}" if kind else ""
    what = f"{path} is a TorchScript archive, but not of a CLIP" if archive else f"{path} is not a CLIP"
    if kind.startswith("a CLIP"):
        what, looks = f"{path} looks like {kind}", ", which scing cannot use"
    names = ", ".join(map(spelled, list(found)[:_SHOWN]))
    return WeightsError(f"{what}{looks}. Its tensors are named {names}, ...", f"{_CLIPS}\n{ONNX_WAY}")


def fitting_models(state: Mapping[str, Tensor]) -> str:
    """Return a remedy that names the known models with the sizes of an image tower.

    Args:
        state: Tensors by CLIP's names.
    """
    patches, projection = state.get("visual.conv1.weight"), state.get("visual.proj")
    if patches is None or projection is None or patches.ndim != 4 or projection.ndim != 2:
        return "Choose the --model that the file was made for."
    blocks = {match[1] for name in state if (match := re.match(r"visual\.transformer\.resblocks\.([0-9]+)\.", name))}
    sizes = (patches.shape[0], len(blocks), patches.shape[-1], projection.shape[1])
    fitting = []
    for name in known_models():
        model = find_architecture(name)
        if sizes == (model.image.width, model.image.layers, model.patch, model.image.embed_dim):
            fitting.append(name)
    if fitting:
        return f"Its image encoder has the sizes of {', '.join(fitting)}: choose one of them as --model."
    width, layers, patch, dimensions = sizes
    return (
        f"No model of open_clip has an image encoder of its sizes (width {width}, {layers} layers, patches of {patch}, "
        f"{dimensions} dimensions). Describe it in a JSON file in open_clip's format: --model FILE.json"
    )
