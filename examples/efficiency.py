"""Count parameters and FLOPs, measure images per second of each method, and compare them with the paper's Table 4.

python examples/efficiency.py [--stride 12] [--identities 665] [--cameras 2] [--no-rate] [--json FILE]

The defaults are the model of Table 4. Neither data nor weights are needed: counts depend on shapes alone, and the image
encoder is timed with random weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from scing_cli.commands.console import Terminal
from scing_cli.core.artifacts import write_json
from scing_cli.core.devices import DEVICES, PRECISIONS
from scing_cli.core.errors import ScingError
from scing_cli.core.workflows.paper.efficiency import Efficiency, MethodCost, Setting, count_costs, table_2_mean
from scing_cli.core.workflows.paper.throughput import Rate, measure_rate
from scing_cli.core.workflows.shared.machine import Machine

PARTS = {
    "image_encoder": "image encoder",
    "text_encoder": "text encoder, no word table",
    "heads": "identity heads",
    "necks": "BN necks",
    "tokens": "prompt tokens",
    "cameras": "camera vectors (SIE)",
    "visual": "meta-net, SVIP",
}
Cell = Callable[[MethodCost], str]


def main() -> None:
    given = _arguments()
    terminal = Terminal(as_json=False)
    if given.threads:
        torch.set_num_threads(given.threads)
    costs = count_costs(Setting(given.model, given.stride, given.identities, given.cameras))
    rate = None
    if given.rate:
        machine = Machine(given.device, given.precision, batch_size=given.batch_size)
        rate = measure_rate(given.model, stride=given.stride, repeats=given.repeats, machine=machine, reporter=terminal)
    _print(costs, rate, terminal)
    if given.json:
        write_json(given.json, _content(costs, rate))


def _arguments() -> argparse.Namespace:
    usual, machine = Setting(), Machine()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=usual.model)
    parser.add_argument("--stride", type=int, default=usual.stride, help="pixels from one patch to the next")
    parser.add_argument("--identities", type=int, default=usual.identities, help="training identities (K)")
    parser.add_argument("--cameras", type=int, default=usual.cameras, help="camera vectors; 0 for none")
    parser.add_argument(
        "--no-rate", dest="rate", action="store_false", help="only count; do not measure images per second"
    )
    parser.add_argument("--batch-size", type=int, default=32, help="images per timed pass")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes; the median is reported")
    parser.add_argument("--threads", type=int, help="threads of torch on the CPU")
    parser.add_argument("--device", choices=DEVICES, default=machine.device)
    parser.add_argument("--precision", choices=PRECISIONS, default=machine.precision, help="auto is fp32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    given = parser.parse_args()
    if given.threads is not None and given.threads < 1:
        parser.error(f"--threads {given.threads}: must be at least 1.")
    return given


def _print(costs: Efficiency, rate: Rate | None, terminal: Terminal) -> None:
    setting, (height, width) = costs.setting, costs.size
    terminal.table(
        f"{Path(setting.model).stem}, {height}x{width}, stride {setting.stride}, K = {setting.identities}, "
        f"{setting.cameras} cameras",
        ("", *costs.methods),
        [(label, *map(cell, costs.methods.values())) for label, cell in _rows(costs, rate).items()],
        words=("",),
    )
    terminal.say("Inference is the image encoder alone, the same for all three: its GFLOPs are")
    terminal.say("counted once, for one image, and its images per second are measured once.")
    if rate:
        terminal.say(f"{rate.device}, {rate.threads} threads, torch {torch.__version__}, {rate.precision};")
        terminal.say(
            f"random weights, batches of {rate.batch_size}, median of {rate.repeats} passes "
            f"({rate.slowest:,.1f} to {rate.fastest:,.1f})."
        )
    terminal.say("Table 4's means are over Occluded-Duke, Occluded-REID, P-DukeMTMC-reID; that of")
    terminal.say("CLIP-ReID, which Table 2 lacks on the second, is its figure on the first alone.")
    if not setting.is_published():
        terminal.say("Table 4 is of another model: ViT-B-16, stride 12, K = 665, 2 cameras.")


def _rows(costs: Efficiency, rate: Rate | None) -> dict[str, Cell]:
    """Return, for each line of the table, the function that makes the cell of a method."""
    rows: dict[str, Cell] = {
        label: lambda cost, name=name: f"{getattr(cost.parts, name):,}" for name, label in PARTS.items()
    }
    rows |= {
        "parameters, as the paper counts": lambda cost: f"{cost.parts.total():,}",
        "  Table 4, millions": lambda cost: f"{cost.published.parameters:.2f}",
        "trained in stage 1": lambda cost: f"{cost.stage1:,}",
        "trained in stage 2": lambda cost: f"{cost.stage2:,}",
        "used at inference": lambda cost: f"{cost.inference:,}",
        "GFLOPs, as the paper's counter": lambda _: f"{costs.hooked_flops / 1e9:.4g}",
        "  Table 4": lambda cost: f"{cost.published.flops:.2f}",
        "GFLOPs, all products": lambda _: f"{costs.flops / 1e9:.4g}",
        "mean mAP, Table 4": lambda cost: _percent(cost.published.mAP),
        "  of Table 2, mAP": lambda cost: _percent(table_2_mean(cost.published.row)[0]),
        "mean rank-1, Table 4": lambda cost: _percent(cost.published.rank1),
        "  of Table 2, rank-1": lambda cost: _percent(table_2_mean(cost.published.row)[1]),
    }
    return rows | {"images per second": lambda _: f"{rate.images_per_second:,.1f}"} if rate else rows


def _percent(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.2f}"


def _content(costs: Efficiency, rate: Rate | None) -> dict[str, Any]:
    """Return all figures as JSON content, with the total parameters of each method."""
    content = dataclasses.asdict(costs)
    for method, cost in costs.methods.items():
        content["methods"][method]["total"] = cost.parts.total()
    return {**content, "rate": rate and dataclasses.asdict(rate), "torch": torch.__version__}


if __name__ == "__main__":
    try:
        main()
    except ScingError as error:
        sys.exit(f"Error: {error}")
