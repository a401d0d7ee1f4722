"""Recognises the layout of a weights file by the names of its tensors, and renames them as in CLIP.

| layout | recognised by |
|---|---|
| OpenAI's CLIP, open_clip | `visual.conv1.weight` |
| transformers' CLIPModel | `vision_model.embeddings.patch_embedding.weight` |
| CLIP-ReID | `image_encoder.conv1.weight` |
| an image tower alone | `conv1.weight` and `class_embedding` |

A prefix that wrappers add, such as `module.`, `model.` or `clip_model.`, is removed; tensors without it belong to other
parts of a training and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]

CLIP, TRANSFORMERS, CLIP_REID, TOWER = "CLIP", "transformers' CLIPModel", "CLIP-ReID", "an image tower"
CAMERAS = "camera_embedding"
_ANCHORS = {
    CLIP: "visual.conv1.weight",
    TRANSFORMERS: "vision_model.embeddings.patch_embedding.weight",
    CLIP_REID: "image_encoder.conv1.weight",
    TOWER: "conv1.weight",
}
_WRAPPER = re.compile(r"(?:[A-Za-z_]\w*\.)*")
_PARTS = {"attn_mask", "position_ids", "num_batches_tracked"}
_SIZES = frozenset({"input_resolution", "context_length", "vocab_size"})


class Named(NamedTuple):
    """A file's tensors by CLIP's names.

    Args:
        layout: The layout of the file; empty if it is not known.
        state: `visual.*` and, if the file has one, the text tower and `logit_scale`.
        openai: Whether the file has the form in which OpenAI published its weights.
    """

    layout: str
    state: State
    openai: bool = False


def clip_names(found: Mapping[str, Tensor]) -> Named:
    """Return the tensors by CLIP's names. In a file of an unknown layout, names stay as they are.

    Args:
        found: Named tensors of a file.

    Raises:
        ValueError: If tensors are not plain arrays, or do not fit together.
    """
    tensors = {name: tensor for name, tensor in found.items() if not _is_extra(name)}
    for layout, anchor in _ANCHORS.items():
        prefix = _prefix(tensors, anchor)
        if prefix is None or (layout == TOWER and f"{prefix}class_embedding" not in tensors):
            continue
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        check_arrays(own)
        return Named(layout, _checked_cameras(_CONVERT[layout](own)))
    return Named("", tensors)


def check_arrays(tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors have their numbers in memory, one after the other.

    Raises:
        ValueError: If one does not, such as a sparse or quantized tensor; the message names it.
    """
    for name, tensor in tensors.items():
        kinds = {
            "nested": tensor.is_nested,
            "quantized": tensor.is_quantized,
            "without numbers": tensor.is_meta,
            "sparse": tensor.layout != torch.strided,
        }
        if kind := next((kind for kind, found in kinds.items() if found), None):
            raise ValueError(f"{name} is {kind}")


def has_sizes(found: Mapping[str, Tensor]) -> bool:
    """Return whether tensors include the sizes that OpenAI's files have in addition to the weights."""
    return any(name.rpartition(".")[2] in _SIZES for name in found)


def is_tower_alone(state: Mapping[str, Tensor]) -> bool:
    """Return whether tensors by CLIP's names have an image tower and nothing of a text tower."""
    return bool(state) and all(name.startswith("visual.") for name in state)


def _prefix(tensors: Mapping[str, Tensor], anchor: str) -> str | None:
    """Return the shortest prefix of a wrapper in front of a name; None if the name is not there."""
    prefixes = [
        name.removesuffix(anchor)
        for name in tensors
        if name.endswith(anchor) and _WRAPPER.fullmatch(name.removesuffix(anchor))
    ]
    return min(prefixes, key=len, default=None)


def _is_extra(name: str) -> bool:
    """Return whether a tensor is a size, a mask or a counter, which some files contain in addition to the weights."""
    return name in _SIZES or name.rpartition(".")[2] in _PARTS


def _plain(state: State) -> State:
    """Remove the prefix `text.` of open_clip's models with a text module of their own."""
    return {name.removeprefix("text."): tensor for name, tensor in state.items()}


def _image_tower(state: State) -> State:
    return {f"visual.{name}": tensor for name, tensor in state.items()}


def _clip_reid(state: State) -> State:
    """Keep the image tower and the camera vectors. The text tower has no token table, so it cannot be used."""
    tower = {name: tensor for name, tensor in state.items() if name.startswith("image_encoder.")}
    image = _image_tower({name.removeprefix("image_encoder."): tensor for name, tensor in tower.items()})
    return {**image, **({f"visual.{CAMERAS}": state["cv_embed"]} if "cv_embed" in state else {})}


def _checked_cameras(state: State) -> State:
    vectors = state.get(f"visual.{CAMERAS}")
    if vectors is not None and vectors.ndim != 2:
        raise ValueError(f"its camera vectors have shape {tuple(vectors.shape)}, which is not one row per camera")
    return state


def _transformers(state: State) -> State:
    """Rename, join the weights of queries, keys and values, and transpose the projections."""
    result: State = {}
    for name, tensor in state.items():
        if (split := _QUERY.fullmatch(name)) is not None:
            block, kind = split.groups()
            joined = [state.get(f"{block}self_attn.{part}_proj.{kind}") for part in "qkv"]
            known = [part for part in joined if part is not None]
            shapes = [tuple(part.shape) for part in known]
            if len(set(shapes)) > 1 or not shapes[0]:
                raise ValueError(f"the {kind}s of {block}self_attn have shapes {', '.join(map(str, shapes))}")
            result[f"{_renamed(block)}attn.in_proj_{kind}"] = torch.cat(
                [part.float() if part.is_floating_point() else part for part in known]
            )
        elif _KEY_OR_VALUE.fullmatch(name) is None:
            result[_renamed(name)] = tensor.T if name in _TRANSPOSED and tensor.ndim == 2 else tensor
    return {name: tensor.contiguous() for name, tensor in result.items()}


def _renamed(name: str) -> str:
    for old, new in _TRANSFORMERS_NAMES:
        name = re.sub(old, new, name)
    return name


_QUERY = re.compile(r"(.*\.encoder\.layers\.[0-9]+\.)self_attn\.q_proj\.(weight|bias)")
_KEY_OR_VALUE = re.compile(r".*\.self_attn\.[kv]_proj\.(weight|bias)")
_TRANSPOSED = frozenset({"visual_projection.weight", "text_projection.weight"})
_TRANSFORMERS_NAMES: Sequence[tuple[str, str]] = (
    (r"^visual_projection\.weight$", "visual.proj"),
    (r"^text_projection\.weight$", "text_projection"),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
_CONVERT: Mapping[str, Callable[[State], State]] = {
    CLIP: _plain,
    TRANSFORMERS: _transformers,
    CLIP_REID: _clip_reid,
    TOWER: _image_tower,
}
