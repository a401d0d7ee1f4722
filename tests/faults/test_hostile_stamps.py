"""False metadata of index and weights files: wrong lengths, kinds and sizes give one message."""

from __future__ import annotations

import json
import shutil

import pytest
from faults.hostile import forged, refused, rewrite
from faults.texts import BIG, JSON, LONG, put, soon_and_small
from tiny import TINY_MODEL


@pytest.fixture(autouse=True)
def _soon_and_small():
    with soon_and_small():
        yield


@pytest.mark.parametrize("kind", [*JSON, "large"])
def test_the_stamp_of_an_index(scing, kind, world, finished, tmp_path):
    """The stamp lies behind the vectors; its length may be a lie."""
    content = JSON.get(kind, b'{"x": "' + bytes(BIG))
    index, whole = tmp_path / "gallery.faiss", (finished.parent / "gallery.faiss").read_bytes()
    shutil.copy(finished.parent / "gallery.rows-1", tmp_path)
    length = int.from_bytes(whole[-16:-8], "little")
    for said in (len(content), 2**63, 2**64 - 1):
        index.write_bytes(whole[: -16 - length] + content + said.to_bytes(8, "little") + whole[-8:])
        assert refused(scing("search", next((world / "query").iterdir()), "--index", index), index)


FIELDS = {
    "model_digest": 5,
    "descriptor": [],
    "width": "16",
    "count": -1,
    "next_id": None,
    "generation": "1/../../../outside",
    "rows_digest": {},
    "kind": ["flat"],
}
MODELS = (
    {"run": 5},
    {"run": "\0"},
    {"model": 5},
    {"model": "x\n" * LONG, "pretrained": "random"},
    {"pretrained": []},
    {},
)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_another_kind_in_the_stamp_of_an_index(scing, field, world, finished, tmp_path):
    assert refused(scing("search", _photo(world), "--index", forged(finished, tmp_path, **{field: FIELDS[field]})))
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_an_index_of_no_model(scing, number, world, finished, tmp_path):
    assert refused(scing("search", _photo(world), "--index", forged(finished, tmp_path, model=MODELS[number])))


def _photo(world):
    return next((world / "query").iterdir())


HEADERS = {
    "length of 2^63": (2**63).to_bytes(8, "little") + b"{}",
    "length of 2^64 - 1": (2**64 - 1).to_bytes(8, "little"),
    "longer than the file": (10**8).to_bytes(8, "little") + b"{",
    **{f"JSON: {kind}": len(text).to_bytes(8, "little") + text for kind, text in JSON.items()},
}
TENSORS = {
    "too large": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]},
    "outside": {"dtype": "F32", "shape": [2], "data_offsets": [2**60, 2**60 + 8]},
    "backwards": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
    "of no kind": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]},
    "of a rare kind": {"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]},
    "of four bits": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]},
    "called badly": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], "x": 1},
}


def tensors(kind: str) -> bytes:
    """Return a safetensors file of one tensor that is not as it should be."""
    name = "line\nFORGED" if kind == "called badly" else "visual.proj"
    text = json.dumps({name: TENSORS[kind]}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize("kind", [*HEADERS, *TENSORS])
def test_the_header_of_a_weights_file(scing, kind, own_run, world, tmp_path):
    file = put(tmp_path / "w.safetensors", HEADERS[kind] if kind in HEADERS else tensors(kind))
    options = ("--model", TINY_MODEL, "--pretrained", file, "--images", world / "query")
    assert refused(scing("embed", *options, "--output", tmp_path / "g.faiss"), file)
    shutil.copy(file, own_run / "visual" / "image_encoder.safetensors")
    said = scing("embed", "--run", own_run, "--precision", "fp32", "--output", tmp_path / "g.faiss")
    assert refused(said, own_run / "visual")


@pytest.mark.parametrize(
    "sizes", [{"layers": 10**9}, {"width": 2**70}, {"mlp_ratio": 1e300}, {"heads": 0}, {"embed_dim": 2**62}]
)
def test_a_run_of_absurd_numbers(scing, sizes, own_run, tmp_path):
    stamp = own_run / "visual" / "stamp.json"
    rewrite(stamp, model={**json.loads(stamp.read_text())["model"], **sizes})
    said = scing("embed", "--run", own_run, "--precision", "fp32", "--output", tmp_path / "g.faiss")
    assert refused(said, stamp)
