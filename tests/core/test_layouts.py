"""The table of layouts: every row has a reader."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from scing_cli.core.datasets import DataSet
from scing_cli.core.layouts import LAYOUTS, Parts
from scing_cli.core.manifest import SPLITS


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_row_of_the_table_has_a_reader(name: str) -> None:
    spec = LAYOUTS[name]
    reader = importlib.import_module(spec.module).read
    signature = inspect.signature(reader, eval_str=True)
    assert [parameter.annotation for parameter in signature.parameters.values()] == [Path, Parts]
    assert signature.return_annotation is DataSet
    assert spec.summary
    assert not spec.summary.endswith(".")
    assert all(set(variant.parts) <= set(SPLITS) for variant in spec.variants)


def test_the_table_is_frozen() -> None:
    with pytest.raises(TypeError):
        LAYOUTS["mine"] = LAYOUTS["csv"]  # type: ignore[index]
