"""Two runs that are damaged in turn, and mended after each."""

from __future__ import annotations

import pytest
from faults.arena import Arena, build
from pipeline.conftest import scing

__all__ = ["arena", "scing"]


@pytest.fixture(scope="session")
def arena(tmp_path_factory):
    """A finished run with indexes, a report and kept vectors, and another one of its shape."""
    folder = tmp_path_factory.mktemp("arena")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCING_CACHE", str(folder / "cache"))
        build(folder)
    return Arena(folder)
