"""Writes a CLIP as a folder that open_clip or transformers loads."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scing_cli.core.artifacts import replacing, write_text
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.export_facts import KEY

OPEN_CLIP, TRANSFORMERS = "open_clip", "transformers"
FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        OPEN_CLIP: ("open_clip_config.json", "open_clip_model.safetensors"),
        TRANSFORMERS: ("config.json", "preprocessor_config.json", "model.safetensors"),
    }
)
"""The files of each kind of folder; the last one has the weights."""
_RESAMPLING = {"bilinear": 2, "bicubic": 3}  # Pillow's numbers
_START, _END, _PAD = 49406, 49407, 1  # tokens, as transformers' CLIPTextConfig has them


def write_clip_folder(folder: Path, clip: ClipModel, kind: str, facts: Mapping[str, Any]) -> None:
    """Write a CLIP whose patches do not overlap and whose image tower has no camera vectors.

    Args:
        folder: An empty folder.
        clip: The model; for transformers, its image is square.
        kind: `OPEN_CLIP` or `TRANSFORMERS`.
        facts: What is stated under the key `scing`.
    """
    state = clip_state(clip)
    if kind == TRANSFORMERS:
        state = transformers_state(state)
        contents = [_transformers_config(clip), _preprocessor(clip)]
        contents[0][KEY] = dict(facts)
    else:
        contents = [{**_open_clip_config(clip), KEY: dict(facts)}]
    *names, weights = FILES[kind]
    for name, content in zip(names, contents, strict=True):
        write_text(folder / name, json.dumps(content, indent=2) + "\n")
    with replacing(folder / weights) as temporary:
        save_file(state, temporary, metadata={"format": "pt", KEY: json.dumps(facts)})
        _sort_metadata(temporary)


def _sort_metadata(file: Path) -> None:
    """Sort the metadata of a safetensors file, so that equal models give equal files."""
    with file.open("r+b") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        # The writer puts them in any order.
        metadata = dict(sorted(header.pop("__metadata__").items()))
        text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":"))
        stream.seek(8)
        stream.write(text.encode().ljust(size))  # the same characters in another order


def clip_state(clip: ClipModel) -> dict[str, Tensor]:
    """Return the weights of both towers and the temperature, by open_clip's names."""
    state = {f"visual.{name}": tensor for name, tensor in clip.image.state_dict().items()} | clip.text.state_dict()
    state["logit_scale"] = torch.tensor(math.log(clip.logit_scale))
    return {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()}


def transformers_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the names of transformers' CLIPModel; queries, keys and values become separate tensors."""
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        new = name
        for old, text in _NAMES:
            new = re.sub(old, text, new)
        if ".in_proj_" in new:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                result[new.replace(".in_proj_", f".{letter}_proj.")] = part.clone()
        else:
            result[new] = tensor.T.contiguous() if new in _TRANSPOSED else tensor
    return result


_TRANSPOSED = frozenset({"visual_projection.weight", "text_projection.weight"})
_NAMES: Sequence[tuple[str, str]] = (
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^text_projection$", "text_projection.weight"),
    (r"^visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),  # transformers' own spelling
    (r"^visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"\.attn\.", ".self_attn."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)


def _open_clip_config(clip: ClipModel) -> dict[str, Any]:
    geometry, image, text = clip.image.geometry, clip.image.config, clip.text
    size = [geometry.height, geometry.width]
    return {
        "model_cfg": {
            "embed_dim": clip.image.embed_dim,
            "quick_gelu": bool(image["quick_gelu"]),
            "vision_cfg": {
                "image_size": size,
                "patch_size": geometry.patch,
                "width": image["width"],
                "layers": image["layers"],
                "head_width": image["width"] // image["heads"],
                "mlp_ratio": image["mlp_ratio"],
            },
            "text_cfg": {
                "context_length": text.context_length,
                "vocab_size": text.token_embedding.num_embeddings,
                "width": text.width,
                "heads": _block(text).attn.num_heads,
                "layers": len(text.transformer.resblocks),
                "mlp_ratio": _inner(text) / text.width,
            },
        },
        "preprocess_cfg": {
            "size": size,
            "mode": "RGB",
            "mean": list(geometry.mean),
            "std": list(geometry.std),
            "interpolation": geometry.interpolation,
            "resize_mode": "squash",
        },
    }


def _transformers_config(clip: ClipModel) -> dict[str, Any]:
    geometry, image, text = clip.image.geometry, clip.image.config, clip.text
    shared = {
        "projection_dim": clip.image.embed_dim,
        "hidden_act": "quick_gelu" if image["quick_gelu"] else "gelu",
        "layer_norm_eps": 1e-5,
    }
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": clip.image.embed_dim,
        "vision_config": {
            "model_type": "clip_vision_model",
            "image_size": geometry.height,
            "patch_size": geometry.patch,
            "hidden_size": image["width"],
            "intermediate_size": _inner(clip.image),
            "num_hidden_layers": image["layers"],
            "num_attention_heads": image["heads"],
            **shared,
        },
        "text_config": {
            "model_type": "clip_text_model",
            "vocab_size": text.token_embedding.num_embeddings,
            "max_position_embeddings": text.context_length,
            "hidden_size": text.width,
            "intermediate_size": _inner(text),
            "num_hidden_layers": len(text.transformer.resblocks),
            "num_attention_heads": _block(text).attn.num_heads,
            "bos_token_id": _START,
            "eos_token_id": _END,
            "pad_token_id": _PAD,
            **shared,
        },
    }


def _preprocessor(clip: ClipModel) -> dict[str, Any]:
    geometry = clip.image.geometry
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": geometry.height, "width": geometry.width},
        "resample": _RESAMPLING[geometry.interpolation],
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(geometry.mean),
        "image_std": list(geometry.std),
    }


def _block(tower: nn.Module) -> Any:
    """Return the first residual attention block of a tower."""
    blocks: Any = tower.transformer
    return blocks.resblocks[0]


def _inner(tower: nn.Module) -> int:
    """Return the hidden width of the MLPs of a tower."""
    width: int = _block(tower).mlp.c_fc.out_features
    return width
