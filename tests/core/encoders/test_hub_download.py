"""Weights of a hub repository: `huggingface_hub` downloads them from a local server, in separate processes."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

MODEL = "ViT-B-16-quickgelu"
CONTENT = bytes(range(256)) * 49_152  # 12 MiB
CUT = 11 * 2**20  # where a connection breaks; what came is written in pieces of 10 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FIND = f"""
import contextlib, json, sys, time
from scing_cli.core.encoders import hub
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent

totals, steps, notes = [], [], []

class Seen(Silent):
    @contextlib.contextmanager
    def progress(self, description, total):
        totals.append((description, total))
        yield steps.append

    def note(self, text):
        notes.append(text)

hub.OPENAI[{MODEL!r}] = hub.Published(sys.argv[1], sys.argv[2], quick_gelu=True)
begun = time.monotonic()
try:
    found, error = str(hub.find_weights({MODEL!r}, "openai", reporter=Seen())), ""
except WeightsError as caught:
    found, error = "", str(caught)
seconds = time.monotonic() - begun
print(json.dumps({{"seconds": seconds, "found": found, "error": error, "totals": totals, "done": sum(steps), "notes": notes}}))
"""


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does; what is wrong with a file is the name of its repository."""

    server: _Server

    def do_HEAD(self):
        if "gone" in self.path or ("old" in self.path and self.path.endswith(".safetensors")):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
        else:
            self._start(200, len(CONTENT))
        self.end_headers()

    def do_GET(self):
        ranged = self.headers.get("Range")
        start = int(re.fullmatch(r"bytes=(\d+)-", ranged)[1]) if ranged else 0
        self.server.gets.append((self.path.rpartition("/")[2], start))
        self.server.agents.add(self.headers["User-Agent"])
        self._start(206 if ranged else 200, len(CONTENT) - start)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        cut = "cut" in self.path and not ranged
        self.wfile.write(CONTENT[start : CUT if cut else None])
        self.close_connection = cut

    def _start(self, code, length):
        self.send_response(code)
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", f'"{"0" * 64 if "wrong" in self.path else DIGEST}"')
        self.send_header("Content-Length", str(length))

    def log_message(self, *_arguments):
        pass


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Hub)
        self.gets, self.agents = [], set()


@pytest.fixture
def server():
    server = _Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def find(server, tmp_path):
    """Look for weights in another process, whose hub is the server of this one."""

    def run(repository, url="", **environment):
        own = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        own |= {"HOME": str(tmp_path), "SCING_CACHE": str(tmp_path / "scing"), "HF_HOME": str(tmp_path / "hub")}
        own |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}"} | environment
        command = [sys.executable, "-c", FIND, url, f"owner/{repository}/"]
        done = subprocess.run(command, capture_output=True, text=True, env=own, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) | {"stderr": done.stderr}

    return run


def left(tmp_path):
    """The files with content: the hub's library also makes empty ones, and links."""
    return [file for file in tmp_path.rglob("*") if file.stat().st_size > 1000 and file.is_file()]


def test_a_file_comes_into_the_cache_of_the_hub_and_is_found_there_without_a_network(find, server, tmp_path):
    first = find("whole")
    assert first["error"] == first["stderr"] == ""
    assert Path(first["found"]).read_bytes() == CONTENT
    assert Path(first["found"]).is_relative_to(tmp_path / "hub" / "hub" / "models--owner--whole" / "snapshots")
    assert first["totals"] == [["Fetching open_clip_model.safetensors (MiB)", 12]]
    assert first["done"] == 12
    assert len(first["notes"]) == 1
    again = find("whole", HF_HUB_OFFLINE="1")
    assert (again["found"], again["notes"]) == (first["found"], [])
    assert server.gets == [("open_clip_model.safetensors", 0)]
    assert "torch" not in "".join(server.agents)  # no more is told than it takes


def test_a_download_that_broke_off_is_resumed(find, server):
    found = find("cut")
    assert Path(found["found"]).read_bytes() == CONTENT
    assert [start for _, start in server.gets] == [0, 10 * 2**20]
    assert (found["done"], len(found["totals"]), found["stderr"]) == (12, 1, "")


def test_a_repository_without_safetensors(find):
    found = Path(find("old")["found"])
    assert found.name == "open_clip_pytorch_model.bin"
    assert found.read_bytes() == CONTENT


def test_a_repository_without_weights(find):
    error = find("gone")["error"]
    assert re.search(r"open_clip_pytorch_model\.bin does not exist any more[\s\S]*--model scing-small", error)


def test_a_file_of_another_digest_is_removed(find, tmp_path):
    error = find("wrong")["error"]
    assert "does not have the SHA-256 that the hub states" in error
    assert re.search(r"Fetch http://127\S+/owner/wrong/resolve/main/open_clip_model\.safetensors\n", error)
    assert f"put it at {tmp_path}/scing/weights/{MODEL}-openai.safetensors" in error
    assert left(tmp_path) == []


def test_the_copy_of_the_hub_is_taken_where_the_first_address_does_not_answer(find):
    found = find("whole", "http://127.0.0.1:1/ViT-B-16.pt")
    assert Path(found["found"]).read_bytes() == CONTENT
    assert len(found["notes"]) == 1


def test_the_first_address_is_preferred(find, server, tmp_path):
    found = find("whole", f"http://127.0.0.1:{server.server_port}/{DIGEST}/ViT-B-16.pt")
    assert found["found"] == str(tmp_path / "scing" / "weights" / f"{MODEL}-openai.pt")


@pytest.mark.parametrize("url", ["", "http://127.0.0.2:1/ViT-B-16.pt"])
def test_no_network_is_one_message_within_five_seconds(find, url):
    """Nobody answers at an address for documentation (RFC 5737); it may also be unreachable at once."""
    told = find("whole", url, HF_ENDPOINT="http://192.0.2.1:9", no_proxy="*")
    assert told["seconds"] < 5
    assert re.search(r"cannot be fetched: .*192\.0\.2\.1 (cannot be reached|does not answer)", told["error"])
    assert told["error"].count("--pretrained FILE") == 1
    assert ("127.0.0.2 cannot be reached" in told["error"]) == bool(url)
    assert re.search(rf"put it at \S+{MODEL}-openai{'.pt' if url else '.safetensors'}", told["error"])
    assert (told["stderr"], told["notes"]) == ("", [])


def test_nothing_is_asked_offline(find, server, tmp_path):
    told = find("whole", HF_HUB_OFFLINE="1")
    assert "cannot be fetched: HF_HUB_OFFLINE is set." in told["error"]
    assert server.gets == left(tmp_path) == []
