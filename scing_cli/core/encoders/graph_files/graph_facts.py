"""What is known of a graph file before an engine reads it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from scing_cli.core.errors import WeightsError, spelled

KEY = "scing"  # of the metadata that describe an encoder
ELEMENTS = ("f32", "f16", "u8")  # types of an input that are supported
CHANNELS = 3
LARGEST_BATCH = 256  # images, if the graph fixes their number


@dataclasses.dataclass(frozen=True, slots=True)
class GraphInput:
    """An input of a graph.

    Args:
        name: Its name.
        element: Type of its numbers: one of `ELEMENTS`, or any other name.
        shape: Its sides; None for a free one. None as a whole for an unknown number of sides.
    """

    name: str
    element: str
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True, slots=True)
class GraphFacts:
    """The content of a graph file that decides how it is used.

    Args:
        inputs: What it reads.
        statement: The text under `KEY` in its metadata; None if there is none.
    """

    inputs: tuple[GraphInput, ...]
    statement: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ImageInput:
    """The input for images.

    Args:
        element: One of `ELEMENTS`.
        batch: Fixed number of images; None if it is free.
        height: In pixels; None if it is free.
        width: In pixels; None if it is free.
        channels_last: Whether it reads (B, H, W, 3) instead of (B, 3, H, W).
    """

    element: str
    batch: int | None
    height: int | None
    width: int | None
    channels_last: bool


class GraphError(Exception):
    """Why a graph gives no vectors; whoever knows the file turns it into a `refusal`.

    Args:
        reason: What is wrong, as the end of a sentence.
        remedy: What to do next.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy


def refusal(source: Path, reason: str, remedy: str) -> WeightsError:
    """Return the error for a graph file that is not used."""
    return WeightsError(f"{spelled(source)} cannot be used: {reason}.", remedy)


def image_input(facts: GraphFacts, source: Path) -> ImageInput:
    """Return the only input of an image encoder.

    Raises:
        WeightsError: If there is another number of inputs, or it does not read images, or too many at once.
    """
    remedy = "Export an image encoder alone: one input, (B, 3, H, W) or (B, H, W, 3), of float32, float16 or uint8."
    if len(facts.inputs) != 1:
        names = ", ".join(spelled(each.name) for each in facts.inputs[:5])
        raise refusal(source, f"it has {len(facts.inputs)} inputs ({names})", remedy)
    only = facts.inputs[0]
    shape = only.shape or ()
    free = len(shape) == 4 and shape[1] is None and shape[3] is None
    first = len(shape) == 4 and (shape[1] == CHANNELS or free)
    last = len(shape) == 4 and shape[3] == CHANNELS and not first
    if not (first or last) or only.element not in ELEMENTS:
        listed = ", ".join("?" if side is None else str(side) for side in shape)
        raise refusal(
            source, f"its input {spelled(only.name)} is not an image: ({listed}) of {spelled(only.element)}", remedy
        )
    if shape[0] is not None and shape[0] > LARGEST_BATCH:
        raise refusal(source, f"it reads {shape[0]:,} images at once; at most {LARGEST_BATCH} are supported", remedy)
    height, width = shape[1:3] if last else shape[2:4]
    return ImageInput(only.element, shape[0], height, width, last)
