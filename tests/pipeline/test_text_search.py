"""Search by words, and by a photo and words together: with a run, a plain CLIP, and from the library."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import TINY_MODEL

import scing_cli
from scing_cli.core.artifacts import STAMP
from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.tokenizer import tokenize
from scing_cli.core.index import GalleryIndex
from scing_cli.core.runtime import Silent
from scing_cli.core.synthetic import write_world

TEXTS = ["a woman in a red coat with a backpack", "a man in blue trousers"]
NAMED = "starts from random weights (seed 0): its features are meaningless before training."


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def index(finished):
    return finished.parent / "gallery.faiss"


@pytest.fixture(scope="module")
def photo(world):
    return min((world / "query").glob("*.jpg"))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Twelve people never seen in training, with an index of scing-tiny."""
    folder = tmp_path_factory.mktemp("shipped")
    write_world(folder / "people", identities=12, cameras=2, images_per_camera=2, seed=77, workers=2)
    choice = scing_cli.GalleryChoice(data=folder / "people")
    scing_cli.embed(
        scing_cli.ModelChoice(model="scing-tiny"), choice, output=folder / "gallery.faiss", reporter=Silent()
    )
    return folder


def vectors_of(texts: list[str]) -> np.ndarray:
    """Encode each text alone with the CLIP that the run started from."""
    clip, found = load_clip(TINY_MODEL, "random", reporter=Silent()), []
    for text in texts:
        ids = torch.tensor([tokenize(text)])
        with torch.no_grad():
            feature = clip.text(clip.text.embed(ids), ids.shape[1] - 1)[0].double().numpy()
        found.append(feature / np.linalg.norm(feature))
    return np.stack(found)


def ranked(index: Path, vector: np.ndarray, k: int) -> tuple[list[str], np.ndarray]:
    """Rank all rows of an index by a plain loop."""
    opened = GalleryIndex.read(index)
    scores = np.array([float(row.astype(np.float64) @ vector) for row in opened.vectors()])
    order = np.argsort(-scores, kind="stable")[:k]
    return [opened.rows()[i].path for i in order], scores[order]


@pytest.mark.parametrize("again", [False, True])  # first with torch, then with the OpenVINO model that it made
def test_words_rank_the_gallery_by_their_cosine(scing, index, again):
    texts = [part for text in TEXTS for part in ("--text", text)]
    found = [scing("search", *texts, "--index", index, "-k", "5", "--json") for _ in range(1 + again)][-1]
    assert NAMED in found.err
    assert [own["query"] for own in found.json["results"]] == [{"text": text} for text in TEXTS]
    for own, vector in zip(found.json["results"], vectors_of(TEXTS), strict=True):
        paths, scores = ranked(index, vector, 5)
        assert [hit["path"] for hit in own["hits"]] == paths
        np.testing.assert_allclose([hit["score"] for hit in own["hits"]], scores, atol=2e-3 if again else 1e-5)


@pytest.mark.parametrize("weight", [None, 0.0, 0.3, 1.0])
def test_a_photo_and_words_are_joined_as_unit_vectors(scing, index, photo, weight):
    alone = scing_cli.load_model(index=index, machine=scing_cli.Machine(precision="fp32")).embed(str(photo))[0]
    chosen = 0.5 if weight is None else weight
    joined = (1 - chosen) * alone.astype(np.float64) + chosen * vectors_of(TEXTS[:1])[0]
    paths, scores = ranked(index, joined / np.linalg.norm(joined), 4)
    options = () if weight is None else ("--text-weight", weight)
    found = scing(
        "search", photo, "--text", TEXTS[0], *options, "--index", index, "-k", "4", "--precision", "fp32", "--json"
    )
    (own,) = found.json["results"]
    assert own["query"] == {"text": TEXTS[0], "photo": str(photo)}
    np.testing.assert_allclose([hit["score"] for hit in own["hits"]], scores, atol=1e-5)
    assert [hit["path"] for hit in own["hits"]] == paths


