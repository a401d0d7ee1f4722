"""A stranger's files with right checksums and absurd values: each is refused with file, field and remedy, or works."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from artifacts import edit_json, edit_run
from pipeline.conftest import FAST
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.artifacts import with_checksum, write_json
from scing_cli.core.artifacts.schema_faults import find_fault
from scing_cli.core.artifacts.schema_kinds import KINDS
from scing_cli.core.embeddings.openvino_text import make_openvino_text
from scing_cli.core.encoders.export_facts import export_facts
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import PromptSettings
from scing_cli.core.training import Trainer
from scing_cli.core.workflows.embed import merge_shards as merging
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice
from scing_cli.core.workflows.embed.embed_shards import embed_shards
from scing_cli.core.workflows.shared.model import ModelChoice
from scing_cli.core.workflows.train.prompts_stage import train_prompts

ABSURD = (
    *(None, True, False, 0, -1, 1, 10**12, -(10**12), 2**70, 0.0, 1e300, -1e300, 1e-300),
    *("", "x", "\0", "../../x", "/", "/dev/zero", "x" * 100_000, "line\nFORGED: nothing is wrong", "\x1b[31m"),
    *([], [0], [None], ["x"] * 3, {}, {"x": 0}, [[[[]]]]),
)
STATE = "state/train-prompts.json"
CHECKSUMS = {"self_digest", "format"}
FILES = {
    "run": "run.json",
    "visual stamp": "visual/stamp.json",
    "prompts stamp": "prompts/stamp.json",
    "OpenVINO stamp": "visual/inference/stamp.json",
}


def leaves(content: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every value, also of those that hold others."""
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in items:
        if name not in CHECKSUMS:
            yield from leaves(value, *path, name)


def put(content: Any, path: tuple[str | int, ...], value: Any) -> None:
    """Replace the value at a place."""
    *above, last = path
    for name in above:
        content = content[name]
    content[last] = copy.deepcopy(value)


def index_stamp(index: Path) -> tuple[bytes, dict[str, Any]]:
    whole = index.read_bytes()
    length = int.from_bytes(whole[-16:-8], "little")
    return whole[: -16 - length], json.loads(whole[-16 - length : -16])


def write_index_stamp(index: Path, vectors: bytes, content: dict[str, Any]) -> None:
    text = json.dumps(with_checksum(content)).encode()
    index.write_bytes(vectors + text + len(text).to_bytes(8, "little") + b"SCINGidx")


@pytest.fixture(scope="module")
def unfinished(world, tmp_path_factory) -> Path:
    """A run whose stage 1 was interrupted."""
    run = tmp_path_factory.mktemp("interrupted") / "run"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    quick = PromptSettings(epochs=2, batch_size=16, model=TINY_MODEL, pretrained="random")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_end_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            train_prompts(world, quick, run=run, reporter=Silent())
    return run


@pytest.fixture(scope="module")
def contents(finished, both_towers, unfinished, world, tmp_path_factory) -> dict[str, dict[str, Any]]:
    """The real content of each kind of file."""
    clip, folder = tiny_clip(), tmp_path_factory.mktemp("text") / "made"
    assert make_openvino_text(folder, clip.text, "a" * 64, reporter=Silent())
    found = {kind: json.loads((finished / file).read_text()) for kind, file in FILES.items()}
    found["visual stamp"] |= {"text": json.loads((both_towers / FILES["visual stamp"]).read_text())["text"]}
    found["tower prompts stamp"] = json.loads((both_towers / FILES["prompts stamp"]).read_text())
    found["unfinished training"] = json.loads((unfinished / STATE).read_text())
    found["OpenVINO text stamp"] = json.loads((folder / "stamp.json").read_text())
    found["graph statement"] = export_facts(clip.image.geometry, kind="projected", digest="a" * 64, output="vectors")
    place = tmp_path_factory.mktemp("shards")
    shutil.copytree(world / "query", place / "crops")
    (place / "crops" / "0.jpg").write_bytes(b"no image")
    crops, output = GalleryChoice(images=place / "crops"), place / "g.faiss"
    embed_shards(ModelChoice(run=finished), crops, shards=2, output=output, reporter=Silent())
    for name, kind in (("plan", "shard plan"), ("0000", "shard mark")):
        found[kind] = json.loads((place / "g.shards" / f"{name}.json").read_text())

    def stop(*_: Any, **__: Any) -> None:  # amid the merge, whose mark is there then
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "join", stop)
        with pytest.raises(KeyboardInterrupt):
            merging.merge_shards(output, reporter=Silent())
    found["merge mark"] = json.loads((place / "g.shards" / "merging.json").read_text())
    return found | {"index stamp": index_stamp(finished.parent / "gallery.faiss")[1]}


