"""`scing search --thumbnails`: a strip in terminals that can show it, in others a note and the usual search."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image
from pseudoterminal import ATTRIBUTES, GRAPHICS, KITTY, NEITHER, PATIENT, SIXEL, in_terminal

from scing_cli.commands.thumbnails import Thumbnails
from scing_cli.core.figures.montage import COLOURS
from scing_cli.core.figures.montage_style import FILL, QUERY
from scing_cli.core.workflows.search.montage_file import strip_of
from scing_cli.core.workflows.search.queries import QueryHits
from scing_cli.core.workflows.search.search_gallery import search

SEARCH = "from scing_cli.__main__ import main; main()"
ASK = """
from scing_cli.commands.console import Terminal
from scing_cli.commands.thumbnails import open_thumbnails
print("OPENED", open_thumbnails(Terminal(as_json=False), None))
"""
HIDDEN = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "textual_image":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""
TWICE = """
import sys
from scing_cli.__main__ import main
for further in ([], ["--thumbnails"]):
    sys.argv += further
    try:
        main()
    except SystemExit as end:
        print("LEFT", end.code or 0)
"""
PLACEHOLDER = "\U0010eeee"
MONTAGE = "--montage FILE.png draws the ranking into a file."


@pytest.fixture(scope="module")
def index(finished):
    return finished.parent / "gallery.faiss"


@pytest.fixture
def photo(world):
    return min((world / "query").glob("*.jpg"))


@pytest.fixture
def log(tmp_path):
    return tmp_path / "stderr"


def expected(photo, index, size):
    report = search([photo], index, k=4, identify=True)
    (found,) = report.results
    return strip_of(found, report.identities[photo], box=None, size=size, unit=10)


def colours(picture):
    return {colour for _, colour in picture.getcolors(1 << 24)}


def test_kitty_shows_the_strip_below_the_table_and_is_asked_only_then(photo, index, log):
    arguments = ("search", photo, "--index", index, "-k", "4")
    # neither NO_COLOR nor a terminal of 256 colours may change the colour that carries the picture's number
    seen = in_terminal(PATIENT + TWICE, arguments, KITTY, log, TERM="xterm-kitty", NO_COLOR="1")
    assert seen.code == 0, seen.err
    plain, drawn, rest = seen.out.split("LEFT 0")
    assert "rank" in plain
    assert not any(code in plain for code in ("\x1b_G", "\x1bP", "\x1b[c", "\x1b[16t"))
    assert rest.strip() == ""
    assert GRAPHICS.search(drawn.encode())
    assert drawn.index("rank") < drawn.index("\x1b_Gi=", drawn.index("rank"))  # the picture comes after the table
    sent = [part for part in re.findall(r"\x1b_G([^\x1b]*)\x1b\\", drawn) if "f=100" in part]
    (number,) = {re.match(r"i=(\d+)", part)[1] for part in sent}
    picture = Image.open(io.BytesIO(base64.b64decode("".join(part.partition(";")[2] for part in sent))))
    strip = expected(photo, index, (1000, 160))
    assert picture.size == strip.size
    assert picture.convert("RGB").tobytes() == strip.tobytes()
    assert QUERY in colours(strip)
    assert colours(strip) & {COLOURS[True], COLOURS[False]}
    assert drawn.count(PLACEHOLDER) == picture.width // 10 * 8
    assert f"c={picture.width // 10},r=8" in drawn
    red, green, blue = (int(number) >> 16 & 255, int(number) >> 8 & 255, int(number) & 255)
    assert drawn.count(f"38;2;{red};{green};{blue}m{PLACEHOLDER}") == 8


def test_sixel_shows_the_strip_where_a_letter_has_no_known_size(photo, index, log):
    arguments = ("search", photo, "--index", index, "-k", "4", "--thumbnails")
    seen = in_terminal(PATIENT + SEARCH, arguments, SIXEL, log, size=(40, 100, 0, 0))  # then it is taken for 10x20
    assert seen.code == 0, seen.err
    width = expected(photo, index, (1000, 160)).width
    assert f'\x1bP0;0;0q"1;1;{width};160' in seen.out
    assert "f=100" not in seen.out  # no picture by kitty's protocol
    assert "Traceback" not in seen.err


def test_without_the_package_the_note_says_how_to_get_it(photo, index, log):
    arguments = ("search", photo, "--index", index, "--thumbnails")
    seen = in_terminal(HIDDEN + SEARCH, arguments, KITTY, log)
    assert seen.code == 0, seen.err
    assert "textual-image is missing (No module named 'textual_image')" in seen.err
    assert "pip install '.[thumbnails]' installs it" in seen.err
    assert MONTAGE in seen.err
    assert "rank" in seen.out
    assert not GRAPHICS.search(seen.out.encode())


@pytest.mark.parametrize(
    ("patience", "answers", "size", "reason"),
    [
        ("", NEITHER, (40, 100, 1000, 800), "the terminal supports neither kitty's graphics protocol nor sixel"),
        ("", {}, (40, 100, 0, 0), "the terminal supports neither kitty's graphics protocol nor sixel"),
        (PATIENT, SIXEL, (0, 0, 0, 0), "the terminal's answer cannot be read"),
        (PATIENT, {ATTRIBUTES: "ü".encode()}, (40, 100, 1000, 800), "the terminal's answer cannot be read"),
    ],
)
def test_a_terminal_that_shows_no_pictures_is_told(log, patience, answers, size, reason):
    seen = in_terminal(patience + ASK, (), answers, log, size=size)
    assert seen.code == 0, seen.err
    assert "OPENED None" in seen.out
    assert seen.err == f"--thumbnails shows nothing: {reason}. {MONTAGE}"


def test_only_a_terminal_is_asked(scing, photo, index, monkeypatch):
    monkeypatch.setitem(sys.modules, "textual_image", None)  # whatever it is imported for would be told
    plain = scing("search", photo, "--index", index)
    result = scing("search", photo, "--index", index, "--thumbnails")
    assert result.code == 0
    assert result.out == plain.out
    assert f"--thumbnails shows nothing: standard output is not a terminal. {MONTAGE}" in result.err
    assert "--thumbnails" not in plain.err


@pytest.mark.parametrize("taken", [("--json",), ("--csv", "-")])
def test_pictures_keep_out_of_what_programs_read(scing, photo, index, taken):
    plain = scing("search", photo, "--index", index, *taken)
    result = scing("search", photo, "--index", index, "--thumbnails", *taken)
    assert (result.code, result.out) == (0, plain.out)
    assert f"--thumbnails shows nothing: {' '.join(taken)} takes standard output. {MONTAGE}" in result.err


def test_photos_on_standard_input_take_the_terminals_answers(scing, photo, index, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{photo}\n"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    result = scing("search", "-", "--index", index, "--thumbnails")
    assert result.code == 0
    assert "standard input is not a terminal" in result.err


@pytest.mark.parametrize(("columns", "most"), [(80, 80), (500, 280)])
def test_many_hits_stay_within_the_columns_there_are(photo, index, columns, most, monkeypatch):
    drawn = []
    strips = Thumbnails(lambda picture, width, height: drawn.append((picture.size, width)) or "", (10, 20))
    strips.console.width = columns
    (found,) = search([photo], index, k=3).results
    strips.show(QueryHits(photo, [*found.hits] * 20), "", None)
    (((width, height), given),) = drawn
    assert (height, given) == (160, width // 10)
    assert most - 10 <= given <= most


def test_a_gallery_image_that_is_gone_leaves_its_place_empty(photo, index, tmp_path):
    ((first, second),) = [found.hits for found in search([photo], index, k=2).results]
    gone = dataclasses.replace(second, row=second.row._replace(path=str(tmp_path / "gone.jpg")))
    whole, lacking = (
        np.asarray(strip_of(QueryHits(photo, [first, other]), "", box=None, size=(800, 160)))
        for other in (second, gone)
    )
    assert lacking.shape == whole.shape
    changed = np.flatnonzero((lacking != whole).any(axis=(0, 2)))  # columns
    assert changed[0] > whole.shape[1] * 0.6
    assert (lacking[30:60, changed[0] : changed[-1]] == FILL).all()  # below the marks, above the words
