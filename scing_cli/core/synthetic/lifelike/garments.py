"""Patterns of garments, as colours on the grids of surfaces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scing_cli.core.synthetic.dice import between, chance
from scing_cli.core.synthetic.lifelike.noise import Floats
from scing_cli.core.synthetic.lifelike.surfaces import Bytes, Grid
from scing_cli.core.synthetic.textures import COLUMNS, cloth
from scing_cli.core.synthetic.wardrobe import Bottom, Top


def on_top(top: Top, grid: Grid) -> tuple[Bytes, Bytes]:
    """Return a top's colours and parts on a tube around the trunk: (rows, columns, 3) and (rows, columns) uint8."""
    colours, parts = cloth(top)
    rows = (np.minimum(grid.down, 0.9999) * len(colours)).astype(np.int64)
    columns = ((grid.turn / (2 * np.pi) + 0.5) * COLUMNS).astype(np.int64) % COLUMNS
    return colours[rows[:, None], columns], parts[rows[:, None], columns]


def on_sleeve(top: Top, grid: Grid) -> Floats:
    """Return the colour of a sleeve, which has the pattern of its top: (rows, columns, 3)."""
    first, second = (np.array(one.rgb, dtype=np.float32) for one in (top.shade, top.second))
    period = top.period / 0.31  # of the arm's length
    along, around = grid.down[:, None], grid.turn[None, :] / (2 * np.pi)
    pattern = top.style.pattern
    on: npt.NDArray[np.bool_] = np.zeros((len(grid.down), len(grid.turn)), dtype=bool)
    if pattern == "striped":
        on |= (along / period + top.phase) % 1 < top.duty
    elif pattern == "pinstriped":
        on |= (around * 6 + top.phase) % 1 < 0.2
    elif pattern == "checked":
        on |= ((along / period / 1.3 + top.phase) % 1 < top.duty) ^ ((around * 4) % 1 < top.duty)
    elif pattern == "dotted":
        on |= ((along / period / 1.2 + 0.5) % 1 - 0.5) ** 2 + ((around * 4) % 1 - 0.5) ** 2 < 0.04 + 0.1 * top.duty
    elif pattern == "two-tone" and top.phase < 0.4:
        on |= np.ones_like(on)
    found: Floats = np.where(on[..., None], second, first)
    if "cuffs" in top.trimmed:
        found[grid.down > 0.94] = top.trim
    if "elbows" in top.trimmed:
        found[(np.abs(grid.down - 0.52) < 0.06)[:, None] & (np.abs(grid.turn) > 2.2)[None, :]] = top.trim
    return found


def on_leg(bottom: Bottom, grid: Grid, side: int) -> Floats:
    """Return the colour of a trouser leg, (rows, columns, 3); `side` is 1 for the left one, -1 for the right one."""
    rows, columns = grid.shape
    found = np.broadcast_to(np.array(bottom.shade.rgb, dtype=np.float32), (rows, columns, 3)).copy()
    if bottom.fade:
        worn = np.exp(-(((grid.down[:, None] - 0.3) / 0.3) ** 2) - ((grid.turn[None, :]) / 1.1) ** 2)
        found += (worn * bottom.fade)[..., None] * (235 - found)
    if bottom.side:
        found[:, np.abs(grid.turn - side * np.pi / 2) < 0.28] = bottom.side
    if bottom.patch and bottom.patch[1] == side:
        spot = (np.abs(grid.down[:, None] - bottom.patch[2]) < 0.06) & (np.abs(grid.turn)[None, :] < 0.6)
        found[spot] = bottom.patch[0]
    if bottom.cuff:
        found[grid.down > 0.93] = bottom.cuff
    return found


def draw_gloss(own: np.random.Generator) -> float:
    """Return how much of the light a garment mirrors: most hardly any, some like leather or nylon."""
    return between(own, 0.08, 0.3) if chance(own, 0.2) else between(own, 0.0, 0.04)