def test_photos_are_joined_before_the_words_are(scing, index, world):
    photos = sorted((world / "query").glob("*.jpg"))[:2]
    options = ("--text", TEXTS[0], "--index", index, "-k", "3", "--precision", "fp32", "--json")
    found = scing("search", *photos, "--join", "mean", *options).json["results"]
    model = scing_cli.load_model(index=index, machine=scing_cli.Machine(precision="fp32"))
    mean = model.embed([str(photo) for photo in photos]).astype(np.float64).mean(axis=0)
    joined = mean / np.linalg.norm(mean) + vectors_of(TEXTS[:1])[0]
    _, scores = ranked(index, joined / np.linalg.norm(joined), 3)
    assert len(found) == 1
    assert found[0]["joined"] == [str(photo) for photo in photos]
    np.testing.assert_allclose([hit["score"] for hit in found[0]["hits"]], scores, atol=1e-5)


def test_the_shipped_model_finds_people_by_their_captions(shipped, scing):
    """The captions of the synthetic world stand in captions.csv; nobody of it was in the training."""
    with (shipped / "people" / "captions.csv").open(encoding="utf-8", newline="") as file:
        captions = {row["path"]: row["caption"] for row in csv.DictReader(file)}
    rows = [row for row in GalleryIndex.read(shipped / "gallery.faiss").rows() if row.identity not in {"0000", "-1"}]
    chosen = {row.identity: captions[Path(row.path).relative_to(shipped / "people").as_posix()] for row in rows}
    texts = [part for caption in chosen.values() for part in ("--text", caption)]
    options = ("--index", shipped / "gallery.faiss", "-k", len(chosen), "--group", "identity", "--json")
    found = scing("search", *texts, *options).json["results"]
    people = [[hit["identity"] for hit in own["hits"]] for own in found]
    ranks = [own.index(identity) for own, identity in zip(people, chosen, strict=True)]
    assert np.mean(ranks) < (len(chosen) - 1) / 4  # half of what chance gives


