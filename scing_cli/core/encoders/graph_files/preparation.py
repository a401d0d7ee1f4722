"""How pixels are prepared for a graph file, from the graph, its metadata, the JSON next to it, and the options.

The metadata and the JSON have one form, `GraphStatement` in `artifacts.schemas`. An option precedes the JSON, the JSON
precedes the metadata. Where nothing is stated, the pixels are RGB, resized with bilinear interpolation, and normalised
with ImageNet's mean and deviation; those of a graph for bytes, or for a range of 0 to 255, are not normalised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import FORMAT, check_content
from scing_cli.core.encoders.geometry import INTERPOLATIONS, STATISTICS, Geometry
from scing_cli.core.encoders.graph_files.graph_facts import GraphFacts, ImageInput, refusal
from scing_cli.core.encoders.local_copies import refuse_outside
from scing_cli.core.errors import RunError, SettingError, WeightsError, one_line, spelled
from scing_cli.core.safe_reading import SMALL, check_ordinary, parse_json, read_limited

AUTO = "auto"
BYTES = 255.0
ASSUMED = "bilinear"
KEYS = (
    *("format", "height", "width", "mean", "std", "interpolation", "channels", "range"),
    *("descriptor", "output", "digest", "made_by"),
)
Channels = tuple[float, float, float]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GRAPH_STATISTICS = {**STATISTICS, "imagenet": IMAGENET}
UNCHANGED: tuple[Channels, Channels] = ((0.0, 0.0, 0.0), (1 / BYTES, 1 / BYTES, 1 / BYTES))  # 0 to 255 stays so


@dataclasses.dataclass(frozen=True, slots=True)
class Preparation:
    """How pixels are prepared.

    Args:
        geometry: Size, interpolation, and mean and deviation of red, green and blue on a scale of 0 to 1.
        bgr: Whether the graph reads blue, green, red.
        raw: Whether the graph reads bytes.
        output: The output to use; None for the only one.
        assumed: What nothing stated, in words.
    """

    geometry: Geometry
    bgr: bool
    raw: bool
    output: str | None
    assumed: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return all that the vectors depend on, ready for JSON."""
        return {"geometry": self.geometry.as_dict(), "bgr": self.bgr, "raw": self.raw, "output": self.output}


def prepare(
    facts: GraphFacts, image: ImageInput, source: Path, *, statistics: str = AUTO, interpolation: str = AUTO
) -> Preparation:
    """Return how pixels are prepared for a graph.

    Args:
        facts: The graph's.
        image: Its input.
        source: Its file.
        statistics: `auto`, or a name of `GRAPH_STATISTICS`.
        interpolation: `auto`, or a name of `INTERPOLATIONS`.

    Raises:
        SettingError: If an option is unknown.
        WeightsError: If a statement cannot be used, contradicts the graph, or lacks a size that the graph leaves free.
    """
    for option, value, known in (
        ("--statistics", statistics, (AUTO, *GRAPH_STATISTICS)),
        ("--interpolation", interpolation, (AUTO, *INTERPOLATIONS)),
    ):
        if value not in known:
            raise SettingError(f"{option} {value!r} is unknown.", f"Known: {', '.join(known)}.")
    said = statements(facts, source)
    raw, assumed = image.element == "u8", []
    if raw and (statistics != AUTO or said.get("mean") or said.get("std")):
        raise refusal(
            source, "it reads bytes, so no mean or deviation is used", "Leave mean, std and --statistics out."
        )
    height, width = (
        _side(said, name, fixed, source) for name, fixed in (("height", image.height), ("width", image.width))
    )
    scale = float(said.get("range", BYTES if raw else 1.0))
    for name, words in (("range", "range 0 to 1"), ("channels", "RGB"), ("interpolation", ASSUMED)):
        if name not in said and not (raw and name == "range") and (name != "interpolation" or interpolation == AUTO):
            assumed.append(words)
    bgr = said.get("channels") == "bgr"
    mean, std = _statistics(said, statistics, scale, bgr=bgr)
    if statistics == AUTO and not raw and not ("mean" in said and "std" in said):
        assumed.insert(0, "ImageNet's mean and deviation" if scale == 1 else "no mean and deviation")
    how = interpolation if interpolation != AUTO else said.get("interpolation", ASSUMED)
    try:
        geometry = Geometry(height, width, 1, 1, mean, std, how)
    except SettingError as error:
        raise refusal(source, error.what.rstrip("."), "Export it for smaller images.") from error
    return Preparation(geometry, bgr, raw, said.get("output"), tuple(assumed))


