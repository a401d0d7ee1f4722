"""Files that would run code when unpickled: no input runs any, and each gives one message."""

from __future__ import annotations

import ast
import hashlib
import resource
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from faults.hostile import bombs, detonate, refused, rewrite
from pipeline.conftest import FAST
from tiny import TINY_MODEL

from scing_cli.core.encoders.openvino_model import openvino_installed

PACKAGE = Path(__file__).resolve().parents[2] / "scing_cli"
KINDS = tuple(bombs(Path("marker")))
SOME = ("pickle", "torch", "TorchScript", "npz")  # where no reader of pickles stands at the door at all
BANNED = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "marshal.loads", "shelve.open"}
BANNED |= {"pickle.load", "pickle.loads", "torch.jit.load", "jit.load", "numpy.fromfile", "runpy.run_path"}
NAMES_A_SHELL = {"install", "get_completion_script"}  # of Typer: for which shell a script is
MAY_UNPICKLE = {
    "core/encoders/archive.py",
    "core/encoders/checkpoint.py",
    "core/encoders/weights.py",
}  # inert names alone; the error's class
MAY_START_PROGRAMS = {"core/synthetic/worker.py"}  # our own interpreter, our own module


@pytest.fixture
def marker(tmp_path):
    """A file that no test may find in the end."""
    file = tmp_path / "executed"
    yield file
    assert not file.exists(), "a file was executed"


def put(content: bytes, file: Path) -> str:
    """Write a file in another's place, and return its digest."""
    file.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_would_execute(kind, tmp_path):
    detonate(bombs(tmp_path / "executed")[kind])
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ""])
@pytest.mark.parametrize("kind", KINDS)
def test_weights(scing, kind, suffix, marker, world, tmp_path):
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(bombs(marker)[kind])
    options = ("--model", TINY_MODEL, "--pretrained", file, "--images", world / "query")
    assert refused(scing("embed", *options, "--output", tmp_path / "g.faiss"), file)
    assert not (tmp_path / "g.faiss").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_saved_embeddings(scing, kind, marker, tmp_path):
    content = bombs(marker)[kind]
    folder, arrays = tmp_path / "arrays", tmp_path / "arrays.npz"
    arrays.write_bytes(content)
    assert refused(scing("evaluate", "--embeddings", arrays), arrays)
    folder.mkdir()
    for name in ("query", "gallery", "query_identity", "gallery_identity"):
        np.save(folder / f"{name}.npy", np.eye(2, dtype=np.float32) if name in {"query", "gallery"} else np.arange(2))
    assert scing("evaluate", "--embeddings", folder).code == 0
    for name in ("query", "query_identity", "gallery_camera"):
        shutil.copytree(folder, tmp_path / name)
        (tmp_path / name / f"{name}.npy").write_bytes(content)
        (tmp_path / name / "query_camera.npy").write_bytes(content)
        assert refused(scing("evaluate", "--embeddings", tmp_path / name), tmp_path / name)


@pytest.mark.parametrize("kind", SOME)
def test_a_run(scing, kind, marker, own_run, world, tmp_path):
    content = bombs(marker)[kind]
    file = own_run / "visual" / "image_encoder.safetensors"
    rewrite(own_run / "visual" / "stamp.json", file_digest=put(content, file))
    embed = ("embed", "--run", own_run, "--precision", "fp32", "--output", tmp_path / "g.faiss")
    assert refused(scing(*embed), file)
    shutil.rmtree(own_run / "visual")
    file = own_run / "prompts" / "prompts.safetensors"
    rewrite(own_run / "prompts" / "stamp.json", file_digest=put(content, file))
    assert refused(scing("train-visual", "--run", own_run, *FAST), file)


@pytest.mark.parametrize("kind", SOME)
def test_an_index(scing, kind, marker, finished, world, tmp_path):
    content = bombs(marker)[kind]
    photo = next((world / "query").iterdir())
    for place, name in enumerate(("gallery.faiss", "gallery.rows-1")):
        folder = tmp_path / str(place)
        folder.mkdir()
        for file in finished.parent.glob("gallery.*"):
            shutil.copy(file, folder)
        (folder / name).write_bytes(content)
        assert refused(scing("search", photo, "--index", folder / "gallery.faiss"), folder / name)


@pytest.mark.parametrize("kind", SOME)
def test_what_can_be_made_anew(scing, kind, marker, own_run, world, tmp_path):
    """The inference copy and kept vectors: torch embeds in their place, and the figures are the same."""
    content = bombs(marker)[kind]
    good = scing("evaluate", "--run", own_run, "--precision", "fp32", "--json")
    copy = own_run / "visual" / "inference"
    assert copy.is_dir() == openvino_installed()
    if copy.is_dir():
        files = {name: put(content, copy / name) for name in ("encoder.xml", "encoder.bin")}
        rewrite(copy / "stamp.json", files=files)
        ended = scing("search", next((world / "query").iterdir()), "--index", own_index(own_run, tmp_path, scing))
        assert ended.code == 0, ended.err
        assert "OpenVINO model" in ended.err
    for file in (own_run / "embeddings").glob("*.safetensors"):
        rewrite(file.with_suffix(".json"), file_digest=put(content, file))
    assert scing("evaluate", "--run", own_run, "--precision", "fp32", "--json").json == good.json


def own_index(run, folder, scing):
    index = folder / "own.faiss"
    assert scing("embed", "--run", run, "--precision", "fp32", "--output", index).code == 0
    return index


@pytest.mark.parametrize("name", ["a/data.pkl", "a/byteorder", "a/data/0", "archive/data.pkl"])
def test_a_weights_file_that_unpacks_to_all_memory(scing, name, world, tmp_path):
    file = tmp_path / "weights.pt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as container:
        for own in {"a/data.pkl", "a/constants.pkl", name} if name.startswith("a/") else {name, "archive/version"}:
            with container.open(own, "w") as stream:
                for _ in range(200 if own == name else 1):
                    stream.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(scing("embed", "--model", TINY_MODEL, "--pretrained", file, "--images", world / "query"), file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def calls(tree: ast.AST):
    """Yield every call with the dotted name it calls, where it has one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {word.arg: word.value for word in node.keywords}, node.lineno


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_line_runs_what_it_reads(path):
    name, tree = path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for called, words, line in calls(tree):
        last = called.rpartition(".")[2]
        careless = called in BANNED or (
            last == "load" and called.startswith("torch") and not _is(words, "weights_only")
        )
        shell = "shell" in words and called not in NAMES_A_SHELL
        found += [(called, line)] if careless or _is(words, "allow_pickle") or shell else []
        found += [(called, line)] if called in {"np.load", "numpy.load"} and "allow_pickle" not in words else []
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not found
    assert name in MAY_UNPICKLE or not imported & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert name in MAY_START_PROGRAMS or not imported & {"subprocess", "pty", "multiprocessing"}


def _is(words: dict[str, ast.expr], name: str) -> bool:
    """Tell whether a call sets an option to anything but False."""
    return name in words and not (isinstance(words[name], ast.Constant) and words[name].value is False)
