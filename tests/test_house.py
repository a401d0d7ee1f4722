"""Rules of the code base: order of imports, short files, one module that names the device, a fast start."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from patience import HANG

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "scing_cli"
FLOW = (
    *(
        "errors",
        "paths",
        "spectra",
        "safe_reading",
        "settings",
        "artifacts",
        "threads",
        "devices",
        "runtime",
        "reporting",
        "processes",
        "sample",
        "manifest",
        "image_formats",
        "imagefile",
        "observation_images",
        "layouts",
        "datasets",
    ),
    *(
        "batches",
        "encoders",
        "methods",
        "training",
        "embeddings",
        "pairs",
        "index",
        "evaluation",
        "figures",
        "synthetic",
        "workflows",
        "library",
    ),
)
SOURCES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in SOURCES if path.is_relative_to(PACKAGE / "core")]
COMMANDS = [path for path in SOURCES if path.parent == PACKAGE / "commands"]
TOPS = ("scing_cli", "tests", "examples", ".ci", "pyproject.toml", "README.md", "CHANGELOG.md", ".gitignore")
MODULE = re.compile(r"scing_cli(\.\w+)+")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def listed(fault: str, offenders: list[str]) -> str:
    """Return a message that names every offender."""
    return "\n".join([f"{fault}:", *offenders])


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(path: Path) -> Iterator[str]:
    """Yield the full name of everything a file imports, and of every module it names in a text (lazy tables)."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE.fullmatch(node.value):
            yield node.value


def room(module: str) -> str | None:
    """Return the room of `core` that a module lies in; None for any other module."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["scing_cli", "core"] and len(parts) > 2 else None


def test_the_flow_names_every_room() -> None:
    rooms = {path.relative_to(PACKAGE / "core").parts[0].removesuffix(".py") for path in CORE} - {"__init__"}
    assert rooms <= set(FLOW)
    assert len(FLOW) == len(set(FLOW))


def test_a_room_imports_only_from_rooms_above_its_own() -> None:
    found = []
    for path in CORE:
        own = path.relative_to(PACKAGE / "core").parts[0].removesuffix(".py")
        above = FLOW[: FLOW.index(own) + 1] if own in FLOW else ()
        below = sorted({module for module in modules(path) if room(module) is not None and room(module) not in above})
        found += [f"{name(path)} imports {module}" for module in below]
    assert not found, listed("imports from the same level or below", found)


def test_core_knows_no_terminal() -> None:
    banned = ("typer", "rich", "click", "scing_cli.commands", "scing_cli.app", "scing_cli.__main__")
    found = [
        f"{name(path)} imports {module}"
        for path in CORE
        for module in modules(path)
        if any(f"{module}.".startswith(f"{entry}.") for entry in banned)
    ]
    assert not found, listed("core imports the command line", found)


def test_no_assert_guards_the_package() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Assert)
    ]
    assert not found, listed("bad input needs an error that says what to do", found)


def test_one_place_knows_the_device() -> None:
    knowing = {"scing_cli/core/devices.py"}
    found = [
        f"{name(path)}:{number}"
        for path in SOURCES
        if name(path) not in knowing
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "cuda" in line
    ]
    assert not found, listed(f"only {sorted(knowing)} name the device", found)


def test_files_are_short() -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    found = [f"{file}: {length}" for file, length in lengths.items() if length > 300]
    assert not found, listed("more than 300 lines", found)


def test_commands_are_short() -> None:
    """At most 80 lines besides the parameters, which declare the options."""
    shared = {"options.py", "model_options.py", "settings.py", "option_checks.py", "console.py", "show_prepare.py"}
    shared |= {"completion.py", "show_search.py", "typed.py"}
    lengths = {name(path): undeclared_lines(path) for path in COMMANDS if path.name not in shared}
    found = [f"{file}: {length}" for file, length in lengths.items() if length > 80]
    assert not found, listed("more than 80 lines besides the parameters", found)


def undeclared_lines(path: Path) -> int:
    """Return how many lines of a file declare no parameter."""
    text = path.read_text(encoding="utf-8")
    declared = {
        line
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        for line in range(argument.lineno, (argument.end_lineno or argument.lineno) + 1)
        if line != node.lineno
    }
    return len(text.splitlines()) - len(declared)


SAME_NAMES = {"__init__.py", "__main__.py"}


def test_no_two_files_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        if path.name not in SAME_NAMES:
            places.setdefault(path.name, []).append(name(path))
    found = [", ".join(files) for files in places.values() if len(files) > 1]
    assert not found, listed("files of one name", found)


def test_workflow_rooms_import_shared_ones_only() -> None:
    """Six arrows between the seven rooms: each to `shared`, and from `paper` to `evaluate`, whose tables it reads."""
    rooms = PACKAGE / "core" / "workflows"
    allowed = {("paper", "evaluate")}
    found = []
    for path in (path for path in CORE if path.is_relative_to(rooms) and path.parent != rooms):
        own = path.relative_to(rooms).parts[0]
        others = {module.split(".")[3] for module in modules(path) if module.startswith("scing_cli.core.workflows.")}
        found += [f"{name(path)} imports {other}" for other in others - {own, "shared"} if (own, other) not in allowed]
    assert not found, listed("arrows between workflow rooms", sorted(found))


def test_help_imports_nothing_heavy() -> None:
    """The command line answers before torch, FAISS, NumPy or Pillow could be loaded."""
    code = (
        "import runpy, sys\n"
        "sys.argv = ['scing', '--help']\n"
        "try:\n"
        "    runpy.run_module('scing_cli', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    print('exit', end.code or 0)\n"
        "print('heavy', sorted({'torch', 'faiss', 'numpy', 'PIL', 'open_clip', 'openvino'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["exit 0", "heavy []"]
    assert "train-prompts" in done.stdout


def texts() -> Iterator[tuple[str, str]]:
    """Yield every text file of the repository with its content."""
    for top in TOPS:
        path = ROOT / top
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                try:
                    yield name(file), file.read_text(encoding="utf-8")
                except UnicodeDecodeError:
                    continue


def machine_texts() -> re.Pattern[str]:
    """Return what no file may hold: registry hosts and places of one machine; this file spells none of them out."""
    hosts = [re.escape(".".join(parts)) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"))]
    folders = [rf"(?<![\w.~}}\-])/{place}\b" for place in ("work", "tmp/dev", "root")]
    return re.compile("|".join([*hosts, *folders]))


def test_no_text_names_a_registry_or_a_path_of_one_machine() -> None:
    found = [f"{file}: {match[0]}" for file, text in texts() for match in machine_texts().finditer(text)]
    assert not found


def test_machine_texts_are_told_from_others() -> None:
    slash = "/"  # apart from what follows it, so that this file passes
    named = [f"'{slash}work/x'", f"cd {slash}tmp/dev", f"({slash}root)", "files." + "pythonhosted" + ".org"]
    assert all(machine_texts().search(text) for text in named)
    others = ["core/workflows", "net/work", f"{slash}workers", f"{slash}tmp/x", "{root}/root", "pypi"]
    assert not any(machine_texts().search(text) for text in others)
