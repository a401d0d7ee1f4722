"""Writes the tensors of a CLIP under the names that other programs give them."""

from __future__ import annotations

import re

import torch
from safetensors.torch import save_file

SQUARE = {  # transformers knows square images alone
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 24, "heads": 3, "layers": 2},
}
CONFIG = {
    "model_type": "clip",
    "projection_dim": 16,
    "vision_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "image_size": 32,
        "patch_size": 8,
        "hidden_act": "quick_gelu",
    },
    "text_config": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 96,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
    },
}


def transformers_names(state):
    """Return the tensors as transformers' CLIPModel names them, written from its documentation."""
    plain = {
        "logit_scale": "logit_scale",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    }
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm"}
    norms["ln_final"] = "text_model.final_layer_norm"
    inner = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    found = {
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
        "text_projection.weight": state["text_projection"].T.contiguous(),
        "vision_model.embeddings.position_ids": torch.arange(9)[None],
    }
    for name, tensor in state.items():
        if name in plain:
            found[plain[name]] = tensor
        elif name.rpartition(".")[0] in norms:
            found[f"{norms[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}"] = tensor
        elif match := re.fullmatch(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)", name):
            visual, block, part, kind = match.groups()
            layer = f"{'vision' if visual else 'text'}_model.encoder.layers.{block}"
            if part == "attn.in_proj":
                for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
                    found[f"{layer}.self_attn.{letter}_proj.{kind}"] = piece.clone()
            elif part == "attn.out_proj":
                found[f"{layer}.self_attn.out_proj.{kind}"] = tensor
            else:
                found[f"{layer}.{inner[part]}.{kind}"] = tensor
    return found


def clip_reid_names(state):
    """Return a checkpoint of CLIP-ReID: towers, prompts, heads and necks, with counters of whole numbers."""
    image = {name.replace("visual.", "image_encoder."): t for name, t in state.items() if name.startswith("visual.")}
    necks = {f"bottleneck.{name}": t for name, t in torch.nn.BatchNorm1d(32).state_dict().items()}
    words = {"prompt_learner.cls_ctx": torch.zeros(5, 4, 24), "prompt_learner.token_prefix": torch.zeros(1, 5, 24)}
    text = {f"text_encoder.{name}": t for name, t in state.items() if name.startswith(("transformer.", "ln_final."))}
    return {**image, **text, **words, **necks, "classifier.weight": torch.zeros(5, 32)}


def save(path, content):
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return str(path)
