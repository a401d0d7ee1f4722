"""Draw what the runs of several methods look at, side by side (the paper's Figure 5): Grad-CAM of the class token.

python examples/saliency.py RUN [RUN...] [--data DIR] [--people 6] [--seed 0] [--output saliency.png]

RUN is a run folder of any method in which both stages are finished. The images are queries of the data of the first
one. A map shows the patches by which a run's descriptor resembles the mean of the query's true matches.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import ScingError
from scing_cli.core.figures import check_picture, write_picture
from scing_cli.core.workflows.paper.saliency_maps import PEOPLE, draw_maps, saliency_maps


def main() -> None:
    given = _arguments()
    check_picture(given.output, option="--output")
    terminal = Terminal(as_json=False)
    people = saliency_maps(given.runs, data=given.data, people=given.people, seed=given.seed, reporter=terminal)
    write_picture(draw_maps(people), given.output)
    labels = list(people[0].maps)
    rows = [
        (person.sample.path, person.sample.identity, *(f"{person.maps[label][1]:.3f}" for label in labels))
        for person in people
    ]
    terminal.table("Cosine with the true matches in the gallery", ("image", "person", *labels), rows, words=("image",))
    terminal.say(f"Picture: {given.output}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--data", type=Path, help="folder of the images, if they have been moved")
    parser.add_argument("--people", type=int, default=PEOPLE, help="people to draw, one query of each")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of people")
    parser.add_argument("--output", type=Path, default=Path("saliency.png"), help="the picture, .png or .jpg")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except ScingError as error:
        sys.exit(f"Error: {error}")
