"""Weights files with the vectors of trained words alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.compact_words import ROWS, VECTORS, with_all_words, without_untrained_words
from scing_cli.core.encoders.initial import word_vectors
from scing_cli.core.encoders.tokenizer import VOCABULARY, tokenize
from scing_cli.core.errors import WeightsError

TRAINED = sorted(set(tokenize("a red coat")))


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    """Return the weights of a model in which a few words were trained."""
    clip = load_clip("scing-tiny", "random")
    state = {f"visual.{name}": value for name, value in clip.image.state_dict().items()} | clip.text.state_dict()
    state = {name: value.clone() for name, value in state.items()} | {"logit_scale": torch.tensor(4.6)}
    state[VECTORS][TRAINED] += 1
    return state


def test_random_models_begin_with_these_vectors() -> None:
    table = load_clip("scing-tiny", "random").text.token_embedding.weight
    assert torch.equal(word_vectors(VOCABULARY, table.shape[1]), table)


def test_a_compact_file_gives_the_same_model(trained: dict[str, torch.Tensor], tmp_path: Path) -> None:
    compact = without_untrained_words(trained)
    assert compact[ROWS].tolist() == TRAINED
    assert compact[VECTORS].shape == (len(TRAINED), trained[VECTORS].shape[1])
    save_file(trained, tmp_path / "whole.safetensors")
    save_file(compact, tmp_path / "compact.safetensors")
    whole, small = (load_clip("scing-tiny", str(tmp_path / f"{name}.safetensors")) for name in ("whole", "compact"))
    assert torch.equal(whole.text.token_embedding.weight, small.text.token_embedding.weight)
    assert (tmp_path / "compact.safetensors").stat().st_size < (tmp_path / "whole.safetensors").stat().st_size / 2
    torch.testing.assert_close(with_all_words(compact), trained, rtol=0, atol=0)


def test_a_usual_file_stays_as_it_is(trained: dict[str, torch.Tensor]) -> None:
    assert with_all_words(trained).keys() == trained.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({ROWS: torch.tensor([1, 2])}, "does not number the rows"),
        ({ROWS: torch.tensor([[1]])}, "does not number the rows"),
        ({ROWS: torch.arange(len(TRAINED)).float()}, "are not integers"),
        ({ROWS: torch.zeros(len(TRAINED), dtype=torch.bool)}, "are not integers"),
        ({VECTORS: torch.zeros(len(TRAINED), 128, dtype=torch.int32)}, "are not floating-point numbers"),
        ({ROWS: torch.zeros(0, dtype=torch.int32), VECTORS: torch.zeros(0, 10**9)}, "does not number the rows"),
        ({ROWS: torch.zeros(len(TRAINED), dtype=torch.int32)}, "numbers a word twice"),
        ({ROWS: torch.arange(len(TRAINED)) + VOCABULARY}, "numbers words that there are not"),
        ({ROWS: -torch.arange(len(TRAINED))}, "numbers words that there are not"),
    ],
)
def test_rows_that_fit_nothing_are_refused(
    trained: dict[str, torch.Tensor], change: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    save_file(without_untrained_words(trained) | change, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError, match=message):
        load_clip("scing-tiny", str(tmp_path / "odd.safetensors"))