def statements(facts: GraphFacts, source: Path) -> dict[str, Any]:
    """Return what the metadata and the JSON next to a graph state, without keys that are null.

    Raises:
        WeightsError: If one of them cannot be read, or has an unknown key or an invalid value.
    """
    said: dict[str, Any] = {}
    if facts.statement is not None:
        said |= _checked(facts.statement.encode(), source, "Its metadata are wrong: export the encoder again.")
    beside = source.with_suffix(".json")
    remedy = "Mend that file, or rename it if it is about something else."
    refuse_outside(beside, source.parent, source.resolve().parent)  # the graph may be a link itself
    try:
        check_ordinary(beside)
        content = read_limited(beside, SMALL)
    except FileNotFoundError:
        return said
    except (OSError, ValueError) as error:
        raise WeightsError(f"{spelled(beside)} cannot be read: {one_line(error)}.", remedy) from error
    return said | _checked(content, beside, remedy)


def _checked(content: bytes, source: Path, remedy: str) -> dict[str, Any]:
    """Parse a statement and check it against its schema."""
    try:
        found = parse_json(content)
    except ValueError as error:
        raise WeightsError(f"{spelled(source)} cannot be read as JSON: {one_line(error)}.", remedy) from error
    if not isinstance(found, Mapping):
        raise WeightsError(f"{spelled(source)} does not contain a JSON object.", remedy)
    if unknown := [key for key in found if key not in KEYS]:
        raise WeightsError(
            f"{spelled(source)} has the unknown key {spelled(unknown[0][:60])}.", f"Known: {', '.join(KEYS)}. {remedy}"
        )
    if found.get("format", FORMAT) != FORMAT:
        raise WeightsError(
            f"{spelled(source)} has format {spelled(found['format'])}; this version reads {FORMAT}.",
            "Install a newer scing-cli.",
        )
    try:
        check_content("graph statement", found, source, remedy=remedy)
    except RunError as error:
        raise WeightsError(error.what, error.remedy) from error
    return {key: value for key, value in found.items() if value is not None}


def _side(said: Mapping[str, Any], name: str, fixed: int | None, source: Path) -> int:
    """Return the height or width of the images."""
    stated = said.get(name)
    if fixed is None and stated is None:
        raise refusal(
            source,
            f"its {name} is free, and nothing states one",
            f'Write it into {spelled(source.with_suffix(".json"))}, such as {{"height": 256, "width": 128}}.',
        )
    if fixed is not None and stated is not None and stated != fixed:
        raise refusal(source, f"its {name} is {fixed}, but {stated} is stated", "Correct the statement.")
    return int(fixed if fixed is not None else stated)  # type: ignore[arg-type]  # one of them is a number


def _statistics(said: Mapping[str, Any], statistics: str, scale: float, *, bgr: bool) -> tuple[Channels, Channels]:
    """Return mean and deviation of red, green and blue on a scale of 0 to 1."""
    if statistics != AUTO:
        return GRAPH_STATISTICS[statistics]
    mean, std = IMAGENET if scale == 1 else UNCHANGED
    return _channels(said.get("mean"), mean, scale, bgr=bgr), _channels(said.get("std"), std, scale, bgr=bgr)


def _channels(stated: Sequence[float] | None, assumed: Channels, scale: float, *, bgr: bool) -> Channels:
    if stated is None:
        return assumed
    red, green, blue = (value / scale for value in (stated[::-1] if bgr else stated))
    return red, green, blue