def test_real_files_are_valid(contents):
    assert {kind: find_fault(kind, content) for kind, content in contents.items()} == dict.fromkeys(contents, "")
    assert set(contents) == set(KINDS)


def test_no_absurd_value_passes_where_it_could_do_harm(contents):
    """Numbers and truth values of another type, texts for numbers, objects and lists are refused at every place."""
    free = {"settings", "machine", "versions", "facts"}  # of free keys; stages' settings have a schema of their own
    for kind, content in contents.items():
        for path in leaves(content):
            value = content
            for name in path:
                value = value[name]
            if (path[0] == "facts" and len(path) > 1) or path[:2] == ("given", "settings"):
                continue  # only compared; or checked as settings when they are used
            if len(path) == 1 and path[0] in free:
                continue
            for absurd in ABSURD:
                if path == ("given", "path") and absurd == ["x"] * 3:
                    continue  # several data sets
                changed = copy.deepcopy(content)
                put(changed, path, absurd)
                fault = find_fault(kind, changed)
                other = isinstance(absurd, bool) != isinstance(value, bool) or (
                    isinstance(absurd, str | list | dict) and not isinstance(absurd, type(value))
                )
                if other and value is not None and path[:1] != ("metric",):
                    assert fault, (kind, path, absurd)
                assert len(fault) < 1000
                assert fault.isprintable()


def harmless(said, *named: str) -> None:
    """Check that a command worked, or ended in one message that names the file."""
    assert "Internal error" not in said.err, said.err[:2000]
    assert "Traceback" not in said.err
    assert said.code in {0, 2}, said
    assert len(said.err) < 20_000
    if said.code == 2:
        assert said.err.count("Error:") == 1, said.err
        assert any(name in said.err for name in named), said.err[:2000]


