"""Save and load the deep prompts of both towers: the result of a stage 1 on pairs, with a stamp that stage 2 checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

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
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.encoder_file import tensors_digest
from scing_cli.core.errors import RunError, SettingError, one_line
from scing_cli.core.methods.prompts_file import REMEDY, WEIGHTS, read_tensors
from scing_cli.core.methods.stages import Origin


@dataclasses.dataclass(frozen=True)
class TowerPrompts:
    """The deep prompts of both towers, and which CLIP they were learnt for.

    Args:
        prompts: (J, n, W) float32 by tower, `image` and `text`; empty for a CLIP without prompts.
        identities: Names of the training identities, in the order of their classes.
        model_digest: Digest of the image tower without prompts.
        text_digest: Digest of the text tower without prompts.
        where: The file, for messages.
    """

    prompts: Mapping[str, Tensor]
    identities: tuple[str, ...]
    model_digest: str
    text_digest: str
    where: Path

    def digest(self) -> str:
        """Return the digest of the prompts and of the text tower."""
        return tensors_digest(self.prompts, {"text": self.text_digest})

    def summary(self) -> str:
        """Return how many prompts there are, in words."""
        counts = (f"{name} prompts {value.numel():,}" for name, value in sorted(self.prompts.items()))
        return ", ".join(counts) or "nothing"

    def put_into(self, clip: ClipModel) -> None:
        """Give both towers their prompts.

        Raises:
            RunError: If they do not fit.
        """
        for tower in (clip.image, clip.text):
            if self.prompts:
                try:
                    tower.set_prompts(self.prompts[tower.kind])
                except (SettingError, ValueError) as error:
                    raise RunError(f"{self.where} does not fit {clip.name}: {one_line(error)}", REMEDY) from error


def save_tower_prompts(folder: Path, prompts: Mapping[str, Tensor], origin: Origin) -> None:
    """Write the prompts, then the stamp; without prompts the stamp alone.

    Args:
        folder: The run's `prompts`.
        prompts: (J, n, W) by tower.
        origin: Facts for the stamp.
    """
    digests = {}
    if prompts:
        # the stamp comes last: after an interruption between the two, there are no prompts rather than half of them
        with replacing(folder / WEIGHTS) as temporary:
            save_file({name: value.detach().float().cpu().contiguous() for name, value in prompts.items()}, temporary)
        digests["file_digest"] = file_digest(folder / WEIGHTS)
    stamp = {
        "format": FORMAT,
        "identities": list(origin.identities),
        "model_digest": origin.model_digest,
        "text_digest": origin.text_digest,
        "shapes": {name: list(value.shape) for name, value in prompts.items()},
        **digests,
        **origin.extra,
        **run_id(folder),
    }
    write_json(folder / STAMP, stamp)


def load_tower_prompts(folder: Path) -> TowerPrompts:
    """Read the prompts, which stage 2 keeps as they are.

    Raises:
        RunError: If a file is missing or damaged, belongs to another run, or does not match its stamp.
    """
    stamp = read_json(folder / STAMP, remedy=REMEDY)
    check_content("tower prompts stamp", stamp, folder / STAMP, remedy=REMEDY)
    check_provenance(folder, stamp, remedy=REMEDY)
    source, shapes = folder / WEIGHTS, {name: tuple(shape) for name, shape in stamp["shapes"].items()}
    prompts = read_tensors(source, stamp.get("file_digest")) if shapes else {}
    found = {name: tuple(value.shape) for name, value in prompts.items()}
    if found != shapes or not all(bool(value.isfinite().all()) for value in prompts.values()):
        raise RunError(f"{source} has prompts of another shape than {STAMP}, or values that are not finite.", REMEDY)
    digests = str(stamp["model_digest"]), str(stamp["text_digest"])
    return TowerPrompts(prompts, tuple(stamp["identities"]), *digests, source if shapes else folder / STAMP)
