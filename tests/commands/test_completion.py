"""Shell completion: the scripts of three shells, and the words that they get."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from patience import HANG

from scing_cli.core.layouts import LAYOUTS

START = "import sys; sys.argv[0] = 'scing'; from scing_cli.__main__ import main; main()"
MODULES = "import atexit, json; atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr)); "


def call(*arguments, code=START, **variables):
    """Run the program in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=os.environ | variables)


def words(line, shell="bash"):
    """Return the words that a shell would offer at the end of a line."""
    asked = {"bash": {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}}
    given = asked.get(shell, {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"})
    done = call(code=START.replace("; from", f"; {MODULES}from"), _SCING_COMPLETE=f"complete_{shell}", **given)
    assert not {"torch", "numpy", "faiss", "PIL"} & set(json.loads(done.stderr))
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("scing tr", ["train-prompts", "train-visual"]),
        ("scing train-prompts --method ", ["scing", "clip-reid", "cocoop", "prompt-decoupling", "direct", "dmpt"]),
        ("scing train-prompts --model scing", ["scing-small", "scing-tiny"]),
        ("scing prepare x --layout ", ["auto", *LAYOUTS]),
        ("scing embed --model ViT-B-16-q", ["ViT-B-16-quickgelu"]),
        ("scing embed --index-type ", ["auto", "flat", "ivf", "hnsw"]),
        ("scing search --device c", ["cpu", "cuda"]),
        ("scing train-prompts --gate ", ["channel", "token"]),
        ("scing embed --ima", ["--images"]),
        ("scing embed --images ", []),  # the shell offers files
        ("scing --show-completion ", ["bash", "zsh", "fish"]),
        ("scing --install-completion bash tr", ["train-prompts", "train-visual"]),
    ],
)
def test_commands_options_and_names_complete_without_heavy_imports(line, offered):
    assert words(line) == offered


@pytest.mark.parametrize(("shell", "form"), [("zsh", '"cocoop"'), ("fish", "cocoop")])
def test_the_other_shells_get_the_same_words(shell, form):
    assert form in " ".join(words("scing train-prompts --method coc", shell))


def test_bash_completes_with_the_printed_script(tmp_path):
    program = tmp_path / "scing"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{START}" "$@"\n')
    program.chmod(0o755)
    ask = 'COMP_WORDS=(scing embed --index-type h); COMP_CWORD=3; _scing_completion scing; echo "${COMPREPLY[@]}"'
    places = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", f'eval "$(scing --show-completion bash)"; {ask}']
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=os.environ | places)
    assert (done.stdout, done.stderr) == ("hnsw\n", "")


@pytest.mark.parametrize("form", [("--show-completion", "{}"), ("--show-completion={}",)])
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell, form):
    done = call(*(word.format(shell) for word in form))
    assert done.returncode == 0
    assert f"_SCING_COMPLETE=complete_{shell}" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_installed_for_the_user(shell, tmp_path):
    done = call("--install-completion", shell, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (script,) = [file for file in tmp_path.rglob("*") if file.is_file() and "complete_" in file.read_text()]
    assert str(script) in done.stdout
    again = call("--install-completion", shell, HOME=str(tmp_path))
    assert again.returncode == 0
    (tmp_path / "file").write_text("")
    refused = call("--install-completion", shell, HOME=str(tmp_path / "file"))
    assert refused.returncode == 2
    assert f"scing --show-completion {shell}" in refused.stderr


def test_a_shell_without_a_script_is_named():
    done = call("--show-completion", "tcsh")
    assert done.returncode == 2
    assert "--show-completion 'tcsh': must be one of bash, zsh, fish." in done.stderr
