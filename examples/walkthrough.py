"""Run all commands of scing on synthetic people, and write a page with their output and pictures.

python examples/walkthrough.py [--output DIR] [--browser chromium] [--work DIR]

Every command runs exactly as the page shows it, offline, on the CPU, in a working folder. The first error stops the
script. README.md and the pictures go to examples/walkthrough, or to the folder of --output. With --browser the page
also shows screenshots of the report.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from street import draw_street

from scing_cli.core.synthetic import draw_people

EXAMPLES = Path(__file__).resolve().parent
TEMPLATE = EXAMPLES / "walkthrough.template.md"
CONFIG = Path("examples/configs/scing-tiny.toml")
COLUMNS = 80
FOLDED = 98  # longest line of a command
COLOURS = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")  # variables that make rich write escape sequences
WIDEST = 1400  # greatest width of a picture, pixels
SHEET_SHOWN = 984  # height of the contact sheet on the page, pixels: six lines
SHOTS = {"report-desktop.png": (1000, 1755, ""), "report-phone.png": (390, 1370, "dark")}
BROWSER = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DARK = "--blink-settings=preferredColorScheme=0"
HIDDEN = re.compile(  # lines that the page leaves out: progress, times, notes for the person who waits
    r"[\w .-]+: \d[\d,]*/\d[\d,]*, |\d[\d,]* steps in |Dry run: |Trainable parameters: |Frozen|Run folder: "
)


PAGE = """\
Its upper part:

