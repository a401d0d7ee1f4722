"""Make the process's environment usable before any library is imported: streams, home folder, threads, warnings.

Each fault of the environment either does not matter afterwards, or is named in one warning.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import os
import re
import signal
import sys
import warnings
from pathlib import Path
from typing import TextIO

PR_SET_PDEATHSIG = 1  # of prctl: the signal that a process gets when its parent has ended
PACKAGE = "scing_cli"
THREAD_VARIABLES = (  # read by the libraries when they are imported; some end the process over a wrong value
    *("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "VECLIB_MAXIMUM_THREADS"),
)
LEAST_LIMIT, LIMIT_PER_CORE = 64, 8  # threads: more are taken for a mistake
SPELLINGS = {"…": "...", "–": "-", "—": "-", "’": "'", "×": "x"}
STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))


def make_usable() -> list[str]:
    """Repair the environment of this process.

    Returns:
        Warnings for the user.
    """
    _open_streams()
    _spell_for_streams()
    _hide_warnings()
    _give_home()
    # Idle threads sleep: on cores shared with other work, spinning threads made a training step 4.6 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Libraries bring copies of the OpenMP runtime. Intel's and LLVM's end the process when they meet a second copy.
    os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
    return [warning for name in THREAD_VARIABLES if (warning := _check_threads(name))]


def start_in_utf8() -> None:
    """Start this process again with file names in UTF-8 if Python would read them as ASCII; otherwise return.

    That happens where the locale is C and Python's remedies are turned off. What is printed stays in the encoding of
    the terminal.
    """
    if sys.getfilesystemencoding().lower() not in {"ascii", "us-ascii", "ansi_x3.4-1968"} or not sys.executable:
        return
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    environ = {"PYTHONIOENCODING": f"{encoding}:surrogateescape", **os.environ, "PYTHONUTF8": "1"}
    os.execve(sys.executable, [sys.executable, "-X", "utf8=1", *sys.orig_argv[1:]], environ)  # noqa: S606


def most_threads() -> int:
    """Return the largest number of threads that is not taken for a mistake."""
    return max(LEAST_LIMIT, LIMIT_PER_CORE * (os.cpu_count() or 1))


def _open_streams() -> None:
    """Open standard streams that are closed on the null device; output to them is lost."""
    # Otherwise the next file that is opened would become standard output, and get what libraries print there.
    for number, name, mode in STREAMS:
        stream = getattr(sys, name)
        if stream is not None and not _cannot_be_written(stream, number):
            continue
        if stream is not None or _is_closed(number):
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - until the end


def output_is_lost() -> bool:
    """Return whether standard output was closed when this process began, so that nothing could be printed."""
    return getattr(sys.stdout, "name", None) == os.devnull


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _cannot_be_written(stream: TextIO, number: int) -> bool:
    """Return whether standard error of the process was opened for reading: nobody could be told of that."""
    try:
        import fcntl  # not on Windows

        if number != 2 or stream.fileno() != number:
            return False
        return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    except (ImportError, AttributeError, ValueError, OSError):
        return False


def _spell_for_streams() -> None:
    """Spell out letters that a terminal's encoding does not have, where Python would raise an error."""
    codecs.register_error(PACKAGE, _spelled_out)
    for stream in (sys.stdout, sys.stderr):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        with contextlib.suppress(LookupError, AttributeError, ValueError, OSError):
            if codecs.lookup(encoding).name != "utf-8":
                stream.reconfigure(errors=PACKAGE)  # type: ignore[union-attr]  # suppressed where there is no such method


def _spelled_out(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Replace letters that cannot be encoded: by similar ones, or by their code, as `backslashreplace` does.

    >>> _ = codecs.register_error("doctest", _spelled_out)
    >>> "a…ж".encode("ascii", "doctest")
    b'a...\\u0436'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    part = error.object[error.start : error.end]
    text = "".join(SPELLINGS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in part)
    return text, error.end


def _hide_warnings() -> None:
    """Ignore the warnings and log messages of libraries; filters that name this package stay, as tests set them."""
    kept = [entry for entry in warnings.filters if PACKAGE in getattr(entry[3], "pattern", "")]
    errors = any(entry[0] == "error" and entry[2] is Warning and entry[3] is None for entry in warnings.filters)
    warnings.resetwarnings()
    warnings.filters[:] = kept  # type: ignore[index]  # a list, though declared as a sequence
    if errors:  # python -W error: for this package alone
        warnings.filterwarnings("error", module=PACKAGE)
    warnings.filterwarnings("ignore", append=True)
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())


def _give_home() -> None:
    """Name a temporary home folder if this user has none: libraries look for their caches there."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(temporary_home())


def temporary_home() -> Path:
    """Return a folder for this user's caches below the folder for temporary files; only this user can open it."""
    import tempfile  # few users need it

    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"scing-home-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        if state.st_uid == user and state.st_mode & 0o077 == 0 and folder.is_dir() and not folder.is_symlink():
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="scing-home-"))


def _check_threads(name: str) -> str:
    """Remove a number of threads that libraries cannot use; return a warning, empty if the number is usable."""
    text = os.environ.get(name)
    if text is None:
        return ""
    most = most_threads()
    numbers = [part.strip() for part in text.split(",")]  # OpenMP takes one number for each level of nesting
    if all(re.fullmatch(r"\+?[0-9]{1,9}", part) and 1 <= int(part) <= most for part in numbers):
        return ""
    del os.environ[name]
    if not text.strip():
        return ""
    shown = text if len(text) <= 40 else text[:40] + "..."
    return f"{name}={shown} is not a number of threads from 1 to {most:,}: it is ignored."


LAUNCHED = "SCING_LAUNCH"  # names the folder in which processes that `--processes` has started say how they ended


def is_launched() -> bool:
    """Return whether `--processes` has started this process, as one of several."""
    return bool(os.environ.get(LAUNCHED)) and "RANK" in os.environ


def follow_the_launcher() -> None:
    """End with the launcher, and until the processes have met at every signal, without a word: it tells why."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError, ImportError):  # Linux alone has it
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
