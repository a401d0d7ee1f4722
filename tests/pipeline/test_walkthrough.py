"""The walkthrough of all commands with pictures: the script at a small size, and the page in the repository."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG
from PIL import Image

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "walkthrough.py"
PAGE = ROOT / "examples" / "walkthrough" / "README.md"
SMALL = ("--identities", "4", "--test-identities", "20", "--epochs", "1")
ABSOLUTE = re.compile(r"(?<![\w.…~-])/[a-z]\w*/")


@pytest.fixture
def walkthrough(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module("walkthrough")


def commands(text):
    """Every command of a page, as one line."""
    return [block.replace("\\\n ", "") for block in re.findall(r"```bash\n(.*?)\n```", text, re.DOTALL)]


def pictures(page):
    return [page.parent / name for name in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text(encoding="utf-8"))]


def check_pictures(page):
    found = pictures(page)
    for file in found:
        with Image.open(file) as picture:
            picture.load()
            assert picture.width > 100
    return {file.stem for file in found}


def test_the_walk_writes_a_page_with_its_pictures(walkthrough, scing, tmp_path, monkeypatch):
    """The commands run in this process, to save the seconds of a start each; the next test starts real ones."""
    output, work = tmp_path / "page", tmp_path / "work"
    done = []

    def run(words, folder):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "80")
        result = scing(*words)
        assert result.code == 0, (words, result.err)
        done.append(words[0])
        return result.out

    monkeypatch.setattr(walkthrough, "run", run)
    monkeypatch.setattr(sys, "argv", ["walkthrough.py", "--output", str(output), "--work", str(work), *SMALL])
    walkthrough.main()
    page = output / "README.md"
    text = page.read_text(encoding="utf-8")
    assert check_pictures(page) == {"sheet", "ranking", "street", "boxed", "why"}
    assert len(commands(text)) == len(done)
    assert set(done) == {"prepare", "train-prompts", "train-visual", "embed", "evaluate", "search"}
    assert "--browser chromium" in text  # how the page of the report would be shown
    assert "no match: the best score is" in text
    assert "re-ranked" in text
    assert "{" not in text
    assert str(tmp_path) not in text
    assert not ABSOLUTE.search(text)


def test_the_street_says_where_its_people_stand(walkthrough, tmp_path, monkeypatch, capsys):
    photo = tmp_path / "street.png"
    monkeypatch.setattr(sys, "argv", ["street.py", "--people", "3", "--output", str(photo)])
    importlib.import_module("street").main()
    boxes = [tuple(map(int, line.split(","))) for line in capsys.readouterr().out.splitlines()]
    assert len(boxes) == 3
    with Image.open(photo) as picture:
        sides = picture.size
    for left, top, width, height in boxes:
        assert 0 <= left < left + width <= sides[0]
        assert 0 <= top < top + height <= sides[1]


def test_a_failing_command_ends_the_walk(tmp_path):
    command = [sys.executable, SCRIPT, "--output", tmp_path / "page", "--identities", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert ended.returncode == 1
    assert "--identities 1" in ended.stderr
    assert "exit code 2" in ended.stderr
    assert not (tmp_path / "page" / "README.md").exists()


def test_what_is_told_leaves_progress_and_times_out(walkthrough, tmp_path):
    text = "embed gallery: 384/384, 365/s, took 0:01\n96 steps in 0:33 (188 images/s)\n192 of 192 queries are valid.\n"
    expected = ["192 of 192 queries are valid.", " ".join(["word"] * 16), " ".join(["word"] * 14)]
    assert list(walkthrough.shown(text + "word " * 30)) == expected
    assert "Usage" in walkthrough.run(["--help"], tmp_path)


def test_the_pages_pictures_are_there_and_small():
    named = check_pictures(PAGE)
    assert {"sheet", "report-desktop", "report-phone", "ranking", "street", "boxed", "why"} <= named
    sizes = [file.stat().st_size for file in pictures(PAGE)]
    assert max(sizes) < 400_000
    assert sum(sizes) < 2_000_000
    assert set(PAGE.parent.iterdir()) == {PAGE, *pictures(PAGE)}


def test_the_page_names_no_place_of_one_machine():
    for file in (PAGE, SCRIPT, ROOT / "examples" / "street.py", ROOT / "examples" / "walkthrough.template.md"):
        assert not ABSOLUTE.search(file.read_text(encoding="utf-8"))


def test_the_pages_commands_have_options_that_exist(scing):
    known = {}
    for command in commands(PAGE.read_text(encoding="utf-8")):
        program, name, *words = command.split()
        assert program == "scing"
        if name not in known:
            known[name] = set(re.findall(r"(?<![\w-])-{1,2}[a-z][a-z0-9-]*", scing(name, "--help").out))
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known[name], command
    assert len(known) == 6
