"""The commands and code of README and the guide, and the examples, run as a reader runs them."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fixtures import FIXTURES, own_table, put
from graph_models import export, osnet
from guide import (
    GUIDE,
    LINKING,
    PAGES,
    README,
    ROOT,
    blocks,
    broken_links,
    commands,
    links,
    page_name,
    section,
    text_of,
)
from patience import HANG
from PIL import Image
from pipeline.conftest import MODEL
from tiny import TINY_MODEL

from scing_cli import __version__
from scing_cli.core.artifacts import Run
from scing_cli.core.devices import memory_advice
from scing_cli.core.errors import ScingError

SMALL = {
    "train-prompts": (*MODEL, "--epochs", "1", "--batch-size", "16"),
    "train-visual": ("--epochs", "1", "--batch-size", "16"),
}
DRAWN = ("--identities", "4", "--test-identities", "4")
INSTALLS = (["pip", "install", "."], ["pip", "install", ".[test]"])
RUN_ELSEWHERE = (*INSTALLS, ["bash", "examples/quickstart.sh"], ["pytest"])  # by .ci/run and the tests below
LANGUAGES = {"bash", "python", "toml", "csv", "text", "bibtex"}
ARRAYS = """
import numpy as np
query, gallery = np.eye(3, 8, dtype=np.float32), np.eye(3, 8, k=1, dtype=np.float32) + np.eye(3, 8, dtype=np.float32)
query_identity = gallery_identity = np.array(["anna", "ben", "cleo"])
query_camera, gallery_camera = np.array([1, 1, 2]), np.array([2, 2, 1])
"""
every_page = pytest.mark.parametrize("page", PAGES, ids=page_name)


@pytest.fixture
def reader(scing, world, finished, tmp_path, monkeypatch):
    """Make the folder of a reader, and change to it: data under the names that the pages use, and photos.

    `reader(trained=True)` puts a finished run and its index there too, for pages that begin with one.
    """

    def arrive(*, trained):
        monkeypatch.chdir(tmp_path)
        for name in ("Market-1501", "DukeMTMC-reID"):
            shutil.copytree(world, name)
        FIXTURES["CUHK-PEDES"].write(Path("CUHK-PEDES"))
        shutil.copytree(world / "query", "crops")
        for file in sorted(world.glob("*/*.jpg")):
            person = Path("people", file.name.split("_")[0])
            person.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, person / f"{file.parent.name}-{file.name}")
        shutil.copytree(ROOT / "examples", "examples")
        shutil.copy(min((world / "query").glob("*.jpg")), "photo.jpg")
        for name in ("rgb.jpg", "nir.jpg", "tir.jpg"):
            shutil.copy("photo.jpg", name)
        Image.new("RGB", (720, 360), "gray").save("street.jpg")
        export(Path("encoder.onnx"), osnet())
        own_table(Path())
        if trained:
            shutil.copytree(finished, "runs/Market-1501")
            assert scing("embed").code == 0

    return arrive


def run_scing(scing, name, *options):
    """Run a page's command; only the weights that no test has, the epochs and the number of drawn people are changed."""
    options = list(options)
    if "openai" in options:
        options[options.index("--model") + 1], options[options.index("openai")] = TINY_MODEL, "random"
    if name == "train-prompts" and "examples/configs" in " ".join(options):
        options += ["--stride", "4"]
    small = DRAWN if "--synthetic" in options else MODEL if "direct" in options else SMALL.get(name, ())
    for option in small[::2]:  # in place of the page's own value
        if option in options:
            place = options.index(option)
            del options[place : place + 2]
    result = scing(name, *options, *small)
    assert result.code == 0, (name, options, result.err)


def run_command(scing, words):
    program, *arguments = words
    if program == "scing":
        run_scing(scing, *arguments)
    elif program == "python":  # a script with a test of its own
        script = (ROOT / arguments[0]).read_text(encoding="utf-8")
        assert [word for word in arguments if word.startswith("--") and f'"{word}"' not in script] == []
    else:
        assert words in RUN_ELSEWHERE


