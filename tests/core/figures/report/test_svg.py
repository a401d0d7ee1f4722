"""Charts as elements of a page: colours and fonts of the page, and no fixed size."""

from __future__ import annotations

import re

import pytest
from pages import LINK, Chart, Page

from scing_cli.core.figures.report.svg import COLOURS, FAINT, FIRST, INK, RULE, new_chart, page_svg


def chart(label: str = "A chart", colour: str = FIRST) -> str:
    figure, axes = new_chart(label=label, x="across", y="up")
    axes.plot([0, 1, 2], [5, 3, 4], "o-", color=colour, label="a line")
    axes.text(1, 4, "a word & <another>", color=INK)
    axes.legend(frameon=False, labelcolor=INK)
    return page_svg(figure)


def test_every_colour_of_a_chart_is_a_variable_of_the_page() -> None:
    drawn = Chart(chart())
    wanted = {f"var({COLOURS[colour]})" for colour in (INK, FAINT, RULE, FIRST)}
    assert drawn.styles("fill") | drawn.styles("stroke") == wanted | {"none"}
    assert not drawn.black()


def test_a_colour_that_is_none_of_the_pages_would_be_seen() -> None:
    assert "#ff0000" in Chart(chart(colour="red")).styles("stroke")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_ticks_of_every_kind_take_the_pages_colours(scale: str) -> None:
    figure, axes = new_chart(label="ticks", x="across", y="up")
    axes.set_xscale(scale)
    axes.set_xlim(1e-3, 1)
    drawn = Chart(page_svg(figure))
    assert not re.search(r"#[0-9a-fA-F]{3}|rgb", "".join(drawn.styles("fill") | drawn.styles("stroke")))
    assert not drawn.black()


def test_every_variable_is_one_that_the_page_defines_in_light_and_dark() -> None:
    from scing_cli.core.figures.report.page import Page as Content
    from scing_cli.core.figures.report.page import render_page

    style = Page(render_page(Content("", "", {}, ()))).all("style")[0].text
    for variable in COLOURS.values():
        assert len(re.findall(rf"{variable}: *#[0-9a-f]{{6}};", style)) == 2


def test_a_chart_has_no_size_of_its_own_but_its_shape() -> None:
    root = Chart(chart()).root
    assert "width" not in root.attrib
    assert "height" not in root.attrib
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert width > height > 0


def test_a_chart_says_what_it_shows_whatever_signs_are_in_it() -> None:
    label = 'a "chart" <b>of</b> people & cats'
    (element,) = Page(chart(label=label)).all("svg")
    assert element.attributes["aria-label"] == label
    assert element.attributes["role"] == "img"


def test_letters_stay_letters() -> None:
    texts = Chart(chart()).texts()
    assert {"across", "up", "a line", "a word & <another>"} <= set(texts)


def test_charts_on_one_page_share_no_id_and_find_their_own_parts() -> None:
    first, second = Page(chart("one")), Page(chart("two"))
    assert first.ids()
    assert not set(first.ids()) & set(second.ids())
    for page in (first, second):
        assert len(set(page.ids())) == len(page.ids())
        linked = [own.attributes["xlink:href"] for own in page.elements if "xlink:href" in own.attributes]
        linked += re.findall(r"url\(([^)]*)\)", page.source)
        assert linked
        assert {link.removeprefix("#") for link in linked} <= set(page.ids())
        assert all(link.startswith("#") for link in linked)
    assert LINK.endswith("href")


def test_the_same_chart_is_the_same_text() -> None:
    assert chart() == chart()
