"""Parser of HTML pages and SVG charts: elements, texts, links, and lines in the units of their axes."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

VOID = {"meta", "br", "img", "hr", "link", "input", "source"}
SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
ELSEWHERE = re.compile(r"https?:|//|file:|@import|javascript:|url\((?!#)", re.IGNORECASE)
ACTIVE = {"script", "link", "iframe", "object", "embed", "form", "base", "audio", "video"}
NUMBER = r"-?[\d.]+(?:e-?\d+)?"


@dataclasses.dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    inside: tuple[str, ...]
    text: str = ""


class Page(HTMLParser):
    """A page as a parser reads it; raises where elements are not closed in their order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(source)
        self.close()
        assert not self._open, [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        element = Element(tag, dict(attrs), tuple(own.tag for own in self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), tuple(own.tag for own in self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop().tag == tag, tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str) -> list[Element]:
        return [element for element in self.elements if element.tag == tag]

    def texts(self, tag: str) -> list[str]:
        return [" ".join(element.text.split()) for element in self.all(tag)]

    def shape(self) -> Counter[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """What elements there are, where, and with which attributes; a chart counts as one element."""
        return Counter(
            (own.tag, own.inside, tuple(sorted(own.attributes))) for own in self.elements if "svg" not in own.inside
        )

    def ids(self) -> list[str]:
        return [own.attributes["id"] or "" for own in self.elements if "id" in own.attributes]

    def pictures(self) -> list[Image.Image]:
        """The pictures that are in the page itself."""
        return [_decoded(own.attributes["src"] or "") for own in self.all("img")]

    def dark_pictures(self) -> list[Image.Image]:
        """What a dark page shows in their places."""
        dark = [own for own in self.all("source") if own.attributes.get("media") == "(prefers-color-scheme: dark)"]
        return [_decoded(own.attributes["srcset"] or "") for own in dark]

    def faults(self, folder: Path) -> list[str]:
        """What a page must not have that opens offline and runs nothing: active parts, references that lead elsewhere
        or nowhere. Namespaces are names."""
        found = [own.tag for own in self.elements if own.tag in ACTIVE]
        found += ["@import" for text in self.texts("style") if ELSEWHERE.search(text)]
        for element in self.elements:
            for name, value in element.attributes.items():
                found += [name] if name.startswith("on") else []
                if name in {"href", "src", "srcset", "xlink:href"}:
                    found += self._broken(value or "", folder)
                elif ELSEWHERE.search(value or "") and not (name.startswith("xmlns") and value in NAMESPACES):
                    found.append(f"{name}={(value or '')[:80]}")
        return found

    def _broken(self, link: str, folder: Path) -> list[str]:
        if link.startswith("data:"):
            return [] if _decoded(link).width > 1 else [link[:80]]
        whole = link[1:] in self.ids() if link.startswith("#") else (folder / unquote(link)).is_file()
        return [] if whole and not ELSEWHERE.search(link) else [link[:80]]

    def rows(self, first: str) -> list[list[str]]:
        """The cells of the table whose first heading is `first`."""
        for part in self.source.split("<table>")[1:]:
            table = Page("<table>" + part.split("</table>")[0] + "</table>")
            if table.texts("th")[0] == first:
                lines = re.findall(r"<tr>(.*?)</tr>", part.split("</table>")[0], re.DOTALL)[1:]
                return [Page(line).texts("td") for line in lines]
        raise AssertionError(f"no table of {first!r}")

    def facts(self, heading: str) -> dict[str, str]:
        """Names and values of what opens below a heading."""
        for part in self.source.split("<details>")[1:]:
            details = Page(part.split("</details>")[0])
            if details.texts("summary") == [heading]:
                return dict(zip(details.texts("dt"), details.texts("dd"), strict=True))
        raise AssertionError(f"no facts of {heading!r}")


def _decoded(link: str) -> Image.Image:
    kind, _, content = link.partition(";base64,")
    assert kind == "data:image/jpeg", kind[:80]
    picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    picture.load()
    return picture


class Chart:
    """An SVG chart: what it is drawn with, and its lines in the numbers that stand at its axes."""

    def __init__(self, source: str) -> None:
        self.root = ET.fromstring(source)
        assert self.root.tag == SVG + "svg"

    def styles(self, name: str) -> set[str]:
        """All values of a property, in styles and as attributes."""
        found = set()
        for element in self.root.iter():
            found |= set(re.findall(rf"(?<![-\w]){name}: *([^;]+)", element.get("style", "")))
            found |= {element.attrib[name]} if name in element.attrib else set()
        return found

    def texts(self) -> list[str]:
        return ["".join(element.itertext()).strip() for element in self.root.iter(SVG + "text")]

    def black(self) -> list[str]:
        """Shapes and texts that no style around them gives a colour: they are black in every mode."""
        found, definitions = [], {id(own) for part in self.root.iter(SVG + "defs") for own in part.iter()}

        def walk(element: ET.Element, filled: bool) -> None:
            filled = filled or "fill:" in element.get("style", "") or "fill" in element.attrib
            if (
                element.tag in {SVG + "path", SVG + "text", SVG + "use"}
                and not filled
                and id(element) not in definitions
            ):
                found.append(element.tag)
            for child in element:
                walk(child, filled)

        walk(self.root, False)
        return found

    def paths(self, style: str) -> list[np.ndarray]:
        """The points of lines and areas in the plot that are drawn with a style, as numbers of the axes."""
        found = []
        for element in self.root.iter(SVG + "path"):
            if style in element.get("style", "") and "clip-path" in element.attrib:
                numbers = re.findall(rf"[ML] ({NUMBER}) ({NUMBER})", element.get("d", ""))
                found.append(self.values(np.array(numbers, dtype=float).reshape(-1, 2)))
        return found

    def points(self, variable: str) -> list[tuple[float, float]]:
        """Where the marks of a colour stand."""
        places = [
            (float(own.attrib["x"]), float(own.attrib["y"]))
            for own in self.root.iter(SVG + "use")
            if f"fill: var({variable})" in own.get("style", "")
        ]
        return [tuple(own) for own in self.values(np.array(places).reshape(-1, 2)).tolist()]

    def values(self, places: np.ndarray) -> np.ndarray:
        """Turn places into numbers of the axes, by the ticks; the horizontal axis may be logarithmic."""
        across, up = self._ticks()
        powers = [re.fullmatch(r"(?:(\d)×)?10(−?\d+)", text) for _, _, text in across]
        if all(powers):
            numbers = [np.log10(float(own[1] or 1)) + _number(own[2]) for own in powers if own]
        else:
            numbers = [_number(text) for _, _, text in across]
        x = _along([tick[0] for tick in across], numbers, places[:, 0])
        y = _along([tick[1] for tick in up], [_number(text) for _, _, text in up], places[:, 1])
        return np.stack([10**x if all(powers) else x, y], axis=1)

    def _ticks(self) -> list[list[tuple[float, float, str]]]:
        """The ticks of both axes that have a number: where they stand, and it."""
        axes = []
        for group in self.root.iter(SVG + "g"):
            found = []
            for tick in group:
                marks, texts = (list(tick.iter(SVG + name)) for name in ("use", "text"))
                text = re.sub(r"\s", "", "".join(texts[0].itertext())) if len(marks) == len(texts) == 1 else ""
                if len(tick) >= 2 and re.fullmatch(r"[−\d.×]+", text):  # else a name beside its mark
                    found.append((float(marks[0].attrib["x"]), float(marks[0].attrib["y"]), text))
            axes += [found] if found else []
        assert len(axes) == 2, axes
        return axes


def _along(places: list[float], numbers: list[float], asked: np.ndarray) -> np.ndarray:
    """Read places off a scale; a single tick says what lies on it alone."""
    if len(places) == 1:
        return np.where(np.abs(asked - places[0]) < 1e-3, numbers[0], np.nan)
    return np.polyval(np.polyfit(places, numbers, 1), asked)


def _number(text: str) -> float:
    return float(text.replace("−", "-"))
