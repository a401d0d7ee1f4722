"""Save and load the result of stage 1: prompts and the texts of the identities, with a stamp that stage 2 checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from scing_cli.core.artifacts import (
    FORMAT,
    STAMP,
    check_content,
    check_provenance,
    file_digest,
    read_json,
    replacing,
    run_id,
    write_json,
)
from scing_cli.core.encoders.encoder_file import tensors_digest
from scing_cli.core.errors import RunError, one_line, spelled
from scing_cli.core.methods.stages import Stage1Result

WEIGHTS = "prompts.safetensors"
TEXTS = "identity_texts"
ENCODER = "encoder."  # before the names of an image encoder that learnt too (R22)
REMEDY = "Restore the folder, or run stage 1 again: scing train-prompts --data DIR"


@dataclasses.dataclass(frozen=True)
class IdentityTexts:
    """The texts w_k of all identities, and how they were computed.

    Args:
        vectors: (K, D) float32, in the order of `identities`; unit length where cosines are compared.
        identities: Names of the identities, in the order of their classes.
        logit_scale: CLIP's, 1 / tau.
        model_digest: Digest of the image encoder that stage 1 started from.
        similarity: How images are compared with the texts: the kind of a `Similarity`.
        encoder: The weights of the image encoder that stage 1 trained, from which stage 2 starts (R22); None if stage 2
            starts from the frozen one.
    """

    vectors: Tensor
    identities: tuple[str, ...]
    logit_scale: float
    model_digest: str
    similarity: str = "cosine"
    encoder: Mapping[str, Tensor] | None = None

    @property
    def text_digest(self) -> None:
        """Stage 2 does not start from a text encoder: it has the texts."""

    def digest(self) -> str:
        """Return the digest of the texts, and of the image encoder if it learnt with them."""
        return tensors_digest({"texts": self.vectors, **_named(self.encoder)}, {})

    def start(self, encoder: nn.Module) -> None:
        """Give CLIP's image encoder the weights that stage 1 left, if it trained them (R22).

        Raises:
            RunError: If they are those of another encoder.
        """
        if self.encoder is None:
            return
        try:
            encoder.load_state_dict(self.encoder)
        except RuntimeError as error:
            raise RunError(f"{WEIGHTS} has an image encoder that does not fit: {one_line(error)}.", REMEDY) from error

    def summary(self) -> str:
        """Return what stage 2 uses as it is, in words."""
        return f"{len(self.identities)} identity texts of width {self.vectors.shape[1]}"


def save_prompts(folder: Path, weights: Mapping[str, Tensor], texts: IdentityTexts, extra: Mapping[str, Any]) -> None:
    """Write the weights, then the stamp.

    Args:
        folder: The run's `prompts`.
        weights: Trained tensors of stage 1, by name.
        texts: w_k.
        extra: Further entries of the stamp.
    """
    tensors = {f"learnt.{name}": value.detach().float().cpu().contiguous() for name, value in weights.items()}
    # the stamp comes last: after an interruption between the two, there are no prompts rather than half of them
    with replacing(folder / WEIGHTS) as temporary:
        encoder = {name: value.detach().cpu().contiguous() for name, value in _named(texts.encoder).items()}
        save_file({**tensors, **encoder, TEXTS: texts.vectors.detach().cpu().contiguous()}, temporary)
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
    """Read the texts w_k, which stage 2 uses as they are (R6).

    Raises:
        RunError: If a file is missing or damaged, belongs to another run, or does not match its stamp.
    """
    stamp = read_json(folder / STAMP, remedy=REMEDY)
    if "shapes" in stamp:
        raise RunError(
            f"{folder} has no texts of identities: its method learns from captions.", "Choose a run of another method."
        )
    check_content("prompts stamp", stamp, folder / STAMP, remedy=REMEDY)
    check_provenance(folder, stamp, remedy=REMEDY)
    source = folder / WEIGHTS
    tensors = read_tensors(source, stamp.get("file_digest"), needed=(TEXTS,))
    vectors = tensors[TEXTS]
    encoder = {name.removeprefix(ENCODER): value for name, value in tensors.items() if name.startswith(ENCODER)}
    identities = tuple(stamp["identities"])
    if vectors.shape != (len(identities), stamp["width"]) or not bool(torch.isfinite(vectors).all()):
        raise RunError(f"{source} has texts of another shape than {STAMP}, or values that are not finite.", REMEDY)
    similarity = str(stamp.get("similarity", "cosine"))
    return IdentityTexts(
        vectors, identities, float(stamp["logit_scale"]), str(stamp["model_digest"]), similarity, encoder or None
    )


def _named(encoder: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    return {f"{ENCODER}{name}": value for name, value in (encoder or {}).items()}


def read_tensors(source: Path, digest: object, *, needed: Collection[str] = ()) -> dict[str, Tensor]:
    """Read the tensors that a stage 1 saved, after checking the digest of their file.

    Args:
        source: The file.
        digest: The digest that its stamp has.
        needed: Names of tensors that must be there.

    Raises:
        RunError: If the file is missing or damaged, does not match its stamp, or lacks a tensor.
    """
    if not source.is_file():
        raise RunError(f"{source} is missing.", REMEDY)
    if file_digest(source) != digest:
        raise RunError(f"{source} does not match {STAMP} next to it: one of them is damaged or was replaced.", REMEDY)
    try:
        found: dict[str, Tensor] = load_file(source)
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{source} cannot be read: {one_line(error)}.", REMEDY) from error
    if lacking := set(needed) - set(found):
        raise RunError(f"{source} lacks {', '.join(sorted(lacking))}.", REMEDY)
    return found


def check_identities(earlier: Stage1Result, identities: tuple[str, ...], *, where: str) -> None:
    """Check that prompts belong to the identities to train on.

    Raises:
        RunError: Naming the identities that only one of them has.
    """
    if earlier.identities == identities:
        return
    only_prompts = sorted(set(earlier.identities) - set(identities))
    only_data = sorted(set(identities) - set(earlier.identities))
    parts = [
        f"{len(names)} only in {side} ({', '.join(map(spelled, names[:5]))}{', …' if len(names) > 5 else ''})"
        for names, side in ((only_prompts, "the prompts"), (only_data, "the data"))
        if names
    ]
    raise RunError(
        f"The prompts of {where} and the data have different identities: {' and '.join(parts) or 'another order'}.",
        "Train prompts for this data first: scing train-prompts --data DIR",
    )
