"""Draw a world's images on all cores.

Drawing is Python's own work, so threads would not help. The processes are started anew with their task on the command
line: nothing is forked beside other threads, and the caller's script is not imported again, guarded by `__main__` or
not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import scing_cli
from scing_cli.core.errors import ScingError
from scing_cli.core.synthetic.plan import Settings, draw_shot, plan

WORTH_PROCESSES = 200


def draw_all(folder: Path, settings: Settings, count: int, workers: int) -> Iterator[str]:
    """Draw all images of a world into `folder`; yield their captions in the order of `plan`.

    Args:
        folder: The world's folder, its parts' folders made.
        settings: Which world.
        count: How many images it has.
        workers: Processes to use; a small world is drawn in this one.

    Raises:
        ScingError: If a process fails; the message ends with its last words.
    """
    if workers < 2 or count < WORTH_PROCESSES or not sys.executable:
        yield from (draw_shot(folder, settings.seed, shot) for shot in plan(settings))
        return
    with contextlib.ExitStack() as stack:  # a file each: their last words must not mix
        words = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(workers)]
        children = [_start(folder, settings, (first, workers), words[first]) for first in range(workers)]
        try:
            for place in range(count):
                yield _next_caption(children[place % workers], words[place % workers])
        finally:
            for child in children:
                child.kill()
                child.communicate()


def _start(folder: Path, settings: Settings, turn: tuple[int, int], complaints: IO[str]) -> subprocess.Popen[str]:
    """Start the process that draws every `turn[1]`-th image from `turn[0]` on."""
    task = json.dumps({"folder": str(folder), "turn": turn, "settings": dataclasses.asdict(settings)})
    home = str(Path(scing_cli.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", __name__, task],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        encoding="utf-8",
    )


def _next_caption(child: subprocess.Popen[str], complaints: IO[str]) -> str:
    line = child.stdout.readline() if child.stdout else ""
    if line:
        return str(json.loads(line))
    child.wait()
    complaints.seek(0)
    last = (complaints.read().strip().splitlines() or ["no message"])[-1]
    raise ScingError(f"A drawing process ended early (exit code {child.returncode}): {last}", "Try --workers 1.")


def main(task: str) -> None:
    """Draw this process's share of a world and print each caption as a line of JSON."""
    content = json.loads(task)
    settings = Settings(**content["settings"])
    first, step = content["turn"]
    for place, shot in enumerate(plan(settings)):
        if place % step == first:
            sys.stdout.write(json.dumps(draw_shot(Path(content["folder"]), settings.seed, shot)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
