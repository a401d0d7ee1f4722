"""What stage 1 leaves behind: prompts and the frozen text of every identity, with a stamp that stage 2 checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from scing_cli.core.artifacts import (
    FORMAT,
    STAMP,
    check_provenance,
    file_digest,
    read_json,
    replacing,
    run_id,
    write_json,
)
from scing_cli.core.errors import RunError, spelled

WEIGHTS = "prompts.safetensors"
TEXTS = "identity_texts"


@dataclasses.dataclass(frozen=True)
class IdentityTexts:
    """w_k of every identity, and what they were made with.

    Args:
        vectors: (K, D) float32, in the order of `identities`; unit length where cosines are compared.
        identities: The identity map.
        logit_scale: CLIP's own.
        model_digest: Of the image encoder that conditioned them: stage 2 starts from that one.
        similarity: How images are compared with them: a `Similarity`'s kind.
    """

    vectors: Tensor
    identities: tuple[str, ...]
    logit_scale: float
    model_digest: str
    similarity: str = "cosine"


def save_prompts(folder: Path, learnt: Mapping[str, Tensor], texts: IdentityTexts, extra: Mapping[str, Any]) -> None:
    """Write the weights, then the stamp: prompts without a stamp do not count.

    Args:
        folder: The run's `prompts`.
        learnt: What stage 1 learnt, by name.
        texts: w_k.
        extra: Further entries of the stamp.
    """
    tensors = {f"learnt.{name}": value.detach().float().cpu().contiguous() for name, value in learnt.items()}
    with replacing(folder / WEIGHTS) as temporary:
        save_file({**tensors, TEXTS: texts.vectors.detach().cpu().contiguous()}, temporary)
    stamp = {
        "format": FORMAT,
        "identities": list(texts.identities),
        "logit_scale": texts.logit_scale,
        "model_digest": texts.model_digest,
        "similarity": texts.similarity,
        "width": texts.vectors.shape[1],
        "file_digest": file_digest(folder / WEIGHTS),
        **extra,
        **run_id(folder),
    }
    write_json(folder / STAMP, stamp)


def load_texts(folder: Path) -> IdentityTexts:
    """Read w_k; they are never computed again (R6).

    Raises:
        RunError: If a file is missing, damaged, of another run, or does not fit its stamp.
    """
    remedy = "Restore the folder, or run stage 1 again: scing train-prompts --data DIR"
    stamp = read_json(folder / STAMP, remedy=remedy)
    check_provenance(folder, stamp, remedy=remedy)
    source = folder / WEIGHTS
    if not source.is_file():
        raise RunError(f"{source} is missing.", remedy)
    if file_digest(source) != stamp.get("file_digest"):
        raise RunError(f"{source} does not fit {STAMP} beside it: one of them was damaged or replaced.", remedy)
    try:
        vectors = load_file(source)[TEXTS]
    except (SafetensorError, KeyError) as error:
        raise RunError(f"{source} cannot be read: {error}.", remedy) from error
    identities = tuple(stamp["identities"])
    if vectors.shape != (len(identities), stamp["width"]) or not bool(torch.isfinite(vectors).all()):
        raise RunError(f"{source} holds {tuple(vectors.shape)} texts for {len(identities)} identities.", remedy)
    similarity = str(stamp.get("similarity", "cosine"))
    return IdentityTexts(vectors, identities, float(stamp["logit_scale"]), str(stamp["model_digest"]), similarity)


def check_identities(texts: IdentityTexts, identities: tuple[str, ...], *, where: str) -> None:
    """Check that prompts belong to the identities that shall be trained.

    Raises:
        RunError: Naming the identities that only one side has.
    """
    if texts.identities == identities:
        return
    only_prompts = sorted(set(texts.identities) - set(identities))
    only_data = sorted(set(identities) - set(texts.identities))
    parts = [
        f"{len(names)} only in {side} ({', '.join(map(spelled, names[:5]))}{', …' if len(names) > 5 else ''})"
        for names, side in ((only_prompts, "the prompts"), (only_data, "the data"))
        if names
    ]
    raise RunError(
        f"The prompts of {where} are of other identities than the data: {' and '.join(parts) or 'another order'}.",
        "Train prompts for this data first: scing train-prompts --data DIR",
    )
