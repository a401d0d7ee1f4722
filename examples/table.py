"""Show results of `scing evaluate --json` in one table.

python examples/table.py "My gallery" "zero-shot=zero.json" "trained=trained.json"
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

COLUMNS = {"mAP": "mAP", "mINP": "mINP", "rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10"}


def main(title: str, entries: list[str]) -> None:
    table = Table(title=title)
    table.add_column("")
    for heading in COLUMNS.values():
        table.add_column(heading, justify="right")
    for entry in entries:
        label, _, file = entry.rpartition("=")
        scores = json.loads(Path(file).read_text(encoding="utf-8"))
        table.add_row(label, *(f"{scores[name]:.2f}" for name in COLUMNS))
    Console().print(table)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
