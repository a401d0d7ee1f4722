"""Split the people of a manifest into training people (most of them) and people for evaluation.

Usage: python examples/split_people.py people.csv --output own.csv [--every 4]

Every fourth person with at least two images is for evaluation: the first image becomes the query, the others go into
the gallery. All other people are for training. `scing prepare DIR` writes a manifest; any CSV file with the columns
`path` and `identity` works too. Write the new file into the same folder, because its paths are relative to it.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--every", type=int, default=4, help="take every N-th person for evaluation; the default is 4")
    given = parser.parse_args()
    if given.output.exists():
        parser.error(f"{given.output} already exists: name another file")
    with given.manifest.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))

    images = defaultdict(list)
    for row in rows:
        images[row["identity"]].append(row)
    people = sorted(identity for identity, views in images.items() if len(views) > 1)
    tested = set(people[given.every - 1 :: given.every])
    for identity, views in images.items():
        for number, row in enumerate(views):
            row["split"] = ("gallery" if number else "query") if identity in tested else "train"

    with given.output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{given.output}: {len(images) - len(tested)} people to train on, {len(tested)} to evaluate with")


if __name__ == "__main__":
    main()
