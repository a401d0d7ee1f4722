"""Draw the images of a synthetic data set in several processes.

Drawing is mostly Python code, so threads would not help. Each process is a new interpreter that gets its task on the
command line. `multiprocessing` is not used: it would either fork a process that has threads, or import the caller's
script again, which fails without a `__main__` guard.
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

WORTH_PROCESSES = 200  # images; for fewer, starting processes takes longer than drawing


def draw_all(folder: Path, settings: Settings, count: int, workers: int) -> Iterator[list[str]]:
    """Draw all images of a data set into `folder`; yield the captions of each in the order of `plan`.

    Args:
        folder: Folder of the data set; the folders of its parts must exist.
        settings: Settings of the data set.
        count: Number of its images.
        workers: Processes to use. A small data set is drawn in the calling process.

    Raises:
        ScingError: If a process fails; the message ends with the last line of its standard error.
    """
    if workers < 2 or count < WORTH_PROCESSES or not sys.executable:
        yield from (draw_shot(folder, settings, shot) for shot in plan(settings))
        return
    with contextlib.ExitStack() as stack:
        # One file per process, so that their error messages do not mix.
        errors = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(workers)]
        children = [_start(folder, settings, (first, workers), errors[first]) for first in range(workers)]
        try:
            for number in range(count):
                yield _next_captions(children[number % workers], errors[number % workers])
        finally:
            for child in children:
                child.kill()
                child.communicate()


def _start(folder: Path, settings: Settings, turn: tuple[int, int], errors: IO[str]) -> subprocess.Popen[str]:
    """Start the process that draws every `turn[1]`-th image, beginning with number `turn[0]`."""
    task = json.dumps({"folder": str(folder), "turn": turn, "settings": dataclasses.asdict(settings)})
    home = str(Path(scing_cli.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-m", __name__, task],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        encoding="utf-8",
    )


def _next_captions(child: subprocess.Popen[str], errors: IO[str]) -> list[str]:
    line = child.stdout.readline() if child.stdout else ""
    if line:
        return list(json.loads(line))
    child.wait()
    errors.seek(0)
    last = (errors.read().strip().splitlines() or ["no message"])[-1]
    raise ScingError(f"A drawing process ended early (exit code {child.returncode}): {last}", "Try --workers 1.")


def main(task: str) -> None:
    """Draw the images of one task and print the captions of each image as a line of JSON."""
    content = json.loads(task)
    settings = Settings(**content["settings"] | {"spectra": tuple(content["settings"]["spectra"])})
    first, step = content["turn"]
    for number, shot in enumerate(plan(settings)):
        if number % step == first:
            sys.stdout.write(json.dumps(draw_shot(Path(content["folder"]), settings, shot)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