def run_block(scing, language, text):
    if language == "bash":
        for words in commands(text):
            run_command(scing, words)
    elif language == "python":
        subprocess.run([sys.executable, "-c", ARRAYS + text], check=True)
    elif language == "toml":
        Path("own.toml").write_text(text, encoding="utf-8")
        run_scing(scing, "train-prompts", "--config", "own.toml")
        run_scing(scing, "train-visual", "--config", "own.toml")
    elif language == "csv":
        for row in csv.DictReader(text.splitlines()):
            put(Path(row["path"]), 1, 1)
        Path("block.csv").write_text(text, encoding="utf-8")
        run_scing(scing, "prepare", "block.csv", "--strict")


@every_page
def test_a_pages_commands_and_code_run_in_their_order(page, scing, reader):
    content = blocks(page)
    assert {language for language, _ in content} <= LANGUAGES
    reader(trained="scing train-prompts" not in "".join(text for language, text in content if language == "bash"))
    if page == README:  # its first command is a search in an index that the reader has
        assert scing("embed", *MODEL, "--data", "Market-1501", "--output", "gallery.faiss").code == 0
        run_block(scing, *content.pop(0))
        for file in Path().glob("gallery.*"):
            file.unlink()
    for language, text in content:
        run_block(scing, language, text)


def test_readmes_recipe_ends_in_pictures_and_a_report(scing, reader):
    reader(trained=False)
    recipe = re.findall(r"```bash\n(.*?)```", section(README, "Start with your own folder of crops"), re.DOTALL)
    for block in recipe:
        run_block(scing, "bash", block)
    for picture in ("sheet.png", "small.png", "ranking.png"):
        with Image.open(picture) as drawn:
            assert drawn.width > 100
    assert Path("report", "report.html").exists()
    rows = list(csv.DictReader(Path("own.csv").read_text(encoding="utf-8").splitlines()))
    people = {
        split: {row["identity"] for row in rows if row["split"] == split} for split in ("train", "query", "gallery")
    }
    assert people["query"] == people["gallery"]
    assert len(people["query"]) == 3
    assert not people["train"] & people["query"]


def provoke_lack_of_memory():
    with pytest.raises(ScingError) as lacking, memory_advice("--batch-size"):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")
    return f"Error: {lacking.value.what}"


def test_the_messages_of_troubleshooting_are_what_the_program_says(scing, reader):
    """Every row's first line, in the table's order; the first one needs a machine without network, as tests are."""
    reader(trained=False)
    Path("empty").mkdir()
    Path("empty", "notes.txt").touch()
    Path("damaged").mkdir()
    Path("damaged", "cut.jpg").write_bytes(Path("photo.jpg").read_bytes()[:300])
    index = ("--index", "crops.faiss")
    said = [
        scing("train-prompts", "--data", "Market-1501").err,
        scing("prepare", "empty").err,
        scing("embed").err,
        scing("evaluate", "--data", "people", *MODEL).err,
        scing("embed", "--images", "damaged", *MODEL).err,
    ]
    assert scing("embed", "--images", "crops", *MODEL, "--output", "crops.faiss").code == 0
    said += [
        scing("embed", "--images", "crops", *MODEL, "--output", "crops.faiss").err,
        scing("search", "photo.jpg", *index, "--device", "cuda").err,
        provoke_lack_of_memory(),
        scing("search", "street.jpg", *index).err,
        scing("search", "photo.jpg", *index, "--false-match-rate", "1e-2").err,
    ]
    quoted = re.findall(r"^\| `((?:Error|Warning): .*?)` \|", section(README, "Troubleshooting"), re.MULTILINE)
    assert len(quoted) == len(said) == 10
    for line, message in zip(quoted, said, strict=True):
        assert re.search(".+?".join(map(re.escape, line.split("…"))), message), (line, message)


