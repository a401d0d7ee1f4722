"""Where weights are searched, what is downloaded, and how soon a missing network is reported."""

from __future__ import annotations

import hashlib
import http.server
import re
import subprocess
import sys
import threading
import time

import pytest
from open_clip.pretrained import get_pretrained_cfg
from patience import HANG, UNANSWERED
from tiny import TINY_MODEL

from scing_cli.core.encoders import fetch as fetching
from scing_cli.core.encoders import hub
from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.fetch import fetch, known_digest
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent

MODEL = "ViT-B-16-quickgelu"
CONTENT = bytes(range(256)) * 9000  # more than two pieces


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))


def test_the_default_tags_are_open_clips():
    for name, published in hub.OPENAI.items():
        assert published.url == get_pretrained_cfg(name, "openai")["url"]


@pytest.mark.parametrize("tag", ["openai", "dfn2b", "metaclip-400m"])
def test_offline_by_variable(tag, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set") as caught:
        load_clip(MODEL, tag)
    assert re.search(r"Fetch https://\S+", caught.value.remedy)
    assert f"put it at {hub.weights_folder()}/{MODEL}-{tag}." in caught.value.remedy
    assert "--pretrained FILE" in caught.value.remedy


@pytest.mark.parametrize("tag", ["openai", "dfn2b"])
def test_no_network_is_told_soon(tag, monkeypatch):
    """Whether names are not resolved, or the host does not answer: here they go to an address that is never answered."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("https_proxy", "http://192.0.2.1:9")  # kept free for documentation (RFC 5737)
    begun = time.monotonic()
    with pytest.raises(WeightsError, match=r"192\.0\.2\.1 (cannot be reached|does not answer)") as caught:
        load_clip(MODEL, tag)
    assert time.monotonic() - begun < UNANSWERED
    assert f"{MODEL}-{tag}." in caught.value.remedy


def test_a_name_server_that_hangs(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    never = threading.Event()

    def hang(*_arguments):
        never.wait(HANG)
        raise OSError

    monkeypatch.setattr(fetching.socket, "create_connection", hang)
    with pytest.raises(WeightsError, match="does not answer within 3 seconds"):
        hub.find_weights(MODEL, "openai", reporter=Silent())
    never.set()


def test_a_host_whose_name_is_unknown(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    begun = time.monotonic()
    with pytest.raises(WeightsError, match=r"weights\.invalid (cannot be reached|does not answer)"):
        fetch("https://weights.invalid/w.pt", tmp_path / "w.pt", reporter=Silent())
    assert time.monotonic() - begun < UNANSWERED


def test_a_fresh_process_tells_before_loading_torch(tmp_path):
    code = (
        "import sys; from scing_cli.core.encoders import hub; from scing_cli.core.runtime import Silent\n"
        f"try: hub.locate({MODEL!r}, 'openai', reporter=Silent())\n"
        "except Exception as error: print(error)\n"
        "assert not {'torch', 'open_clip'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ViT-B-16.pt" in done.stdout


def test_unknown_tags_list_the_known_ones():
    with pytest.raises(WeightsError, match=r"no weights with the tag 'opnai'[\s\S]*Its tags: openai, "):
        load_clip(MODEL, "opnai")
    with pytest.raises(WeightsError, match="no published weights"):
        load_clip(TINY_MODEL, "openai")


@pytest.mark.parametrize("tag", ["openai", "metaclip_400m"])
def test_quickgelu_weights_need_such_a_model(tag):
    with pytest.raises(WeightsError, match=r"QuickGELU[\s\S]*Use ViT-B-16-quickgelu"):
        load_clip("ViT-B-16", tag)


def test_where_files_are_looked_for(tmp_path):
    places = [
        tmp_path / "home/.cache/clip/ViT-B-16.pt",
        hub.weights_folder() / f"{MODEL}-openai.pt",
        hub.weights_folder() / f"{MODEL}-openai.safetensors",
    ]
    for place in places:  # each is preferred to those before it
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        assert hub.find_weights(MODEL, "openai", reporter=Silent()) == place


def test_a_file_the_hub_fetched_before(tmp_path, monkeypatch):
    repository = hub.OPENAI[MODEL].hub.strip("/").replace("/", "--")
    snapshot = tmp_path / f"hub/models--{repository}/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").touch()
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc", encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert hub.find_weights(MODEL, "openai", reporter=Silent()) == snapshot / "open_clip_model.safetensors"


class _Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "gone" in self.path:
            self.send_error(404)
            return
        if "closed" in self.path:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2] if "cut" in self.path else CONTENT)

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def address(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_fetching_keeps_the_whole_file(address, monkeypatch):
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(hub.OPENAI, MODEL, hub.Published(f"{address}/{digest}/ViT.pt", quick_gelu=True))
    found = hub.find_weights(MODEL, "openai", reporter=Silent())
    assert found == hub.weights_folder() / f"{MODEL}-openai.pt"
    assert found.read_bytes() == CONTENT
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub.find_weights(MODEL, "openai", reporter=Silent()) == found


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("cut.pt", "broke off after 1,152,000 of 2,304,000 bytes"),
        ("closed.pt", "the server answers 503"),
        (f"{'0' * 64}/w.pt", "does not have the SHA-256 in the address"),
    ],
)
def test_fetching_keeps_nothing_else(address, tmp_path, path, message):
    target = tmp_path / "weights" / "w.pt"
    with pytest.raises(WeightsError, match=message) as caught:
        fetch(f"{address}/{path}", target, reporter=Silent())
    assert str(target) in caught.value.remedy
    assert f"{address}/{path}" in caught.value.remedy
    assert not list(target.parent.glob("*")) if target.parent.exists() else True
    assert not list(tmp_path.rglob("*.part"))


def test_a_file_that_is_gone(address, monkeypatch):
    monkeypatch.setitem(hub.OPENAI, MODEL, hub.Published(f"{address}/gone.pt", quick_gelu=True))
    with pytest.raises(WeightsError, match=r"gone\.pt does not exist any more[\s\S]*--model scing-small"):
        hub.find_weights(MODEL, "openai", reporter=Silent())


def test_a_closed_port_is_told_at_once(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 cannot be reached"):
        fetch("http://127.0.0.1:1/w.pt", tmp_path / "w.pt", reporter=Silent())


def test_digests_in_addresses():
    assert known_digest(hub.OPENAI[MODEL].url).startswith("5806e77c")
    assert known_digest("https://host/vit_b_16-laion400m_e32-55e67d44.pt") == "55e67d44"
    assert known_digest("https://host/owner/name/resolve/main/open_clip_model.safetensors") == ""