@pytest.mark.parametrize("kind", FILES)
def test_every_value_of_a_run(scing, kind, contents, own_run, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dice, photo = random.Random(kind), next((world / "query").iterdir())
    commands = {
        "run": [
            ("embed", "--run", own_run, "--output", "g.faiss", "--force"),
            ("evaluate", "--run", own_run, "--output", "report"),
        ],
        "visual stamp": [("embed", "--run", own_run, "--precision", "fp32", "--output", "g.faiss", "--force")],
        "prompts stamp": [("train-visual", "--run", own_run, *FAST)],
        "OpenVINO stamp": [("search", photo, "--index", "own.faiss")],
    }[kind]
    scing("embed", "--run", own_run, "--output", "own.faiss")
    visual = shutil.copytree(own_run / "visual", tmp_path / "visual")
    if kind == "prompts stamp":
        shutil.rmtree(own_run / "visual")
    for path in leaves(json.loads((own_run / FILES[kind]).read_text())):
        if path[0] == "settings" and dice.random() < 0.6:  # there are many; the schema's own test takes all
            continue
        if kind == "run":
            edit_run(own_run, lambda content, path=path: put(content, path, dice.choice(ABSURD)))
        else:
            edit_json(own_run / FILES[kind], lambda content, path=path: put(content, path, dice.choice(ABSURD)))
        harmless(scing(*dice.choice(commands)), "run.json", "stamp.json", "manifest.csv", "--data", "--stride")
        write_json(own_run / FILES[kind], contents[kind])
        if kind == "prompts stamp":
            shutil.rmtree(own_run / "visual", ignore_errors=True)
        elif kind != "run":
            shutil.copytree(visual, own_run / "visual", dirs_exist_ok=True)
        else:
            for stage in ("visual", "prompts"):
                write_json(own_run / stage / "stamp.json", contents[f"{stage} stamp"])


@pytest.mark.parametrize("kind", ["visual stamp", "tower prompts stamp"])
def test_every_value_of_a_run_with_both_encoders(scing, kind, contents, both_towers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, dice = Path(shutil.copytree(both_towers, tmp_path / "run")), random.Random(kind)
    file = FILES[kind.removeprefix("tower ")]
    whole = json.loads((run / file).read_text())
    command = ("train-visual", "--run", run, "--epochs", "1", "--as", "again")
    if kind == "visual stamp":
        command = ("evaluate", "--run", run, "--queries", "text")
    for path in leaves(whole):
        if path[0] == "settings" and dice.random() < 0.8:
            continue
        edit_json(run / file, lambda content, path=path: put(content, path, dice.choice(ABSURD)))
        harmless(scing(*command), "stamp.json", "different identities")
        write_json(run / file, whole)
        shutil.rmtree("again", ignore_errors=True)


def test_every_value_of_an_unfinished_training(scing, contents, unfinished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(unfinished, "run")
    content, dice = contents["unfinished training"], random.Random(2)
    for path in leaves(content):
        if "settings" in path and dice.random() < 0.8:
            continue
        shutil.rmtree("run")
        shutil.copytree(unfinished, "run")
        changed = copy.deepcopy(content)
        put(changed, path, dice.choice(ABSURD))
        write_json(Path("run") / STATE, changed)
        harmless(
            scing("train-prompts", "--resume", "--run", "run"),
            "train-prompts",
            "--data",
            "--device",
            "layout",
            "data set",
        )
    shutil.rmtree("run")
    shutil.copytree(unfinished, "run")
    assert scing("train-prompts", "--resume", "--run", "run").code == 0


def test_every_value_of_an_index(scing, contents, finished, world, tmp_path):
    for file in finished.parent.glob("gallery.*"):
        shutil.copy(file, tmp_path)
    index, photo, dice = tmp_path / "gallery.faiss", next((world / "query").iterdir()), random.Random(1)
    vectors, content = index_stamp(index)
    for path in leaves(content):
        for absurd in dice.sample(ABSURD, 3):
            changed = copy.deepcopy(content)
            put(changed, path, absurd)
            write_index_stamp(index, vectors, changed)
            harmless(scing("search", photo, "--index", index), "gallery.faiss")


def test_a_remedy_comes_with_each(scing, own_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cases = {
        ("data", "root"): (7, "data.root is 7: input should be a valid string"),
        ("data", "name"): ("x" * 100_000, "data.name is"),
        ("model", "geometry", "height"): (0, "model.geometry.height is 0: input should be greater than"),
        ("model", "geometry", "width"): (10**12, "model.geometry.width is 1000000000000: "),
        ("model", "geometry", "std", 1): (0.0, "model.geometry.std.1 is 0.0: "),
        ("settings", "train-prompts", "stride"): (0, "settings.train-prompts.stride is 0: "),
        ("settings", "train-visual", "epochs"): ("2", "settings.train-visual.epochs is"),
    }
    whole = json.loads((own_run / "run.json").read_text())
    for path, (value, message) in cases.items():
        edit_run(own_run, lambda content, path=path, value=value: put(content, path, value))
        said = scing("evaluate", "--run", own_run)
        assert said.code == 2
        assert f"{own_run / 'run.json'} has an invalid value: {message}" in said.err, said.err[:500]
        assert "Restore it from a copy, choose another run, or train again." in said.err
        write_json(own_run / "run.json", whole)
