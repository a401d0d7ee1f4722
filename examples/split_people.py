"""Divide the people of a manifest: most of them for training, the others for evaluation.

Usage: python examples/split_people.py people.csv --output own.csv [--every 4]

Every fourth person with two images or more is for evaluation: the first image becomes the query, the others go into the
gallery. All other people are for training. `scing prepare DIR` writes the manifest; any CSV with the columns `path` and
`identity` will do. Write the new file into the same folder: its paths are relative to it.
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
    parser.add_argument("--every", type=int, default=4, help="the share for evaluation: every fourth person")
    given = parser.parse_args()
    if given.output.exists():
        parser.error(f"{given.output} exists already: name another file")
    with given.manifest.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))

    images = defaultdict(list)
    for row in rows:
        images[row["identity"]].append(row)
    people = sorted(identity for identity, own in images.items() if len(own) > 1)
    tested = set(people[given.every - 1 :: given.every])
    for identity, own in images.items():
        for number, row in enumerate(own):
            row["split"] = ("gallery" if number else "query") if identity in tested else "train"

    with given.output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{given.output}: {len(images) - len(tested)} people to train on, {len(tested)} to evaluate with")


if __name__ == "__main__":
    main()
