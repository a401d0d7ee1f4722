"""Odd environments: closed streams, other encodings, no home folder, wrong numbers of threads, library warnings."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from fixtures import put
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import HANG
from PIL import Image
from tiny import TINY_MODEL

from scing_cli import environment
from scing_cli.__main__ import main
from scing_cli.core.encoders.fetch import Probe
from scing_cli.core.threads import default_threads

MODEL = ("--model", TINY_MODEL, "--pretrained", "random")
NAMES = ("plain.png", "d…é ж 李.png", "😀 ünï.png")
ENCODINGS = ("latin-1", "cp437", "ascii", "cp1252", "koi8-r", "utf-16", "utf-8")


@pytest.fixture
def crops(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        put(Path("crops of…") / name, number, number)
    (Path("crops of…") / "bad ж.png").write_bytes(b"")
    return Path("crops of…")


def program(*arguments, **options):
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "scing_cli", *map(str, arguments)]
    return subprocess.run(command, check=False, timeout=HANG, **options)


def run(*arguments, encoding):
    """Run a command in this process, on streams of an encoding that raise an error for every other letter."""
    raw = [io.BytesIO() for _ in range(2)]
    streams = [io.TextIOWrapper(own, encoding=encoding, errors="strict") for own in raw]
    before, argv = (sys.stdout, sys.stderr), sys.argv
    heard = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    sys.stdout, sys.stderr = streams
    sys.argv = ["scing", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        sys.stdout, sys.stderr = before
        sys.argv = argv
        for number, handler in heard:
            signal.signal(number, handler)
    for stream in streams:
        stream.flush()
    return left.value.code or 0, *(own.getvalue().decode(encoding) for own in raw)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_speaks_every_encoding(crops, encoding):
    cases = {
        ("prepare", crops, "--layout", "images", "--output", "m.csv"): 0,
        ("embed", *MODEL, "--images", crops, "--output", "g.faiss"): 0,
        ("embed", *MODEL, "--images", crops, "--output", "g.faiss", "--append", "--json"): 0,
        ("search", crops, "--index", "g.faiss", "-k", "2"): 0,
        ("search", crops, "--index", "g.faiss", "--json"): 0,
        ("search", crops / "ж…😀.png", "--index", "g.faiss"): 2,
        ("evaluate", *MODEL, "--data", crops): 2,
        ("train-prompts", "--data", "ж…", "--model", "scing-tiny"): 2,
        ("train-visual", "--run", "ж…"): 2,
        ("search", "--bögus…"): 2,
        ("search", "--help"): 0,
    }
    for command, expected in cases.items():
        code, out, err = run(*command, encoding=encoding)
        assert code == expected, (command, err)
        assert "Internal error" not in err
        assert out if code == 0 else err
    if encoding in {"ascii", "latin-1"}:
        code, out, _ = run("search", crops / NAMES[1], "--index", "g.faiss", "-k", "1", encoding=encoding)
        assert "d..." in out
        assert r"\u0436" in out


CLOSED = {"out": ">&-", "err": "2>&-", "all": "<&- >&- 2>&-", "err read-only": "2</dev/null", "err full": "2>/dev/full"}


@pytest.mark.parametrize("which", CLOSED)
@pytest.mark.skipif(sys.platform == "win32", reason="the shell's closed streams are POSIX's")
def test_closed_streams_stop_no_work_and_nothing_is_written_into_a_file(crops, which):
    command = f'"{sys.executable}" -m scing_cli prepare "{crops}" --layout images --output m.csv {CLOSED[which]}'
    ended = subprocess.run(["sh", "-c", command], check=False, timeout=HANG, capture_output=True)
    lost = ">&-" in CLOSED[which].split()  # what should be printed has no place
    assert ended.returncode == (2 if lost else 0), ended.stderr
    assert (b"Error: Standard output is closed" in ended.stderr) == (which == "out")
    assert len(Path("m.csv").read_text(encoding="utf-8").splitlines()) == 5


@pytest.mark.parametrize(
    "words", ["--version", "--help", "evaluate --help", "--show-completion bash", "prepare {} --json"]
)
@pytest.mark.skipif(sys.platform == "win32", reason="the shell's closed streams are POSIX's")
def test_whatever_has_no_place_to_be_printed_is_an_error(crops, words):
    given = words.format(f'"{crops}" --layout images -o m.csv')
    ended = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m scing_cli {given} >&-'], check=False, timeout=HANG, capture_output=True
    )
    assert (ended.returncode, b"Standard output is closed" in ended.stderr) == (2, True)


@pytest.mark.skipif(sys.platform == "win32", reason="the C locale is POSIX's")
def test_names_beyond_ascii_are_read_in_the_c_locale_without_pythons_remedies(crops):
    Path("fö").mkdir()
    shutil.copy(crops / NAMES[0], "fö/ä.jpg")
    Path("fö.csv").write_text("path,identity\nfö/ä.jpg,ünal\n", encoding="utf-8")
    odd = dict(os.environ, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="")
    for source, rest in (("fö", ["--layout", "images"]), ("fö.csv", [])):
        command = [sys.executable, "-m", "scing_cli", "prepare", source, *rest, "--output", "ö.csv", "--json"]
        ended = subprocess.run(command, check=False, timeout=HANG, capture_output=True, text=True, env=odd)
        assert ended.returncode == 0, ended.stderr
        told = json.loads(ended.stdout)
        assert (told["unreadable"], told["manifest"]) == ([], "ö.csv")
        Path("ö.csv").unlink()


def test_without_a_home_folder_the_caches_are_elsewhere(crops):
    """No HOME, and a user number that has no entry in the list of users."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    inside = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces")
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HF_HUB_OFFLINE") if name in os.environ}
    Path("tmp").mkdir()
    command = [sys.executable, "-m", "scing_cli", "embed", *MODEL, "--images", str(crops), "--output", "g.faiss"]
    environ = kept | {"TMPDIR": str(Path("tmp").absolute())}
    ended = subprocess.run([*inside, *command], check=False, timeout=HANG, capture_output=True, text=True, env=environ)
    assert ended.returncode == 0, ended.stderr
    assert Path("tmp", "scing-home-54321", ".cache", "scing").is_dir()


