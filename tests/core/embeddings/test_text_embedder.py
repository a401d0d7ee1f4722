"""Texts become unit vectors: in torch, and with the text tower's OpenVINO model, as open_clip computes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.openclip import twin
from tiny import spread_out, tiny_clip

from scing_cli.core.artifacts import STAMP, write_json
from scing_cli.core.embeddings import openvino_text
from scing_cli.core.embeddings.openvino_text import load_openvino_text, make_openvino_text
from scing_cli.core.embeddings.text_embedder import AT_ONCE, TorchTextEmbedder, tokens_of
from scing_cli.core.encoders.clip import ClipModel
from scing_cli.core.encoders.tokenizer import END, START, tokenize
from scing_cli.core.errors import DataError, RunError
from scing_cli.core.runtime import Silent

TEXTS = ["", "a man", "a woman in a long red coat with two bags", "x " * 74, "shoes " * 200, "naïve 王 😀", "a man"]
DIGEST = "a" * 64


class Listening(Silent):
    """A reporter that keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return spread_out(tiny_clip())


@pytest.fixture(scope="module")
def prompted() -> ClipModel:
    clip = tiny_clip()
    clip.text.learn_prompts(4, 1, 0)
    return spread_out(clip)


@pytest.fixture(scope="module")
def folder(clip: ClipModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
    made = tmp_path_factory.mktemp("cache") / "text"
    assert make_openvino_text(made, clip.text, DIGEST, reporter=Silent())
    return made


def by_open_clip(clip: ClipModel, texts: list[str]) -> np.ndarray:
    """Encode each text alone, padded to 77 tokens, with open_clip's own model."""
    reference, found = twin(clip), []
    for text in texts:
        ids = tokenize(text)
        ids = ids if len(ids) <= 77 else [*ids[:76], END]
        padded = torch.tensor([ids + [0] * (77 - len(ids))])
        with torch.no_grad():
            found.append(reference.encode_text(padded, normalize=True)[0].double().numpy())
    return np.stack(found)


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_the_vectors_are_those_of_open_clip(clip: ClipModel, request: pytest.FixtureRequest, engine: str) -> None:
    if engine == "torch":
        embedder = TorchTextEmbedder(clip.text)
    else:
        loaded = load_openvino_text(request.getfixturevalue("folder"), DIGEST)
        assert loaded is not None
        embedder = loaded
    found = embedder.texts(TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    # OpenVINO's weights are stored in half precision
    np.testing.assert_allclose(found, by_open_clip(clip, TEXTS), atol=1e-5 if engine == "torch" else 2e-3)


def test_the_openvino_model_has_the_prompts(prompted: ClipModel, tmp_path: Path) -> None:
    pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
    assert prompted.text.prompts is not None
    torch_embedder = TorchTextEmbedder(prompted.text)
    assert torch_embedder.context_length == 73
    vectors = []
    for number, depth in enumerate((1, 2)):
        prompted.text.set_prompts(prompted.text.prompts[:1].expand(depth, -1, -1))
        assert make_openvino_text(tmp_path / str(number), prompted.text, DIGEST, reporter=Silent())
        embedder = load_openvino_text(tmp_path / str(number), DIGEST)
        assert embedder is not None
        assert embedder.context_length == 73
        vectors.append(embedder.texts(TEXTS))
        assert (vectors[-1] * torch_embedder.texts(TEXTS)).sum(axis=1).min() > 0.999
        np.testing.assert_allclose(vectors[-1], torch_embedder.texts(TEXTS), atol=2e-3)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_more_texts_than_a_batch_are_the_texts_one_by_one(clip: ClipModel) -> None:
    embedder = TorchTextEmbedder(clip.text)
    texts = [f"a man with number {number}" for number in range(AT_ONCE + 3)]
    together = embedder.texts(texts)
    np.testing.assert_allclose(together[[0, -1]], embedder.texts([texts[0], texts[-1]]), atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.integers(2, 20))
def test_tokens_end_with_the_end_token_and_fit(texts: list[str], context: int) -> None:
    tokens = tokens_of(texts, context)
    assert tokens.ids.shape[1] == tokens.ends.max() + 1 <= context
    for number, text in enumerate(texts):
        whole, end = tokenize(text), tokens.ends[number]
        own = tokens.ids[number]
        assert own[0] == START
        assert own[end] == END
        assert not own[end + 1 :].any()
        assert own[:end].tolist() == whole[:-1][: context - 1]
        assert (number in tokens.cut) == (len(whole) > context)


def test_a_model_of_another_clip_is_ignored(folder: Path) -> None:
    assert load_openvino_text(folder, "b" * 64) is None
    assert load_openvino_text(folder.parent / "nowhere", DIGEST) is None


@pytest.mark.parametrize("name", ["encoder.xml", "encoder.bin", STAMP])
def test_a_damaged_model_is_refused(clip: ClipModel, tmp_path: Path, name: str) -> None:
    pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
    made = tmp_path / "text"
    assert make_openvino_text(made, clip.text, DIGEST, reporter=Silent())
    file = made / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError):
        load_openvino_text(made, DIGEST)


def test_absurd_values_of_a_stamp_are_refused(folder: Path, tmp_path: Path) -> None:
    stamp = json.loads((folder / STAMP).read_text())
    for name, value in (("embed_dim", 0), ("context_length", "77"), ("least_cosine", 7)):
        write_json(tmp_path / STAMP, stamp | {name: value})
        with pytest.raises(RunError, match=name):
            load_openvino_text(tmp_path, DIGEST)


def test_a_model_that_differs_from_its_tower_is_not_saved(
    clip: ClipModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
    monkeypatch.setattr(openvino_text, "LEAST_COSINE", 1.5)
    listening = Listening()
    assert not make_openvino_text(tmp_path / "text", clip.text, DIGEST, reporter=listening)
    assert not (tmp_path / "text").exists()
    assert "at least 1.5 is required" in listening.warnings[0]


def test_weights_that_are_not_finite_are_named(clip: ClipModel) -> None:
    broken = tiny_clip()
    with torch.no_grad():
        broken.text.text_projection.fill_(float("nan"))
    with pytest.raises(DataError, match="no finite vector for 'a man'"):
        TorchTextEmbedder(broken.text).texts(["a man"])
