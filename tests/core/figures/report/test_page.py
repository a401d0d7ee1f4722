"""The page: all content is escaped text, and no other file is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pages import Page as Read
from PIL import Image

from scing_cli.core.figures.report.page import Chart, Facts, Page, Picture, Section, Table, Text, render_page
from scing_cli.core.figures.report.svg import new_chart, page_svg

HOSTILE = (
    "<script>alert(1)</script>",
    "</title></style><img src=x onerror=alert(1)>",
    '" onload="alert(1)',
    "' onload='alert(1)",
    "a & b &amp; c &lt;",
    "{{ 7 * 7 }} {% raw %}",
    "]]> --> <!--",
    "</td></table></figure></main>",
    "عربي \u202e txt.exe",
)


def page(text: str, file: str = "queries.csv") -> Page:
    """A page with blocks of every kind, and one text in every place that takes a text."""
    chart = page_svg(new_chart(label=text, x="across", y="up")[0])
    blocks = [
        Text(text),
        Chart(chart, text),
        Chart(chart, text),
        Table(("", text), [(text, text), (None, 1.5)], text),
        Picture(Image.new("RGB", (8, 4), "red"), text),
        Facts(text, {text: text, "none": None}),
    ]
    return Page(text, text, {text: text}, [Section(text, blocks)], [file])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_stays_a_text_wherever_it_stands(text: str, tmp_path: Path) -> None:
    harmless, read = Read(render_page(page("harmless"))), Read(render_page(page(text)))
    assert read.shape() == harmless.shape()
    text = text.replace("\u202e", r"\u202e")  # a mark that would reorder what stands beside it
    shown = " ".join(text.split())
    for tag in ("title", "h1", "h2", "figcaption", "caption", "summary", "p"):
        assert shown in read.texts(tag), tag
    assert read.texts("dt")[0] == read.texts("dd")[0] == shown
    assert read.texts("th") == ["", shown]
    assert read.texts("td") == [shown, shown, "", "1.5"]
    assert (read.all("img")[0].attributes["alt"] or "").split() == text.split()
    assert {element.attributes["aria-label"] for element in read.all("svg")} == {text}
    assert not read.all("script")
    assert read.faults(tmp_path) == ["queries.csv"]  # there is none


@pytest.mark.parametrize(
    "sign", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\udcff", *"\u061c\u200e\u200f\u202a\u202e\u2066\u2069"]
)
def test_what_is_no_sign_of_a_text_is_spelled_out(sign: str) -> None:
    source = render_page(page(f"before{sign}after"))
    source.encode("utf-8")
    assert sign not in source
    assert Read(source).texts("h1") == [f"before{sign.encode('unicode_escape', 'surrogatepass').decode()}after"]


def test_line_breaks_in_names_are_kept_in_their_place() -> None:
    read = Read(render_page(page("one\r\ntwo\tthree\n\n<four>")))
    assert read.shape() == Read(render_page(page("harmless"))).shape()
    assert read.texts("td")[0] == "one two three <four>"


def test_links_lead_to_files_beside_the_page_whatever_they_are_called() -> None:
    (link,) = Read(render_page(page("x", file='a "b" & <c> 50%.csv'))).all("a")
    assert link.attributes["href"] == "a%20%22b%22%20%26%20%3Cc%3E%2050%25.csv"
    assert link.text == 'a "b" & <c> 50%.csv'
    assert not Read(render_page(Page("x", "", {}, ()))).all("footer")


def test_a_section_without_blocks_is_left_out() -> None:
    sections = [Section("full", [Text("word")]), Section("empty", []), Section("full too", [Text("word")])]
    assert Read(render_page(Page("x", "", {}, sections))).texts("h2") == ["full", "full too"]
    nothing = Read(render_page(Page("x", "", {}, [Section("empty", ())])))
    assert nothing.all("section") == nothing.all("h2") == []


def test_blocks_come_in_their_order_and_charts_stand_side_by_side() -> None:
    chart = page_svg(new_chart(label="a", x="b", y="c")[0])
    blocks = [Text("one"), Chart(chart, "two"), Chart(chart, "three"), Text("four"), Chart(chart, "five")]
    read = Read(render_page(Page("x", "", {}, [Section("s", blocks)])))
    assert [own.text for own in read.elements if own.tag in {"p", "figcaption"}][1:] == [
        *("one", "two", "three", "four", "five")
    ]
    groups = [own for own in read.all("div") if own.attributes.get("class") == "charts"]
    assert ["three" in own.text for own in groups] == [True, False]


def test_a_picture_is_in_the_page_itself() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = (250, 20, 10)
    read = Read(render_page(Page("x", "", {}, [Section("s", [Picture(Image.fromarray(pixels), "c")])])))
    (shown,) = read.pictures()
    assert shown.format == "JPEG"
    assert np.abs(np.asarray(shown).astype(int) - pixels)[:, [5, 55]].max() < 12


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_a_picture_of_any_kind_is_embedded(mode: str) -> None:
    assert Picture(Image.new(mode, (4, 4)), "c").source().startswith("data:image/jpeg;base64,")


def test_no_cell_is_lost_that_is_nothing_or_zero() -> None:
    table = Table(("", "a", "b", "c"), [("row", 0, 0.0, None), ("", "0", "-", "x")])
    read = Read(render_page(Page("x", "", {}, [Section("s", [table])])))
    assert read.texts("td") == ["row", "0", "0.0", "", "", "0", "-", "x"]
    assert not read.all("caption")


def test_the_page_forbids_everything_from_elsewhere() -> None:
    (policy,) = [own for own in Read(render_page(page("x"))).all("meta") if "http-equiv" in own.attributes]
    assert policy.attributes["http-equiv"] == "Content-Security-Policy"
    rules = {rule.split()[0]: rule.split()[1:] for rule in (policy.attributes["content"] or "").split(";")}
    assert rules == {"default-src": ["'none'"], "style-src": ["'unsafe-inline'"], "img-src": ["data:"]}


def test_the_page_reads_on_a_phone_in_the_dark_and_on_paper() -> None:
    read = Read(render_page(page("x")))
    named = {own.attributes["name"]: own.attributes["content"] for own in read.all("meta") if "name" in own.attributes}
    assert named["viewport"] == "width=device-width, initial-scale=1"
    style = read.all("style")[0].text
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    assert read.source.startswith("<!doctype html>")
    assert read.all("html")[0].attributes["lang"] == "en"


@pytest.mark.parametrize(
    "part",
    [
        '<a href="https://example.org/a.png">x</a>',
        '<a href="//example.org/a.png">x</a>',
        '<a href="gone.png">x</a>',
        '<a href="file:///etc/passwd">x</a>',
        '<a href="javascript:alert(1)">x</a>',
        '<a href="#nowhere">x</a>',
        '<p onclick="alert(1)">x</p>',
        '<p style="background: url(a.png)">x</p>',
        '<style>@import "a.css";</style>',
        "<script>alert(1)</script>",
    ],
)
def test_what_a_page_must_not_have_would_be_seen(part: str, tmp_path: Path) -> None:
    assert len(Read(f"<main>{part}</main>").faults(tmp_path)) == 1
    assert not Read('<main><p id="here"><a href="#here">x</a></p></main>').faults(tmp_path)
