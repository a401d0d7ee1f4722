"""A real Milvus server of the `milvus` wheel for tests, ended by its process id, and galleries to put there.

One server runs at a time on a machine: the ports of its etcd are fixed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import Entry, GalleryIndex, Stamp, as_location

MADE_BY: dict[str, Any] = {"model_digest": "a" * 64, "model": {"model": "scing-tiny"}, "descriptor": "projected"}
NAMES = ("", 'a"b', "a'b", "a\\", "\u202ex", '"] or id > 0 or camera_key in ["', "x y")
WIDTH = 24
SESSION = 10  # seconds after which the parts of a server that was killed are taken for gone
STARTS = 300.0  # seconds until a server that does not answer counts as broken
PORTS_WAIT = 60.0  # seconds until a port that another server holds is an error
PORTS = (2379, 2380)  # of its etcd; the second cannot be changed
ROOT = "root:Milvus"  # the user that a guarded server begins with
TICK = "timeTickInterval: 200"  # ms; a reader of all that was written waits for the next tick


class MilvusProcess:
    """A server with its data in a folder of its own.

    Args:
        folder: The folder.
        guarded: Whether it asks for a user and a password.
    """

    def __init__(self, folder: Path, *, guarded: bool = False) -> None:
        milvus = pytest.importorskip("milvus", reason="pip install milvus")
        pytest.importorskip("pymilvus", reason="pip install '.[milvus]'")
        data = Path(milvus.__file__).parent / "data"
        usual = (data / "config.yaml.template").read_text(encoding="utf-8")
        self._folder, self._guarded = folder, guarded
        template = folder / "config.template"
        template.write_text(usual.replace(TICK, TICK.replace("200", "20")), encoding="utf-8")
        config = milvus.MilvusServerConfig(template=str(template))
        config.glog_conf_file = str(data / "glog.conf")
        config.set("authorization_enabled", guarded)
        config.set("common.session.ttl", SESSION)
        config.try_bind_port = _bound
        self._server = milvus.MilvusServer(config, wait_for_started=False)
        self._server.set_base_dir(str(folder))

    @property
    def address(self) -> str:
        """The beginning of its addresses."""
        return f"milvus://127.0.0.1:{self._server.listen_port}"

    @property
    def pid(self) -> int:
        """The server's process."""
        return int(self._server.server_proc.pid)

    def start(self) -> None:
        """Start it and wait until it answers; after `kill` at the same ports, with the data of before.

        Raises:
            RuntimeError: If it ends, or does not answer in time; the message has the end of its log.
        """
        until = time.monotonic() + PORTS_WAIT
        while not all(map(_is_free, PORTS)):
            self._wait(until, f"another server holds port {PORTS[0]} or {PORTS[1]}")
        until = time.monotonic() + STARTS
        self._server.start()
        while not self._is_healthy():
            self._wait(until, "it is not healthy")
        while not self._answers():  # the client of this process remembers for a while that a port was closed
            self._wait(until, "it does not answer")

    def _wait(self, until: float, why: str) -> None:
        process = self._server.server_proc
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > until:
            logs = [path.read_text(errors="replace")[-2000:] for path in sorted(self._folder.glob("logs/milvus-std*"))]
            raise RuntimeError("\n".join([f"Milvus did not start: {'it ended' if ended else why}.", *logs]))
        time.sleep(0.1)

    def _is_healthy(self) -> bool:
        url = f"http://127.0.0.1:{self._server.webservice_port}/healthz"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return b"OK" in answer.read()
        except OSError:
            return False

    def _answers(self) -> bool:
        with pytest.MonkeyPatch.context() as patched:
            if self._guarded:  # it closes the connection of whom it does not know
                patched.setenv("SCING_MILVUS_TOKEN", ROOT)
            try:
                as_location(f"{self.address}/anything").exists()
            except IndexFileError as error:
                return "Fail connecting" not in error.what
        return True

    def kill(self) -> None:
        """End it at once."""
        process = self._server.server_proc
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self._server.server_proc = None


def _bound(port: int) -> socket.socket | None:
    """Return a listener at a port, or None if it is taken; connections of a server that was killed take none.

    The wheel moves to the next port for those, and the server then waits for its own former parts, which etcd names
    at the former ports.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError:
        listener.close()
        return None
    return listener


def _is_free(port: int) -> bool:
    listener = _bound(port)
    if listener is not None:
        listener.close()
    return listener is not None


@contextlib.contextmanager
def milvus_server(folder: Path, *, guarded: bool = False) -> Iterator[MilvusProcess]:
    """Run a server while the block runs."""
    server = MilvusProcess(folder, guarded=guarded)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def unit(count, seed=0, width=WIDTH):
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def entries(count, start=0):
    return [
        Entry(
            f"/d/f{number % 5}/im {NAMES[number % 7]}{number}.jpg",
            number,
            10**18 + number,
            f"{number:064x}",
            f"p{number % 90}" if number % 11 else "",
            NAMES[number % 7],
        )
        for number in range(start, start + count)
    ]


def made(count, seed=0, width=WIDTH):
    """Return an index in memory with equal vectors among its own."""
    vectors = unit(count, seed, width)
    vectors[count // 3 : count // 3 + 60] = vectors[count // 3]
    return GalleryIndex.create(vectors, entries(count), **MADE_BY, kind="flat")


def put(address, index):
    """Write an index to a new collection."""
    location = as_location(address)
    gallery = location.create(Stamp(**MADE_BY, width=index.width), len(index))
    gallery.borrow(lambda: index, index.table.ids())
    location.write(gallery)
    return location


def found(gallery, queries, k, **options):
    return [[(hit.score, hit.row) for hit in hits] for hits in gallery.search(queries, k, **options)]


def state_of(gallery):
    """Return all rows and vectors, to be compared."""
    return gallery.rows(), gallery.vectors().tolist()


def one_message(error):
    """Return the text of an error, which must be of one line."""
    assert "\n" not in error.value.what
    return f"{error.value.what} {error.value.remedy}"
