"""Console output: progress bar, plain lines, tables, one JSON object, errors, and names without control characters."""

from __future__ import annotations

import io
import json
import re
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from scing_cli.commands import console
from scing_cli.commands.console import Terminal, shorten, show_error, show_interruption

NASTY = "a[red]b[/]\x1b[31mc\nd\re:cat:\u202e\udcff.jpg"
SHOWN = r"a[red]b[/]\x1b[31mc\nd\re:cat:\u202e\udcff.jpg"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def forced(monkeypatch):
    """A terminal that the streams only pretend to be."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    return Terminal(as_json=False)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is told the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def frames(text):
    """Return each line the bar drew, without its colours."""
    return [line.strip() for line in re.split(r"[\r\n]", CODES.sub("", text)) if line.strip()]


def test_the_bar_shows_count_rate_and_time_left_and_goes_away(forced, capsys):
    with forced.progress("Opening images", 8) as advance:
        for _ in range(8):
            time.sleep(0.1)
            advance(1, "loss 1.25")
    out, err = capsys.readouterr()
    assert out == ""
    drawn = frames(err)
    assert re.fullmatch(r"Opening images ━+ 8/8 (\d\.?\d?|\d\d)/s 00:00 loss 1\.25", drawn[-1])
    halfway = [line for line in drawn if re.search(r" [1-7]/8 [\d.]+/s 00:\d\d loss 1\.25$", line)]
    assert halfway
    assert max(map(cell_len, drawn)) <= 80
    assert err.endswith("\x1b[2K")  # the line is wiped at the end


def test_the_bar_keeps_its_places_and_its_colours_whatever_the_texts(forced, capsys):
    with forced.progress(NASTY + "x" * 80, 22_000) as advance:
        time.sleep(0.15)
        advance(15_000, NASTY + "y" * 80)
    drawn = frames(capsys.readouterr().err)
    assert re.search(r"^a\[red\]b\[/\].*…x+ .*15000/22000 [\d,]+/s [-\d]+:[-\d]+ a\[red\]b.*…y+$", drawn[-1])
    assert max(map(cell_len, drawn)) <= 80


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(forced, monkeypatch, capsys, clock):
    monkeypatch.setenv("TERM", "dumb")
    with forced.progress("drawing", 4) as advance:
        clock[0] += 11
        advance(1)
    assert capsys.readouterr().err.splitlines()[0] == "drawing: 1/4, 0.091/s, 0:33 left"


def test_plain_lines_give_rate_and_time_left_at_the_interval(capsys, clock):
    with Terminal(as_json=False).progress("Embedding", 1000) as advance:
        for _ in range(30):
            clock[0] += 1.0
            advance(20, "loss 0.5")
        clock[0] += 3600
        advance(400)
    assert capsys.readouterr().err.splitlines() == [
        "Embedding: 200/1000, 20/s, 0:40 left, loss 0.5",
        "Embedding: 400/1000, 20/s, 0:30 left, loss 0.5",
        "Embedding: 600/1000, 20/s, 0:20 left, loss 0.5",
        "Embedding: 1000/1000, 0.28/s, 0:00 left",
        "Embedding: 1000/1000, 0.28/s, took 1:00:30",
    ]


def test_nothing_done_after_the_interval_has_no_time_left_to_tell(capsys, clock):
    with Terminal(as_json=False).progress("stage 1", 0) as advance:
        clock[0] += 30
        advance(0)
    assert capsys.readouterr().err == "stage 1: 0/0, 0/s, took 0:30\n"


def test_nothing_is_said_of_work_under_a_second(capsys, clock):
    with Terminal(as_json=False).progress("Embedding", 10) as advance:
        clock[0] += 0.9
        advance(10)
    assert capsys.readouterr() == ("", "")


def test_an_interruption_ends_the_progress_without_a_word(capsys, clock):
    def work():
        with Terminal(as_json=False).progress("Embedding", 10):
            clock[0] += 60
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr() == ("", "")


def test_names_are_shown_as_they_are(capsys):
    terminal = Terminal(as_json=False)
    terminal.note(NASTY)
    terminal.warn(NASTY)
    with terminal.progress(NASTY, 1) as advance:
        time.sleep(1.05)
        advance(1, NASTY)
    terminal.say(NASTY)
    terminal.listing(("file left out", "files left out"), [NASTY])
    terminal.table("a [b] title", ["[path]", "n"], [[NASTY, 1]])
    show_error(f"{NASTY}\nsecond")
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert err.splitlines()[:2] == [SHOWN, f"Warning: {SHOWN}"]
    assert err.splitlines()[2].startswith(f"{SHOWN}: 1/1, ")
    assert err.splitlines()[2].endswith(f", {SHOWN}")
    assert out.splitlines()[:3] == [SHOWN, "1 file left out:", f"  {SHOWN}"]
    assert "a [b] title" in out
    assert SHOWN in out.splitlines()[-2]


def test_colours_are_ours_alone(forced, capsys):
    forced.warn(NASTY)
    err = capsys.readouterr().err
    assert CODES.findall(err) == ["\x1b[33m", "\x1b[0m"]
    assert CODES.sub("", err) == f"Warning: {SHOWN}\n"


@given(st.text())
def test_whatever_is_said_stays_on_one_line(text):
    terminal = Terminal(as_json=False)
    terminal.stdout.file = io.StringIO()
    terminal.say(text)
    said = terminal.stdout.file.getvalue()
    assert said.endswith("\n")
    assert said[:-1].isprintable()
    if text.isprintable():
        assert said == f"{text}\n"


def test_an_error_marks_its_first_line_and_indents_the_others(capsys):
    show_error("own.csv has 2 faults:\n  line 3: the path is empty\x1b[2J\nMend [these] rows.")
    assert capsys.readouterr() == (
        "",
        "Error: own.csv has 2 faults:\n         line 3: the path is empty\\x1b[2J\n       Mend [these] rows.\n",
    )
    show_error("")
    assert capsys.readouterr().err == "Error: \n"


def test_a_long_error_is_not_broken(capsys):
    path = "folder/" * 40 + "a.jpg"
    show_error(f"{path} is empty.")
    assert capsys.readouterr().err == f"Error: {path} is empty.\n"


def test_an_interruption_is_one_line(capsys):
    show_interruption("Interrupted.")
    assert capsys.readouterr() == ("", "Interrupted.\n")


@pytest.mark.parametrize("count", [0, 1, 10, 12])
def test_a_long_list_is_cut_and_counted(capsys, count):
    Terminal(as_json=False).listing(("file", "files"), [f"{number}.jpg: empty" for number in range(count)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:1] == ([f"{count} file{'s' * (count > 1)}:"] if count else [])
    assert lines[1:11] == [f"  {number}.jpg: empty" for number in range(min(count, 10))]
    assert lines[11:] == (["  and 2 more (--json lists all)"] if count == 12 else [])


def test_json_is_one_line_and_is_read_back(capsys):
    payload = {"path": "größe [b]\n\x1b[31m 中.jpg", "figures": [1, 2.5, None], "ok": True}
    assert Terminal(as_json=True).result(payload)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "größe" in out
    assert json.loads(out) == payload
    assert not Terminal(as_json=False).result(payload)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("encoding", "name"), [("utf-8", "\udcff.jpg"), ("ascii", "größe.jpg")])
def test_json_survives_a_name_or_a_stream_that_is_no_utf8(monkeypatch, encoding, name):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, errors="strict"))
    Terminal(as_json=True).result({"query": name})
    sys.stdout.flush()
    assert json.loads(raw.getvalue()) == {"query": name}


def test_json_refuses_what_is_no_number(capsys):
    with pytest.raises(ValueError, match="JSON"):
        Terminal(as_json=True).result({"mAP": float("nan")})
    assert capsys.readouterr().out == ""


def test_a_table_aligns_words_left_and_numbers_right_within_eighty_columns(capsys):
    Terminal(as_json=False).table("photo", ["path", "score"], [["x" * 200, "0.5"], ["short", "10.25"]], words=["path"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert lines[-2].startswith("│ short ")
    assert lines[-2].endswith(" 10.25 │")
    assert any(line.endswith("   0.5 │") for line in lines)


@given(st.text(), st.integers(1, 60))
def test_shortening_keeps_both_ends(text, width):
    short = shorten(text, width)
    assert len(short) == min(len(text), width)
    if len(text) <= width:
        assert short == text
    else:
        head, tail = short[: width // 2], short[width // 2 + 1 :]
        assert short[width // 2] == "…"
        assert text.startswith(head)
        assert text.endswith(tail)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_durations(seconds, shown):
    assert console._duration(seconds) == shown


@pytest.mark.parametrize(
    ("done", "seconds", "shown"), [(0, 0, "0/s"), (1, 8, "0.12/s"), (9.6, 1, "9.6/s"), (25_000, 2, "12,500/s")]
)
def test_rates(done, seconds, shown):
    assert console._rate(done, seconds) == shown


@pytest.mark.parametrize("width", [20, 30, 35, 40, 60, 120])
def test_no_figure_of_a_table_is_broken_at_any_width(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ["part", "identities", "published\nidentities", "images", "published\nimages"]
    rows = [["train", "1,041", "1,041", "32,621", "32,621"], ["a part with a long name", "3,060", "", "82,161", ""]]
    Terminal(as_json=False).table("MSMT17", columns, rows, words=("part",))
    shown = capsys.readouterr().out
    for figure in ("1,041", "32,621", "3,060", "82,161", "identities", "published", "images"):
        assert figure in shown
    assert max(map(len, shown.splitlines())) <= width
