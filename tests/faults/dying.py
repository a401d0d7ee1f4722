"""The command line in a process that kills itself at a step of its work on files: `dying.py STEP FOLDER ARGUMENTS`.

A step is any call of Python's that names a file below the folder (open, rename, remove, ...); the process dies just
before it. With step 0 it lives, and the last line on standard error says how many steps there were.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys

WATCHED = ("open", "os.", "sqlite3.connect", "shutil.")
steps = 0


def watch(step: int, folder: str) -> None:
    def count(event: str, arguments: tuple[object, ...]) -> None:
        global steps  # noqa: PLW0603 - a hook has nowhere else
        named = (os.fsdecode(path) for path in arguments[:2] if isinstance(path, str | bytes | os.PathLike))
        if event.startswith(WATCHED) and any(path.startswith(folder) for path in named):
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    wanted, below, *arguments = sys.argv[1:]
    sys.argv = ["scing", *arguments]
    if wanted == "0":
        atexit.register(lambda: print(f"\nsteps {steps}", file=sys.stderr))
    watch(int(wanted), below)
    runpy.run_module("scing_cli", run_name="__main__")
