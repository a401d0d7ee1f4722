"""Measure the modality gap of finished runs (the paper's Figure 1), as numbers and as a picture.

python examples/modality_gap.py RUN [RUN...] [--data DIR] [--output gap.png] [--json FILE.json]

RUN is a run folder of any method. Its training images (2,000, or as many as --images says) are compared with the texts
of their identities: after stage 1 with the encoder that it left, usually CLIP's own, and after stage 2 with the tuned
one. In the picture each run has a column, and all panels have the same scale. --umap draws UMAP's plane, as the paper
does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scing_cli.commands.console import Terminal
from scing_cli.core.artifacts import write_json
from scing_cli.core.errors import ScingError, SettingError
from scing_cli.core.figures import check_picture, write_picture
from scing_cli.core.workflows.paper.modality_gap import IMAGES, GapRow, draw_gaps, measure_gaps

KEY = "modality_gap"


def main() -> None:
    given = _arguments()
    check_picture(given.output, option="--output")
    if given.json is not None:
        _check_json(given.json)
    terminal = Terminal(as_json=False)
    rows = measure_gaps(
        given.runs,
        data=given.data,
        images=given.images,
        seed=given.seed,
        pretrained=given.pretrained,
        umap=given.umap,
        reporter=terminal,
    )
    if given.json is not None:
        write_json(given.json, {"seed": given.seed, KEY: [row.numbers() for row in rows]})
    write_picture(draw_gaps(rows, umap=given.umap), given.output)
    _print(rows, terminal)
    terminal.say(f"Picture: {given.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, help="folder of the images, if they have been moved")
    parser.add_argument("--output", type=Path, default=Path("gap.png"), help="the picture, .png or .jpg")
    parser.add_argument("--json", type=Path, help="a .json file for the numbers")
    parser.add_argument("--umap", action="store_true", help="draw UMAP's plane (pip install '.[umap]')")
    parser.add_argument("--images", type=int, default=IMAGES, help="random images of each run; all if it has fewer")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choice of images")
    parser.add_argument("--pretrained", help="file of the weights of stage 1, if it has been moved")
    return parser.parse_args()


def _check_json(target: Path) -> None:
    """Check, before any work is done, that the name ends in .json and that no file of other content is replaced."""
    if target.suffix.lower() != ".json":
        raise SettingError(f"--json {target}: the file's name must end in .json.")
    try:
        ours = not target.exists() or KEY in json.loads(target.read_bytes())
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise SettingError(f"--json {target} already exists and does not contain a modality gap.", "Name another file.")


def _print(rows: Sequence[GapRow], terminal: Terminal) -> None:
    cells = [
        (
            row.label,
            row.stage,
            f"{row.images:,}",
            f"{row.identities:,}",
            f"{row.gap.distance:.3f}",
            f"{row.gap.nearest:.1f}",
            f"{row.gap.cosine:.3f}",
        )
        for row in rows
    ]
    columns = ("run", "after stage", "images", "texts", "gap", "nearest %", "cosine")
    terminal.table("Images and their identities' texts", columns, cells, words=columns[:1])


if __name__ == "__main__":
    try:
        main()
    except ScingError as error:
        sys.exit(f"Error: {error}")
