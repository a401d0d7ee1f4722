"""The log of a training: one JSON object a line, read within bounds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scing_cli.core.errors import RunError
from scing_cli.core.training import MetricsLog


def test_metrics_are_one_json_object_a_line(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 1e-9, "text": "two\nlines"}]
    for row in rows:
        log.write(row)
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == rows
    with pytest.raises(ValueError, match="JSON compliant"):
        log.write({"loss": float("inf")})


def test_a_log_of_absurd_size_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.touch()
    os.truncate(log, 2**40)
    with pytest.raises(RunError, match=r"metrics\.jsonl cannot be read: it has more than 134,217,728 bytes") as caught:
        MetricsLog(log).restart("train-prompts")
    assert "Move it away" in caught.value.remedy
