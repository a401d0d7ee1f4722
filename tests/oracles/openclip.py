"""open_clip's CLIP with the weights of our towers, as a reference for both."""

from __future__ import annotations

import torch
from open_clip.model import CLIP

from scing_cli.core.encoders.clip import ClipModel


def twin(clip: ClipModel) -> CLIP:
    """Return open_clip's CLIP with the same weights but no deep prompts; our towers must have stride = patch."""
    geometry, image, text = clip.image.geometry, clip.image.config, clip.text
    blocks = [module for module in text.modules() if isinstance(module, torch.nn.MultiheadAttention)]
    model = CLIP(
        embed_dim=clip.image.embed_dim,
        quick_gelu=bool(image["quick_gelu"]),
        vision_cfg={
            "image_size": (geometry.height, geometry.width),
            "patch_size": geometry.patch,
            "width": image["width"],
            "layers": image["layers"],
            "head_width": image["width"] // image["heads"],
        },
        text_cfg={
            "context_length": text.context_length,
            "vocab_size": text.token_embedding.num_embeddings,
            "width": text.width,
            "heads": blocks[0].num_heads,
            "layers": len(blocks),
        },
    )
    state = {f"visual.{name}": tensor for name, tensor in clip.image.state_dict().items()}
    state |= text.state_dict()
    state["logit_scale"] = torch.tensor(clip.logit_scale).log()
    prompts = ("prompts", "visual.prompts")
    model.load_state_dict({name: tensor.clone() for name, tensor in state.items() if name not in prompts})
    return model.eval()
