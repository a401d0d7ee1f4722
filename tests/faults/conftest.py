"""The drawn world, the finished run and the command line in this process, as the tests of whole commands have them."""

from __future__ import annotations

from pipeline.conftest import finished, own_run, own_world, scing, world

__all__ = ["finished", "own_run", "own_world", "scing", "world"]