def test_all_outputs_show_the_words(scing, index, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--text", TEXTS[0], "--index", index, "-k", "2", "--group", "identity")
    shown = scing("search", *words, "--montage", "m.png", "--saliency", "s.png", "--csv", "hits.csv")
    assert shown.code == 0
    assert TEXTS[0] in shown.out
    for name in ("m.png", "s.png"):
        with Image.open(name) as picture:
            assert picture.width > 300
    with Path("hits.csv").open(encoding="utf-8", newline="") as file:
        assert [row["query"] for row in csv.DictReader(file)] == [TEXTS[0]] * 2
    both = scing("search", photo, *words, "--csv", "-", "--montage", "m2.png")
    assert {row["query"] for row in csv.DictReader(io.StringIO(both.out))} == {f"{photo} + {TEXTS[0]}"}
    filtered = scing("search", *words, "--camera", "1", "--json").json["results"][0]["hits"]
    assert {hit["camera"] for hit in filtered} == {"1"}
    assert len({hit["identity"] for hit in filtered}) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_texts_has_one_per_line(scing, index, tmp_path, monkeypatch, encoding):
    file = tmp_path / "texts"
    file.write_bytes(f"{TEXTS[0]}\n\n   \n{TEXTS[1]}\n".encode(encoding))
    options = ("--index", index, "-k", "1", "--json")
    found = scing("search", "--text", "a child", "--text-file", file, *options)
    assert [own["query"]["text"] for own in found.json["results"]] == ["a child", *TEXTS]
    with file.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        piped = scing("search", "--text-file", "-", *options)
    assert [own["query"]["text"] for own in piped.json["results"]] == TEXTS


def test_a_long_text_is_cut_and_a_foreign_one_named(scing, index):
    options = ("--index", index, "-k", "1", "--json")
    long, foreign = scing("search", "--text", "red " * 300, *options), scing("search", "--text", "мужчина", *options)
    assert "1 text is longer than the 77 tokens that the model reads" in long.err
    assert "мужчина: CLIP has learned English words" in foreign.err
    assert [long.code, foreign.code] == [0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "There is no query. Name a photo, or describe a person with --text."),
        (("--text", ""), "--text: the text is empty."),
        (("--text", "a man", "--text", " !?"), "--text, number 2 of 2: !? has no word."),
        (("--text", "a\udcff man"), r"--text: a\udcff man is not UTF-8."),
        (("--text", "a", "--text", "b", "PHOTO"), "2 texts were given with photos"),
        (("--text", "a", "--rerank"), "a text has no such neighbours"),
        (("--text", "a", "--box", "1,1,4,4"), "--box has no effect on words."),
        (("--text", "a", "--join", "mean"), "--join has no effect on words."),
        (("--text", "a", "--strict"), "--strict has no effect on words."),
        (("--text", "a", "--text-weight", "0.5"), "--text-weight joins words with a photo."),
        (("PHOTO", "--text-weight", "0.5"), "--text-weight joins words with a photo."),
        (("--text", "a", "PHOTO", "--text-weight", "1.5"), "--text-weight 1.5: must be between 0 and 1."),
        (("--text-file", "nowhere"), "--text-file nowhere is missing."),
        (("--text-file", "."), "--text-file . cannot be read: it is not a regular file."),
        (("--text-file", "latin"), "--text-file latin is not a text in UTF-8."),
        (("--text-file", "blank"), "--text-file blank has no text."),
        (("-", "--text-file", "-"), "--text-file - and - both read standard input."),
    ],
)
def test_what_cannot_be_asked_is_one_message(scing, index, photo, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    Path("latin").write_bytes("rot und grün".encode("latin-1"))
    Path("blank").write_bytes(b" \n\n")
    given = [photo if option == "PHOTO" else option for option in options]
    result = scing("search", *given, "--index", index)
    assert result.code == 2
    assert message in result.err
    assert result.out == ""


def test_a_rate_for_words_needs_a_report_with_words(scing, own_run, world, tmp_path):
    index = tmp_path / "g.faiss"
    assert scing("embed", "--run", own_run, "--data", world, "--output", index).code == 0
    result = scing("search", "--text", "a", "--false-match-rate", "0.01", "--index", index)
    assert result.code == 2
    assert "--false-match-rate: there is no report with words of the model" in result.err
    assert result.out == ""


def test_an_index_of_another_descriptor_has_no_words(scing, finished, world, tmp_path):
    output = ("--output", tmp_path / "g.faiss")
    assert scing("embed", "--run", finished, "--data", world, "--descriptor", "concat", *output).code == 0
    result = scing("search", "--text", "a man", "--index", tmp_path / "g.faiss")
    assert result.code == 2
    assert "vectors of --descriptor concat lie in another" in result.err


def test_a_changed_clip_is_refused(scing, own_run, world, tmp_path):
    """The run names random weights; with another seed they are those of another CLIP."""
    from scing_cli.core.artifacts import read_json, write_json

    index, file = tmp_path / "g.faiss", own_run / "run.json"
    assert scing("embed", "--run", own_run, "--data", world, "--output", index).code == 0
    content = read_json(file)
    content["settings"]["train-prompts"]["seed"] = 1
    write_json(file, content)
    result = scing("search", "--text", "a man", "--index", index)
    assert result.code == 2
    assert "is not the model that the prompts of" in result.err


def weights(file: Path, **changed: float) -> Path:
    """Write the small CLIP's weights in open_clip's layout, with a factor for some of the text tower's."""
    clip = load_clip(TINY_MODEL, "random", reporter=Silent())
    state = {f"visual.{name}": value for name, value in clip.image.state_dict().items()} | clip.text.state_dict()
    state = {name: (value * changed.get(name, 1.0)).contiguous() for name, value in state.items()}
    save_file(state | {"logit_scale": torch.tensor(2.0)}, file)
    return file


def test_words_are_read_by_the_text_tower_of_the_index_s_own_weights(scing, world, tmp_path):
    """Two files with the same image tower and other text towers; then one is replaced."""
    first, second = weights(tmp_path / "a.safetensors"), weights(tmp_path / "b.safetensors", positional_embedding=-3.0)
    found = {}
    for file in (first, second):
        model, index = ("--model", TINY_MODEL, "--pretrained", file), ("--output", file.with_suffix(".faiss"))
        assert scing("embed", *model, "--data", world, *index).code == 0
        for again in (False, True):
            options = ("--index", file.with_suffix(".faiss"), "-k", "3", "--json")
            hits = scing("search", "--text", "a man", *options).json["results"][0]["hits"]
            found[file.stem, again] = [hit["score"] for hit in hits]
    np.testing.assert_allclose(found["a", False], found["a", True], atol=2e-3)
    np.testing.assert_allclose(found["b", False], found["b", True], atol=2e-3)
    assert np.abs(np.subtract(found["a", True], found["b", True])).max() > 0.01
    second.replace(first)  # the same image tower: photos find what they found, words are read by what is there now
    now = scing("search", "--text", "a man", "--index", tmp_path / "a.faiss", "-k", "3", "--json").json["results"][0]
    np.testing.assert_allclose([hit["score"] for hit in now["hits"]], found["b", False], atol=2e-3)


def test_a_runs_text_tower_must_be_the_one_of_its_training(scing, own_run, world, tmp_path):
    from scing_cli.core.artifacts import read_json, write_json

    index, file = tmp_path / "g.faiss", own_run / "run.json"
    assert scing("embed", "--run", own_run, "--data", world, "--output", index).code == 0
    content = read_json(file)
    content["model"]["text_digest"] = "0" * 64
    write_json(file, content)
    result = scing("search", "--text", "a man", "--index", index)
    assert result.code == 2
    assert "is not the one that" in result.err


def test_a_borrowed_text_tower_is_named_in_every_search(scing, shipped, tmp_path):
    """Weights of an image encoder alone: the words are read by the text tower of `--model`."""
    clip = load_clip("scing-tiny", reporter=Silent())
    file, index = tmp_path / "tower.safetensors", tmp_path / "g.faiss"
    save_file({name: value.contiguous() for name, value in clip.image.state_dict().items()}, file)
    data = ("--data", shipped / "people", "--output", index)
    assert scing("embed", "--model", "scing-tiny", "--pretrained", file, *data).code == 0
    for _ in range(2):
        said = scing("search", "--text", "a man", "--index", index, "-k", "1")
        assert "has an image encoder alone: the text tower is that of scing-tiny" in said.err


def test_a_damaged_openvino_model_is_made_again(scing, index, tmp_path):
    options = ("search", "--text", "a man", "--index", index, "-k", "1", "--json")
    first = scing(*options)
    (stamp,) = (tmp_path / "cache" / "inference-text").glob(f"*/{STAMP}")
    stamp.write_text(stamp.read_text().replace('"embed_dim": 16', '"embed_dim": 17'))
    second, third = scing(*options), scing(*options)
    assert "checksum does not match" in second.err
    assert "checksum" not in third.err
    scores = [found.json["results"][0]["hits"][0]["score"] for found in (first, second, third)]
    np.testing.assert_allclose(scores, scores[0], atol=2e-3)


def test_a_second_search_does_not_import_torch(index, tmp_path):
    code = "import sys; from scing_cli.app import main\ntry: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    words = ["search", "--text", "a man", "--index", str(index), "-k", "1", "--json"]
    said = [
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        for _ in range(2)
    ]
    assert [json.loads(each.stdout)["results"][0]["query"] for each in said] == [{"text": "a man"}] * 2
    assert [each.stderr.splitlines()[-1] for each in said] == ["True", "False"]


def test_the_library_embeds_texts_and_searches_with_them(shipped, tmp_path):
    folder = Path(shutil.copytree(shipped, tmp_path / "copy"))
    opened = scing_cli.load_index(folder / "gallery.faiss")
    vectors = opened.model.embed_texts(TEXTS)
    assert vectors.shape == (2, opened.width)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(opened.model.embed_texts(TEXTS[1]), vectors[1:], atol=1e-5)
    hits = opened.search(vectors, k=3)
    report = scing_cli.search([], folder / "gallery.faiss", texts=TEXTS, k=3, reporter=Silent())
    assert [hit.path for hit in hits] == [hit.row.path for own in report.results for hit in own.hits]
    assert [(own.query, own.text, own.label) for own in report.results] == [(None, text, text) for text in TEXTS]
    assert opened.model.embed_texts([]).shape == (0, opened.width)
    with pytest.raises(scing_cli.ScingError, match="the text is empty"):
        opened.model.embed_texts("")
    with pytest.raises(scing_cli.ScingError, match="number 2 of 2: None is not a text"):
        opened.model.embed_texts(["a man", None])


def test_the_example_measures_photo_words_and_both(shipped):
    script = Path(__file__).parents[2] / "examples" / "photo_and_words.py"
    command = [sys.executable, str(script), str(shipped / "people"), "--model", "scing-tiny", "--weights", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    header, _, *rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    assert header == ["query", "mAP", "rank-1"]
    assert [row[0] for row in rows] == ["photo", "both, --text-weight 0.5", "words"]
    assert done.stderr.strip() == "24 of 24 queries have a witness"
    evaluated = scing_cli.evaluate(
        scing_cli.ModelChoice(model="scing-tiny"), data=shipped / "people", reporter=Silent()
    ).scores
    assert float(rows[0][1]) == pytest.approx(evaluated.mAP, abs=0.5)  # there, pixels pass another engine
    assert all(float(row[1]) > 20 for row in rows)
