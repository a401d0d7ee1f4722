"""Tests that need a GPU skip themselves where torch finds none."""

from __future__ import annotations

import pytest
import torch

HAS_GPU = torch.cuda.is_available()


def needs_gpu(test):
    """Mark a test that needs a CUDA device."""
    return pytest.mark.gpu(pytest.mark.skipif(not HAS_GPU, reason="no CUDA device")(test))
