"""OpenVINO in one process: signals are handled after models are no longer in use."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)

MODELS_THAT_GO = """
import gc, signal
import numpy as np
from scing_cli.core.encoders.openvino_runtime import openvino, openvino_core, ops

start = ops.parameter([4, 8], np.float32)
graph = openvino.Model([ops.relu(start)], [start])
models = [openvino_core().compile_model(graph, "CPU") for _ in range(2)]
while models:
    del models[0]
    gc.collect()
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
"""


def test_a_signal_is_handled_after_two_models_are_gone():
    """With a `Core` for each model, the process ended here on processors with AMX."""
    done = subprocess.run([sys.executable, "-c", MODELS_THAT_GO], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
