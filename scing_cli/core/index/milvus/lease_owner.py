"""Whose lease it is: this machine's, and of a process that still runs?"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


@functools.cache
def this_machine() -> dict[str, str]:
    """Return what tells this machine, and this space of process ids, from others of the same name."""
    own = {"host": socket.gethostname()}
    with contextlib.suppress(OSError):
        own["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        own["pids"] = str(Path("/proc/self/ns/pid").readlink())
    return own


def is_dead(lease: Mapping[str, Any]) -> bool:
    """Return whether a lease is of a process of this machine that is gone."""
    own = this_machine()
    if len(own) < 3 or any(lease.get(name) != value for name, value in own.items()):
        return False
    try:
        os.kill(int(lease["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError):
        return False
    return False
