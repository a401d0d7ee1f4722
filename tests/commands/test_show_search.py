"""The table of hits: nothing is wider than the terminal, and two hits that differ look different."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from scing_cli.commands.show_search import front_cut, print_hits
from scing_cli.core.errors import spelled

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("M", "C", "Z")), min_size=1, max_size=30)
PATHS = st.lists(NAMES, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def printed(hits, width, stream):
    console = Console(file=stream, width=width, color_system=None, highlight=False)
    print_hits("photo.jpg", hits, console)
    return stream.getvalue().splitlines()


def hit(path, *, rank=1, identity="0001", camera="c1"):
    return {"rank": rank, "score": 0.5, "identity": identity, "camera": camera, "path": path}


@given(st.text(), st.integers(2, 60))
def test_a_cut_text_keeps_its_end(text, width):
    short = front_cut(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width:
        assert short == text
    else:
        assert short[0] == "…"
        assert text.endswith(short[1:])


@given(st.lists(PATHS, min_size=1, max_size=6), NAMES, st.sampled_from([40, 60, 80, 120, 160]))
def test_it_fits_the_terminal_and_tells_the_hits_apart(paths, identity, width):
    hits = [hit(path, rank=rank, identity=identity) for rank, path in enumerate(paths, 1)]
    lines = printed(hits, width, Screen())
    assert max(map(cell_len, lines)) <= width
    shown = [line.strip("│ ").rpartition("│")[2].strip() for line in lines]
    whole = "".join(line.strip("│ ").rpartition("│")[2].strip() for line in lines)
    for path in map(spelled, paths):
        ends = [text for text in shown if text.startswith("…") and path.endswith(text[1:])]
        assert path in whole or ends
        rivals = {other for other in map(spelled, paths) if other != path}
        assert path in whole or any(not other.endswith(end[1:]) for end in ends for other in rivals or {""})


@given(st.lists(PATHS, min_size=1, max_size=4), st.sampled_from([20, 40, 80]))
def test_what_is_no_terminal_gets_whole_paths(paths, width):
    lines = printed([hit(path) for path in paths], width, io.StringIO())
    for path in map(spelled, paths):
        assert any(path in line for line in lines)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_files_of_one_name_in_folders_that_differ_at_the_front_stay_apart(width):
    tail = "/".join(["the same long folder"] * 10) + "/0001_c1s1_000001_00.jpg"
    lines = printed([hit(f"/north/{tail}"), hit(f"/south/{tail}", rank=2)], width, Screen())
    assert max(map(cell_len, lines)) <= width
    assert sum("/north/" in line for line in lines) == sum("/south/" in line for line in lines) == 1


def test_a_name_of_market1501_is_whole_at_forty_columns():
    name = "0001_c1s1_000001_00.jpg"
    assert any(f"/{name}" in line for line in printed([hit(f"/data/bounding_box_test/{name}")], 40, Screen()))