![The report's page: figures, curves, thresholds, rankings](report-desktop.png)

On a phone, in the dark:

![The same page on a narrow dark screen](report-phone.png)"""
NO_PAGE = "(`python examples/walkthrough.py --browser chromium` shows the page here.)"


def main() -> None:
    given = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        (work / CONFIG.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLES / "configs" / CONFIG.name, work / CONFIG)
        given.output.mkdir(parents=True, exist_ok=True)
        text = "\n".join(walk(given, work)).replace(work.as_posix(), "…")
    (given.output / "README.md").write_text(f"{text}\n", encoding="utf-8")
    print(given.output / "README.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=EXAMPLES / "walkthrough", help="folder for the page")
    parser.add_argument("--browser", help="Chromium or a similar browser, for screenshots of the report")
    parser.add_argument(
        "--work", type=Path, help="new working folder, which is not deleted; the default is a temporary one"
    )
    parser.add_argument("--identities", type=int, default=256, help="number of training people")
    parser.add_argument("--test-identities", type=int, default=48, help="number of test people")
    parser.add_argument("--epochs", type=int, help="epochs of both stages, instead of those of the file")
    return parser.parse_args()


def walk(given: argparse.Namespace, work: Path) -> Iterator[str]:
    """Yield the lines of the page; names in the template are replaced when their values are known."""
    facts: dict[str, object] = {
        "identities": given.identities,
        "test_identities": given.test_identities,
        "config": CONFIG,
        "epochs": f" --epochs {given.epochs}" if given.epochs else "",
        "page": PAGE if given.browser else NO_PAGE,
    }
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
        for part in line.format(**facts).split("\n"):
            yield from written(part, work, given.output)
        if line.endswith("--output report"):
            facts |= chosen(work, given.identities, given.test_identities)
            if given.browser:
                photograph(given.browser, work)


def written(line: str, work: Path, output: Path) -> Iterator[str]:
    """Yield a line of the page: a command with its output, or a picture, which is copied next to the page."""
    if line.startswith("$ "):
        command = line.removeprefix("$ ")
        print(line, file=sys.stderr)
        yield from ("```bash", *_folded(command), "```", "")
        yield from ("```text", *shown(run(_expanded(command, work), work)), "```")
    elif match := re.fullmatch(r"!\[(.*)\]\((.*)\)", line):
        yield f"![{match[1]}]({copy_picture(work / match[2], output)})"
    else:
        yield line


def _folded(command: str) -> Iterator[str]:
    """Yield the lines of a command, broken before options, with a backslash at the end of all but the last."""
    line, *options = re.split(r" (?=--?[a-z])", command)
    for option in options:
        if len(f"{line} {option}") > FOLDED:
            yield f"{line} \\"
            line = f"  {option}"
        else:
            line = f"{line} {option}"
    yield line


def _expanded(command: str, work: Path) -> list[str]:
    """Return the words after `scing`, with * expanded to file names."""
    words = shlex.split(command)[1:]
    found = ([file.relative_to(work).as_posix() for file in sorted(work.glob(word))] for word in words)
    return [part for word, files in zip(words, found, strict=True) for part in (files if "*" in word else [word])]


def run(words: list[str], work: Path) -> str:
    """Run a command in the working folder and return its output of both streams; exit if it fails."""
    inherited = {name: value for name, value in os.environ.items() if name not in COLOURS}
    offline = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    plain = {"COLUMNS": str(COLUMNS), "TERM": "dumb", "PYTHONUTF8": "1"}
    # In a terminal, tables fit its width.
    terminal, ours = pty.openpty()
    command = [sys.executable, "-m", "scing_cli", *words]
    process = subprocess.Popen(command, cwd=work, env={**inherited, **offline, **plain}, stdout=ours, stderr=ours)
    os.close(ours)
    said = b""
    with contextlib.suppress(OSError):  # Linux raises it when the process has ended
        while part := os.read(terminal, 1 << 16):
            said += part
    os.close(terminal)
    text = said.decode("utf-8").replace("\r\n", "\n")
    if process.wait():
        raise SystemExit(f"{text}\nscing {shlex.join(words)}: exit code {process.returncode}")
    return text


def shown(text: str) -> Iterator[str]:
    """Yield the lines of an output that the page shows, wrapped to the width of a terminal."""
    for line in text.splitlines():
        if not HIDDEN.match(line):
            yield from textwrap.wrap(line, COLUMNS, break_long_words=False, break_on_hyphens=False) or [""]


def copy_picture(source: Path, output: Path) -> str:
    """Save a picture as a small JPEG next to the page and return its file name."""
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    if source.name == "sheet.png":
        picture = picture.crop((0, 0, picture.width, min(picture.height, SHEET_SHOWN)))
    picture.thumbnail((WIDEST, 4000))
    target = output / f"{source.stem}.jpg"
    picture.save(target, quality=88, subsampling=0, optimize=True)
    return target.name


def photograph(browser: str, work: Path) -> None:
    """Take screenshots of the report."""
    page = (work / "report" / "report.html").as_uri()
    with tempfile.TemporaryDirectory() as profile:
        for name, (width, height, dark) in SHOTS.items():
            shot = [f"--window-size={width},{height}", f"--screenshot={work / name}", *([DARK] if dark else [])]
            command = [browser, *BROWSER, f"--user-data-dir={profile}", *shot, page]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


def chosen(work: Path, identities: int, test_identities: int) -> dict[str, object]:
    """Return the values that the template takes from the report: people to search for, and thresholds."""
    with (work / "report" / "queries.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["average_precision"]]
    report = json.loads((work / "report" / "report.json").read_text(encoding="utf-8"))
    points = {point["rate"]: point for point in report["verification"]["points"]}
    rows.sort(key=lambda row: (float(row["average_precision"]), row["query"]))
    middle = rows[len(rows) // 2]
    alone = [_alone(rows, points[rate]["threshold"]) for rate in (1e-2, 1e-3)]
    others = [row for row in alone[0] if row["identity"] != middle["identity"]] or rows[:1]
    stranger = others[len(others) // 2]
    return {
        "photo": f"people/{middle['query']}",
        "precision": f"{float(middle['average_precision']):.2f}",
        "camera": middle["camera"],
        "identity": middle["identity"],
        "box": _street(work, int(middle["identity"]), identities, test_identities),
        "stranger": f"people/{stranger['query']}",
        "stranger_identity": stranger["identity"],
        "queries": len(rows),
        "alone_loose": len(alone[0]),
        "alone_strict": len(alone[1]),
        "true_loose": _share(points[1e-2]["true_match"]),
        "true_strict": _share(points[1e-3]["true_match"]),
    }


def _alone(rows: list[dict[str, str]], threshold: float | None) -> list[dict[str, str]]:
    """Return the queries without a false match at a threshold."""
    return [row for row in rows if threshold is not None and float(row["best_wrong_score"]) < threshold]


def _share(rate: dict[str, float] | None) -> str:
    return f"{100 * rate['value']:.3g} %" if rate else "none"


def _street(work: Path, identity: int, identities: int, test_identities: int) -> str:
    """Draw the street with the person in the second position from the left, and return the box."""
    people = draw_people(test_identities, "world", 0, "test")  # the test people of `prepare --synthetic`
    first, step = identity - identities - 1, max(test_identities // 5, 1)
    photo, boxes = draw_street([people[(first + step * number) % test_identities] for number in (-1, 0, 1, 2, 3)])
    photo.save(work / "street.jpg", quality=92)
    return ",".join(map(str, boxes[1]))


if __name__ == "__main__":
    main()
