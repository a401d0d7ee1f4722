"""The sizes of a CLIP in the `config.json` of transformers, in open_clip's words.

The defaults are those of transformers' CLIPConfig. This module imports neither torch nor transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scing_cli.core.encoders.export_facts import KEY

_ACTIVATIONS = {"quick_gelu": True, "gelu": False}


def from_transformers(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the `config.json` of a CLIPModel to open_clip's format.

    What a plain CLIP cannot have is passed on under its own key, which `architecture` then refuses by name.
    """
    vision, text = content["vision_config"], content["text_config"]
    activations = {str(section.get("hidden_act", "quick_gelu")) for section in (vision, text)}
    activation = activations.pop() if len(activations) == 1 else "different in both towers"
    known = {"quick_gelu": _ACTIVATIONS[activation]} if activation in _ACTIVATIONS else {"hidden_act": activation}
    kind = content.get("model_type", "clip")
    return {
        "embed_dim": content.get("projection_dim", 512),
        **known,
        **({} if kind == "clip" else {"model_type": kind}),
        "vision_cfg": {
            "image_size": _exact_size(content) or vision.get("image_size", 224),
            "patch_size": vision.get("patch_size", 32),
            "head_width": _share(vision.get("hidden_size", 768), vision.get("num_attention_heads", 12), whole=True),
            **_tower(vision, width=768, inner=3072),
        },
        "text_cfg": {
            "context_length": text.get("max_position_embeddings", 77),
            "vocab_size": text.get("vocab_size", 49408),
            "heads": text.get("num_attention_heads", 8),
            **_tower(text, width=512, inner=2048),
        },
    }


def _exact_size(content: Mapping[str, Any]) -> list[Any]:
    """Return the height and width that a folder written by scing states; empty for other folders.

    transformers' one number only says that the image of the pretraining was square.
    """
    facts = content.get(KEY)
    return [facts.get("height"), facts.get("width")] if isinstance(facts, Mapping) else []


def _tower(section: Mapping[str, Any], *, width: int, inner: int) -> dict[str, Any]:
    """Return width, layers and MLP ratio of a tower; the arguments are defaults."""
    own = section.get("hidden_size", width)
    epsilon = section.get("layer_norm_eps", 1e-5)
    return {
        "width": own,
        "layers": section.get("num_hidden_layers", 12),
        "mlp_ratio": _share(section.get("intermediate_size", inner), own, whole=False),
        **({} if epsilon == 1e-5 else {"layer_norm_eps": epsilon}),
    }


def _share(value: Any, by: Any, *, whole: bool) -> Any:
    """Return value / by; `value` itself where the two are not numbers that can be divided."""
    if not isinstance(value, int) or not isinstance(by, int) or by < 1 or (whole and value % by):
        return value
    return value // by if whole else value / by
