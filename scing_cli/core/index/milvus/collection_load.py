"""Loading a collection into the memory of its server, which takes minutes for a large one."""

from __future__ import annotations

import time

from scing_cli.core.errors import duration
from scing_cli.core.index.milvus.server import RELEASED_REMEDY, Server, ServerError

STUCK = 300.0  # seconds without progress after which nobody waits any longer
PAUSE = 0.2  # seconds between two looks
LOADED, RELEASED, LOADING = ("Loaded", "loaded"), ("NotLoad", "released"), ("Loading", "loading")


def load_collection(server: Server, *, start: bool) -> None:
    """Wait until a collection is loaded, as long as that makes progress, and show the progress.

    Args:
        server: The connection.
        start: Load the collection if nobody has.

    Raises:
        ServerError: If the collection is not loaded and `start` is not set, loading makes no progress, or Milvus
            fails.
    """
    state, _ = _state(server)
    if state in LOADED:
        return
    if state in RELEASED and not start:
        raise ServerError(f"{server.address.text} is not loaded, so Milvus cannot search it.", RELEASED_REMEDY)
    if state not in LOADING:
        server("load_collection", _async=True)
    with server.reporter.progress(f"Loading {server.address.text} (%)", 100) as advance:
        shown, moved = 0, time.monotonic()
        while True:
            state, percent = _state(server)
            if state in LOADED:
                advance(100 - shown)
                return
            if percent > shown:
                advance(percent - shown)
                shown, moved = percent, time.monotonic()
            elif time.monotonic() - moved > STUCK:
                raise ServerError(
                    f"{server.address.text} does not get loaded: Milvus has been at {shown} % for {duration(STUCK)}.",
                    "The log of the server may say why. If it goes on, run the command again later.",
                )
            time.sleep(PAUSE)


def _state(server: Server) -> tuple[str, int]:
    """Return the name of the state, and how many percent are loaded."""
    found = server("get_load_state")
    return str(found.get("state", "")).rpartition(".")[2], int(found.get("progress", 0))
