"""Files that appear whole or not at all, and run folders."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import stat
import threading
from importlib import metadata
from pathlib import Path

import pytest
from artifacts import run_info

from scing_cli.core import artifacts
from scing_cli.core.errors import RunError, ScingError


def test_a_file_appears_whole_with_ordinary_permissions(tmp_path: Path) -> None:
    target = tmp_path / "new" / "ä b.txt"
    with artifacts.replacing(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.parent == target.parent
    assert target.read_text() == "half"
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


@pytest.mark.parametrize("failure", [ValueError("mine"), KeyboardInterrupt()])
def test_a_failure_leaves_the_former_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "x.json"
    artifacts.write_json(target, {"a": 1})

    def fail() -> None:
        with artifacts.replacing(target) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(type(failure)):
        fail()
    assert artifacts.read_json(target) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_failing_disk_is_a_message_not_a_traceback(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("former")

    def fail() -> None:
        with artifacts.replacing(target):
            raise OSError(28, "No space left on device")

    with pytest.raises(
        ScingError, match=r"(?s)Cannot write .*x\.txt: No space left on device\..*previous file is unchanged"
    ):
        fail()
    assert target.read_text() == "former"


def test_a_target_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScingError, match=r"Cannot write .*x\.txt"):
        artifacts.write_text(tmp_path / "file" / "x.txt", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ScingError, match=r"Cannot write .*folder: Is a directory"):
        artifacts.write_text(tmp_path / "folder", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    texts = [str(number) * 10_000 for number in range(8)]
    threads = [threading.Thread(target=artifacts.write_text, args=(target, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_text() in texts
    assert list(tmp_path.iterdir()) == [target]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    artifacts.write_text(target, "a\r\nb\n\rü")
    assert target.read_bytes() == "a\r\nb\n\rü".encode()


def test_json_is_utf8_and_strict(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    content = {"format": artifacts.FORMAT, "name": "Müller", "rows": [1, 2.5, None]}
    artifacts.write_json(target, content)
    assert "Müller" in target.read_text(encoding="utf-8")
    assert artifacts.read_json(target) == content
    with pytest.raises(ValueError, match="JSON compliant"):
        artifacts.write_json(target, {"loss": float("nan")})
    assert artifacts.read_json(target) == content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"x\.json is missing"),
        (b"", r"x\.json is damaged: it cannot be read as JSON \(Expecting value"),
        (b"{", r"cannot be read as JSON"),
        (b"\xff\xfe", r"cannot be read as JSON \('utf-8' codec"),
        (b"[" * 100_000, r"cannot be read as JSON"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, r"is damaged"),
        (b"[1]", r"is damaged: it does not contain a JSON object"),
        (b"{}", r"is damaged or was edited"),
        (b'{"format": 2}', r"is damaged or was edited"),
        (b'{"format": 1, "self_digest": null}', r"is damaged or was edited"),
        (b'{"format": 1, "self_digest": ["x"]}', r"is damaged or was edited"),
    ],
)
def test_json_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    source = tmp_path / "x.json"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(RunError, match=message):
        artifacts.read_json(source, remedy="Make it again.")


def test_a_newer_format_is_told_by_its_seal_and_a_damaged_one_is_not_taken_for_it(tmp_path: Path) -> None:
    source = tmp_path / "x.json"
    artifacts.write_json(source, {"format": 2, "what": "nobody knows yet"})
    with pytest.raises(RunError, match=r"x\.json has format 2; this version reads 1\.") as caught:
        artifacts.read_json(source, remedy="Make it again.")
    assert caught.value.remedy == "Install a newer scing-cli."
    artifacts.write_json(source, {"format": 1})
    source.write_text(source.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(RunError, match="is damaged or was edited"):
        artifacts.read_json(source)


def test_a_seal_covers_all_but_names_order_and_white_space(tmp_path: Path) -> None:
    source = tmp_path / "x.json"
    content = {"format": 1, "a": [1, 2.5, None, {"b": "ü \udcff"}], "c": {"2": 0.1}}
    artifacts.write_json(source, content)
    told = json.loads(source.read_text())
    source.write_text(json.dumps(dict(reversed(told.items())), indent=4))
    assert artifacts.read_json(source) == content
    for changed in (
        told | {"c": {"2": 0.10000000000000002}},
        told | {"more": 0},
        {name: value for name, value in told.items() if name != "a"},
        told | {"a": told["a"][::-1]},
        {("self_digesT" if name == "self_digest" else name): value for name, value in told.items()},
    ):
        source.write_text(json.dumps(changed))
        with pytest.raises(RunError, match="is damaged or was edited") as caught:
            artifacts.read_json(source)
        assert caught.value.remedy
    artifacts.write_json(
        source, artifacts.with_checksum(content)
    )  # what is with_checksum already is with_checksum anew
    assert artifacts.read_json(source) == content
    artifacts.write_json(source, {1: (2, 3)})
    assert artifacts.read_json(source) == {"1": [2, 3]}


def test_a_missing_json_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        artifacts.read_json(tmp_path / "x.json", remedy="Make it again.")
    assert caught.value.remedy == "Make it again."


def test_digests_are_sha256_of_the_bytes(tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"abc" * 100_000)
    assert artifacts.file_digest(source) == hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert artifacts.text_digest("ü") == hashlib.sha256("ü".encode()).hexdigest()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "own"))
    assert artifacts.cache_folder() == tmp_path / "own"
    monkeypatch.delenv("SCING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert artifacts.cache_folder() == tmp_path / "xdg" / "scing"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert artifacts.cache_folder() == tmp_path / ".cache" / "scing"


INFO = run_info(["1", "2"])


def finish(run: artifacts.Run, stage: str) -> None:
    artifacts.write_json(run.path / stage / "stamp.json", {"format": artifacts.FORMAT})


def test_a_run_is_made_opened_and_updated(tmp_path: Path) -> None:
    run = artifacts.create_run(tmp_path / "run", INFO)
    assert artifacts.open_run(run.path).info == run.info
    assert run.identities == ("1", "2")
    assert {"scing-cli", "torch", "python"} <= set(run.info["versions"])
    changed = artifacts.update_run(run, {"settings": {"lr": 1}})
    assert artifacts.open_run(run.path).info == changed.info
    assert changed.info["made"] == run.info["made"]


def test_another_build_of_a_dependency_does_not_stop_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "faiss-cpu":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)
    found = artifacts.create_run(tmp_path / "run", INFO).info["versions"]
    assert (found["faiss-cpu"], found["torch"]) == ("unknown", "1.0")


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    for place in (tmp_path, tmp_path / "x"):
        with pytest.raises(RunError, match="a run is never overwritten"):
            artifacts.check_free(place)
    artifacts.create_run(tmp_path, INFO)
    with pytest.raises(RunError, match="a run is never overwritten"):
        artifacts.create_run(tmp_path, INFO)


def test_what_a_killed_start_leaves_does_not_take_a_folder(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    for name in (".training.lock", "state/.train-prompts.json.0a.part"):
        (tmp_path / name).touch()
    artifacts.check_free(tmp_path)
    (tmp_path / "state/mine").touch()
    with pytest.raises(RunError, match="is not empty"):
        artifacts.check_free(tmp_path)


def test_stages_count_once_their_stamp_is_there(tmp_path: Path) -> None:
    run = artifacts.create_run(tmp_path / "run", INFO)
    (run.path / "visual").mkdir()
    assert not run.has("visual")
    with pytest.raises(RunError, match=r"(?s)has no trained image encoder\..*scing train-visual"):
        run.need("visual")
    with pytest.raises(RunError, match="has no prompts"):
        run.need("prompts")
    finish(run, "visual")
    assert run.has("visual")
    run.need("visual")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"(?s)is not a run: it has no run\.json.*scing train-prompts"):
        artifacts.open_run(tmp_path)
    artifacts.write_json(tmp_path / "run.json", {"made": "x", "model": {}, "settings": 1})
    with pytest.raises(RunError, match="lacks data, identities, settings"):
        artifacts.open_run(tmp_path)


def test_the_newest_run_that_is_complete_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="has prompts"):
        artifacts.choose_run(None, stage="prompts")
    for name, made, stages in [
        ("b", "2024-01-01T00:00:00+00:00", ["prompts", "visual"]),
        ("a", "2024-01-03T00:00:00+00:00", ["prompts"]),
        ("c", "2024-01-02T00:00:00+00:00", ["prompts", "visual"]),
    ]:
        run = artifacts.create_run(Path("runs") / name, {**INFO, "made": made})
        for stage in stages:
            finish(run, stage)
    assert artifacts.choose_run(None, stage="visual").path == Path("runs/c")
    (tmp_path / "runs/d").mkdir()
    (tmp_path / "runs/d/run.json").write_text('{"made": "4"')
    warnings: list[str] = []
    assert artifacts.choose_run(None, stage="prompts", warn=warnings.append).path == Path("runs/a")
    assert [said.startswith("runs/d/run.json is damaged") for said in warnings] == [True]
    assert "is skipped" in warnings[0]
    assert artifacts.choose_run(Path("runs/b"), stage="visual").path == Path("runs/b")
    with pytest.raises(RunError, match="has no trained image encoder"):
        artifacts.choose_run(Path("runs/a"), stage="visual")


def test_a_fresh_folder_does_not_exist_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = set()
    for _ in range(3):
        folder = next(artifacts.fresh_folders("market"))
        assert not folder.exists()
        folder.mkdir(parents=True)
        seen.add(folder)
    assert len(seen) == 3
    assert all(folder.name.startswith("market-") for folder in seen)


def test_every_field_of_a_table_comes_back_as_it_went_in() -> None:
    rows = [["one\rline", "two\nlines", "three\r\n", ""], ['a "quoted" one', "a, b", " c ", "ä\u2028"]]
    text = artifacts.csv_text(rows)
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    assert artifacts.csv_text([("a", 1.5), ("b", None)]) == "a,1.5\nb,\n"


def test_json_takes_names_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    artifacts.write_json(file, {"name": "ä"})
    assert "ä" in file.read_text(encoding="utf-8")
    artifacts.write_json(file, {"name": "ä \udcff"})
    assert artifacts.read_json(file) == {"name": "ä \udcff"}


def test_a_check_that_held_is_made_once_for_a_file_as_it_is(tmp_path: Path) -> None:
    file, made = tmp_path / "weights", []

    def check() -> bool:
        made.append(file.read_text())
        return made[-1] != "bad"

    file.write_text("good")
    assert artifacts.checked_once(file, "d1", check)
    assert artifacts.checked_once(file, "d1", check)
    assert made == ["good"]
    assert artifacts.checked_once(file, "d2", check)  # another fact
    assert artifacts.checked_once(file, "d1", check, again=True)
    assert made == ["good"] * 3
    file.write_text("bad")
    assert not artifacts.checked_once(file, "d1", check)
    assert not artifacts.checked_once(file, "d1", check)  # what did not hold is not remembered
    assert made[3:] == ["bad", "bad"]


def test_without_a_cache_checks_are_made_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "file"))
    made = []
    for _ in range(2):
        assert artifacts.checked_once(tmp_path / "file", "d1", lambda: made.append(1) is None)
    assert made == [1, 1]


def test_a_stage_belongs_to_the_run_that_it_was_made_in(tmp_path: Path) -> None:
    settings = {"train-prompts": {"lr": 1}, "train-visual": {"lr": 2}}
    run = artifacts.create_run(tmp_path / "run", {**INFO, "settings": settings})
    stamps = {folder: artifacts.run_id(folder) for folder in (run.stage("prompts"), run.stage("visual"))}
    assert len({mark["run"] for mark in stamps.values()}) == 2
    for folder, stamp in stamps.items():
        artifacts.check_provenance(folder, {**stamp, "more": 1}, remedy="")
        with pytest.raises(RunError, match=r"stamp\.json and .*run\.json belong to different runs") as caught:
            artifacts.check_provenance(folder, {}, remedy="Restore it.")
        assert caught.value.remedy == "Restore it."
    changed = artifacts.update_run(run, {"settings": settings | {"train-visual": {"lr": 3}}, "more": 1})
    artifacts.check_provenance(
        changed.stage("prompts"), stamps[run.stage("prompts")], remedy=""
    )  # stage 1 is as it was
    with pytest.raises(RunError, match="belong to different runs"):
        artifacts.check_provenance(changed.stage("visual"), stamps[run.stage("visual")], remedy="")
    another = artifacts.create_run(tmp_path / "another", {**INFO, "settings": settings})
    with pytest.raises(RunError, match="belong to different runs"):
        artifacts.check_provenance(another.stage("prompts"), stamps[run.stage("prompts")], remedy="")
    moved = tmp_path / "alone" / "visual"
    moved.mkdir(parents=True)
    assert artifacts.run_id(moved) == artifacts.run_id(tmp_path / "dry run") == {}
    artifacts.check_provenance(moved, stamps[run.stage("visual")], remedy="")