def test_a_second_openmp_runtime_is_allowed_unless_the_user_decides(monkeypatch):
    """Intel's and LLVM's runtimes end the process where another library has brought its own copy."""
    for value, expected in ((None, "TRUE"), ("FALSE", "FALSE")):
        monkeypatch.delenv("KMP_DUPLICATE_LIB_OK", raising=False)
        if value:
            monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", value)
        with warnings.catch_warnings():
            assert environment.make_usable() == []
        assert os.environ["KMP_DUPLICATE_LIB_OK"] == expected


def test_a_temporary_home_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own = environment.temporary_home()
    assert own.stat().st_mode & 0o777 == 0o700
    assert environment.temporary_home() == own
    own.chmod(0o777)
    other = environment.temporary_home()
    assert other != own
    own.rmdir()
    own.symlink_to(tmp_path)
    assert environment.temporary_home() not in {own, other}


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.one_of(st.integers(), st.floats(), st.text(), st.lists(st.integers(-2, 99), min_size=1, max_size=3)))
def test_any_number_of_threads_is_usable_or_named(value):
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if "\0" in text or not text.isprintable():
        return
    most = environment.most_threads()
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv("OMP_NUM_THREADS", text)
        except UnicodeEncodeError:
            return
        assert 1 <= default_threads() <= most
        warning = environment._check_threads("OMP_NUM_THREADS")
        left = os.environ.get("OMP_NUM_THREADS")
    if left is None:
        assert warning.startswith("OMP_NUM_THREADS=") or not text.strip()
    else:
        assert not warning
        assert all(1 <= int(part) <= most for part in left.split(","))


def test_threads_beyond_reason_end_no_command(crops):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS")
    environ = os.environ | dict.fromkeys(names, "999999")
    command = ("embed", *MODEL, "--images", crops, "--output", "g.faiss", "--precision", "fp32")
    ended = program(*command, env=environ, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    for name in names:
        assert f"Warning: {name}=999999 is not a number of threads from 1 to" in ended.stderr


def test_warnings_of_libraries_are_hidden_and_ours_stay_errors_where_asked():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.filterwarnings("error", module="scing_cli")
        environment._hide_warnings()
        Image.new("L", (9_500, 9_500)).size  # noqa: B018 - the limit is checked when a file is opened
        warnings.warn("of a library", UserWarning, stacklevel=1)
        warnings.warn_explicit("of a library", DeprecationWarning, "torch/x.py", 1, module="torch.x")
        with pytest.raises(UserWarning, match="ours"):
            warnings.warn_explicit("ours", UserWarning, "x.py", 1, module="scing_cli.core.x")
    assert not seen


@pytest.mark.parametrize("option", ["default", "error"])
def test_no_library_warning_reaches_the_user(crops, option):
    Image.new("L", (9_999, 9_500)).save("large.png")  # Pillow warns of it
    assert program("embed", *MODEL, "--images", crops, "--output", "g.faiss", capture_output=True).returncode == 0
    command = [sys.executable, "-W", option, "-m", "scing_cli", "search", "large.png", "--index", "g.faiss"]
    ended = subprocess.run(command, check=False, timeout=HANG, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "Warning: large.png" in ended.stderr  # ours: it looks like a whole scene
    assert ended.stderr.count("Warning") == 1, ended.stderr


@pytest.mark.parametrize(
    "proxy", ["nonsense:::", "http://[::1", "http://x:99999999", "http://x:port", "://", " ", "http://:80"]
)
def test_a_nonsense_proxy_is_named(monkeypatch, proxy):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("https_proxy", proxy)
    assert Probe("https://host/file").failure().startswith("the address of the proxy is invalid (")
