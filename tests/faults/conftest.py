"""Fixtures: the synthetic data set, a finished run, and the command line in this process."""

from __future__ import annotations

from pipeline.conftest import both_towers, finished, own_run, own_world, scing, world

__all__ = ["both_towers", "finished", "own_run", "own_world", "scing", "world"]
