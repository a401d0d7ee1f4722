"""CLIP's towers with deep prompts in float64, a plain loop over open_clip's blocks (text-to-image, PD1-PD5).

A tower's prompts come as one (n, W) tensor per prompted block: J of them, none for a tower without prompts.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

START, END, LENGTH = 49406, 49407, 77


def encode_image(model: CLIP, image: Tensor, prompts: Sequence[Tensor]) -> Tensor:
    """One image, (3, H, W) -> its projected class token, (D,)."""
    visual = model.visual
    patches = visual.conv1(image[None])[0].flatten(1).T
    places = [visual.class_embedding, *patches]
    places = [visual.ln_pre(token + where) for token, where in zip(places, visual.positional_embedding, strict=True)]
    cls = _through(visual.transformer.resblocks, places[:1], places[1:], prompts, mask=None)[0]
    return visual.ln_post(cls) @ visual.proj


def encode_text(model: CLIP, text: str, prompts: Sequence[Tensor], masked: Sequence[int] = ()) -> Tensor:
    """One text -> the projected end token, (D,); `masked` are the numbers of words that "jekyll" replaces."""
    count = len(prompts[0]) if len(prompts) else 0
    words = _tokenizer().encode(text)[: LENGTH - count - 2]
    for number in masked:
        words[number] = 49405
    ids = [START, *words, END, *([0] * (LENGTH - count - 2 - len(words)))]
    where = [0, *range(1 + count, LENGTH)]  # of each id in the table of positions
    tokens = [
        model.token_embedding.weight[own] + model.positional_embedding[at] for own, at in zip(ids, where, strict=True)
    ]
    mask = torch.full((LENGTH, LENGTH), float("-inf"), dtype=torch.float64).triu(1)
    outputs = _through(model.transformer.resblocks, tokens[:1], tokens[1:], prompts, mask=mask)
    return model.ln_final(outputs[1 + count + len(words)]) @ model.text_projection


@functools.cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()


def _through(blocks, first, rest, prompts, *, mask):
    """[first; P_j; rest] through all blocks -> the outputs of the last, with those of the prompts."""
    carried: list[Tensor] = []
    for number, block in enumerate(blocks):
        if number < len(prompts):
            carried = list(prompts[number])
        outputs = list(block(torch.stack([*first, *carried, *rest])[None], attn_mask=mask)[0])
        first, carried, rest = outputs[:1], outputs[1 : 1 + len(carried)], outputs[1 + len(carried) :]
    return [*first, *carried, *rest]