def test_readme_is_short_and_names_its_version_and_every_page():
    text = text_of(README)
    assert len(text.splitlines()) <= 250
    assert f"scing-cli {__version__}," in text
    named = {(README.parent / link.partition("#")[0]).resolve() for link in links(README)}
    assert set(GUIDE.glob("*.md")) <= named
    listed = {(GUIDE / link).resolve() for link in links(GUIDE / "README.md")}
    assert set(GUIDE.glob("*.md")) - {GUIDE / "README.md"} <= listed


@pytest.mark.parametrize("page", LINKING, ids=page_name)
def test_the_links_of_a_page_lead_somewhere(page):
    assert links(page)
    assert broken_links(page) == []


def test_every_option_in_the_pages_exists(scing):
    known = set()
    for command in ((), ("prepare",), ("train-prompts",), ("train-visual",), ("embed",), ("evaluate",), ("search",)):
        known |= set(re.findall(r"--[a-z][a-z0-9-]+", scing(*command, "--help").out))
    for script in (*(ROOT / "examples").glob("*.py"), ROOT / "tests" / "benchmarks" / "gpu.py"):
        known |= set(re.findall(r'add_argument\(\s*"(--[a-z-]+)"', script.read_text(encoding="utf-8")))
    known |= set(
        re.findall(r'addoption\(\s*"(--[a-z0-9-]+)"', (ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    )
    text = "\n".join(map(text_of, PAGES))
    slurm = {"--array", "--cpus-per-task", "--gpus-per-task", "--requeue", "--dependency", "--wrap"}
    slurm |= {"--gpus-per-node", "--ntasks-per-node"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)) - {"--version", "--nproc-per-node"} - slurm
    assert named <= known | {"--help"}, named - known


def test_the_quickstart_runs_all_six_commands(tmp_path):
    """The script itself, its numbers made smaller: it ends with the table and a search by words."""
    script = (ROOT / "examples" / "quickstart.sh").read_text()
    for pattern, value in (
        (r"--identities \d+ --test-identities \d+", "--identities 4"),
        (r"--epochs \d+", "--epochs 1"),
    ):
        script, count = re.subn(pattern, value, script)
        assert count
    (tmp_path / "quickstart.sh").write_text(script)
    shutil.copy(ROOT / "examples" / "table.py", tmp_path)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "quickstart.sh", "out"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    for command in ("prepare", "train-prompts", "train-visual", "embed", "evaluate", "search"):
        assert f"$ scing {command}" in done.stderr
    for row in ("zero-shot, plain queries", "stage 1 + 2, plain", "zero-shot, occluded", "stage 1 + 2, occluded"):
        assert row in done.stdout
    assert done.stdout.count("mAP") == 1
    assert (tmp_path / "out" / "ranking.png").exists()
    last = done.stderr.rpartition("$ scing ")[2]
    words = re.match(r'search --text "([^"]+)" --index gallery.faiss --montage words.png', last)[1]
    assert words in done.stdout.partition("stage 1 + 2, occluded")[2]
    assert (tmp_path / "out" / "words.png").exists()
    again = subprocess.run(
        ["bash", "quickstart.sh", "out"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert again.returncode == 2
    assert "out already exists" in again.stderr


def test_the_library_walks_the_same_road(world, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "examples" / "python_api.py",
            world,
            *MODEL,
            "--epochs",
            "1",
            "--output",
            tmp_path / "out",
        ],
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert "mAP" in done.stdout
    assert (tmp_path / "out" / "ranking.png").exists()
    assert Run(tmp_path / "out" / "run", {}).has("visual")


@pytest.mark.parametrize(
    "name",
    [
        "quickstart.sh",
        "python_api.py",
        "table.py",
        "pretrain_tiny_clip.py",
        "modality_gap.py",
        "text_to_image.py",
        "three_spectra.py",
    ],
)
def test_examples_name_no_place_of_one_machine(name):
    assert not re.search(r"/(work|home|root|tmp)/", (ROOT / "examples" / name).read_text())
