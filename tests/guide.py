"""Parser of README and of the guide's pages: blocks of code, commands, headings, links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDE = ROOT / "examples" / "guide"
PAGES = (README, *sorted(GUIDE.glob("*.md")))
LINKING = (*PAGES, ROOT / "examples" / "walkthrough" / "README.md", ROOT / "examples" / "walkthrough.template.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def page_name(page: Path) -> str:
    """A page's name for the names of tests."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return BLOCK.sub("", text_of(page))


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of every block of code, in order."""
    return [(match[1], match[2]) for match in BLOCK.finditer(text_of(page))]


def commands(block: str) -> list[list[str]]:
    """The words of every command of a shell block, comments cut off; `&&` divides two commands."""
    lines = (line.split("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines())
    return [shlex.split(command) for line in lines for command in line.split("&&") if command.strip()]


def section(page: Path, heading: str) -> str:
    """The text below a heading of the second level, up to the next one."""
    return re.split(r"^## ", text_of(page).split(f"\n## {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def anchors(page: Path) -> list[str]:
    """The anchors that GitHub gives the headings of a page.

    >>> "try-it" in anchors(README)
    True
    """
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def links(page: Path) -> list[str]:
    """Every relative link and picture of a page."""
    return [link for link in LINK.findall(prose(page)) if not re.match(r"\w+:", link)]


def broken_links(page: Path) -> list[str]:
    """The relative links whose file or anchor does not exist."""
    folder = page.parent / "walkthrough" if page.name == "walkthrough.template.md" else page.parent
    found = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else page
        if not _written_later(page, path) and (
            not target.exists() or (anchor and anchor not in anchors(target)) or not target.is_relative_to(ROOT)
        ):
            found.append(link)
    return found


def _written_later(page: Path, path: str) -> bool:
    """Whether a link is to a picture that the walkthrough's script writes."""
    return page.name == "walkthrough.template.md" and path.endswith(".png")
