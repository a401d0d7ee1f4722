"""Every file that a command reads, damaged in many ways: one error message, or the content of before."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest
from faults.arena import SCHEDULE, Arena, Artefact, build
from faults.mutations import Mutation, PassedOver, Tally, mutations, newer, outcome, put

from scing_cli.core.errors import ScingError
from scing_cli.core.index.index_stamp import SUFFIX
from scing_cli.core.settings import VisualSettings
from scing_cli.core.workflows.train.visual_stage import train_visual

FEW, MANY = 12, 400
MEMORY = 2**20  # KiB that damage may make the process grow by
OTHER = {"prompts/stamp.json": "visual/stamp.json", "visual/inference/stamp.json": "visual/stamp.json"}


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    """A finished run with indexes, a report and kept vectors, and another one of its shape; mended after each damage."""
    folder = tmp_path_factory.mktemp("arena")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCING_CACHE", str(folder / "cache"))
        build(folder)
    return Arena(folder)


def drawn(arena, artefact: Artefact, whole: bytes, count: int, seed: int) -> list[Mutation]:
    """Return what an artefact is damaged with: drawn damage, another run's file, another file, a newer format."""
    found = list(mutations(whole, count, seed, artefact.upto))
    if arena.folder / "own" in artefact.place.parents:
        for kind, source in (
            ("another run's", arena.counterpart(artefact.place)),
            ("another file", arena.run / OTHER.get(artefact.name, "prompts/stamp.json")),
        ):
            if (content := source.read_bytes()) != whole:
                found.append(Mutation(kind, 0, content))
        if artefact.place.suffix in {".json", SUFFIX}:
            found.append(Mutation("newer", 0, newer(whole)))
    return found


def try_all(arena, count: int, seed: int) -> Tally:
    """Damage every artefact in turn, and read it in every way in which commands read it."""
    tally = Tally()
    for artefact in [*arena.artefacts(), *arena.users()]:
        whole = artefact.place.read_bytes()
        read = [way() for way in artefact.ways]
        assert artefact.expected(whole) == read, artefact.name
        assert not any(isinstance(found, PassedOver) for found in read)
        try:
            for mutation in drawn(arena, artefact, whole, count, seed):
                expected = artefact.expected(mutation.content) if artefact.oracle else read
                results = []
                for way, right in zip(artefact.ways, expected, strict=True):
                    put(artefact.place, mutation.content)  # for each way: one may have mended it
                    results.append(outcome(way, right, artefact.names))
                tally.add(artefact.name, mutation, results)
        finally:
            put(artefact.place, whole)
    return tally


def check(tally: Tally, count: int) -> None:
    assert not tally.wrong, f"{len(tally.wrong)} of {tally.total()}:\n" + "\n".join(tally.wrong)
    assert tally.total() >= count
    assert all(tally.found(kind, "refused") for kind in ("one bit", "cut", "empty", "another run's", "newer"))


def test_damage_is_told_or_harmless(arena):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check(try_all(arena, FEW, seed=7), 300)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


@pytest.mark.long
def test_much_damage_is_told_or_harmless(arena):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tally = try_all(arena, MANY, seed=1000)
    print(f"\n{tally.table()}\n{tally.total():,} damaged files, {len(tally.wrong)} of them not told")
    check(tally, 10_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


@pytest.mark.parametrize("kind", ["a pipe", "a link to /dev/zero"])
def test_what_is_no_ordinary_file_is_not_waited_for(arena, tmp_path, kind):
    wrong, results = [], []
    for artefact in [*arena.artefacts(), *arena.users()]:
        read = [way() for way in artefact.ways]
        place, aside = artefact.place, tmp_path / "aside"
        place.rename(aside)
        try:
            for way, right in zip(artefact.ways, read, strict=True):
                place.unlink(missing_ok=True)  # one may have put a file there
                os.mkfifo(place) if kind == "a pipe" else place.symlink_to("/dev/zero")
                results.append(outcome(way, right, (*artefact.names, str(arena.run))))
                if results[-1] not in {"refused", "passed over"}:
                    wrong.append(f"{artefact.name}: {results[-1]}")
        finally:
            aside.replace(place)
    assert not wrong, "\n".join(wrong)
    assert {"refused", "passed over"} == set(results)


def test_a_newer_format_asks_for_a_newer_program(arena):
    told = {}
    for artefact in arena.artefacts():
        if artefact.place.suffix not in {".json", SUFFIX} or "embeddings" in artefact.name:
            continue
        whole = artefact.place.read_bytes()
        put(artefact.place, newer(whole))
        try:
            for way in artefact.ways:
                with pytest.raises(ScingError) as caught:
                    way()
                told[artefact.name, way] = str(caught.value)
        finally:
            put(artefact.place, whole)
        for (name, _), text in told.items():
            newest = 2 if name.endswith(SUFFIX) else 1  # of an index, that of segments
            assert f"has format 3; this version reads {newest}." in text
            assert "Install a newer scing-cli." in text
    assert {name for name, _ in told} == {
        *("run.json", "prompts/stamp.json", "visual/stamp.json", "visual/inference/stamp.json", "report.json"),
        *("flat.faiss", "ivf.faiss", "hnsw.faiss"),
    }


@pytest.fixture
def in_place_of(arena, tmp_path):
    """Put folders and files in place of the run's own until the test ends."""
    aside: list[tuple[Path, Path]] = []

    def replace(place: Path, source: Path) -> None:
        kept = tmp_path / f"kept-{len(aside)}"
        place.rename(kept)
        aside.append((place, kept))
        (shutil.copytree if source.is_dir() else shutil.copy)(source, place)

    yield replace
    for place, kept in aside:
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        kept.rename(place)


def refused(way, *parts):
    with pytest.raises(ScingError) as caught:
        way()
    assert caught.value.remedy
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("folder", "names", "ways"),
    [
        ("prompts", ("prompts/stamp.json", "run.json"), ("train_visual",)),
        ("visual", ("visual/stamp.json", "run.json"), ("embed", "search", "copied")),
    ],
)
def test_a_stage_of_another_run_is_told(arena, in_place_of, folder, names, ways):
    """Of the same data, people, model and sizes: only its run is another."""
    in_place_of(arena.run / folder, arena.other / folder)
    for way in ways:
        refused(getattr(arena, way), *names)


def test_stage_2_of_a_copy_of_the_run_that_was_trained_otherwise_is_told(arena, in_place_of, tmp_path):
    ignored = shutil.ignore_patterns("visual", "embeddings", "report.json")
    again = Path(shutil.copytree(arena.run, tmp_path / "again", ignore=ignored))
    train_visual(VisualSettings(**SCHEDULE | {"lr": 2e-3}), run=again)
    in_place_of(arena.run / "visual", again / "visual")
    for way in (arena.embed, arena.search):
        refused(way, "visual/stamp.json", "run.json", "belong to different runs")


def test_what_is_kept_of_another_run_is_not_used(arena, in_place_of):
    expected = arena.evaluate()
    in_place_of(arena.run / "embeddings", arena.other / "embeddings")
    assert arena.evaluate() == expected
    in_place_of(arena.run / "visual" / "inference", arena.other / "visual" / "inference")
    assert arena.copied() == PassedOver()


def test_an_index_of_another_run_with_its_rows_is_told_where_a_run_is_named(arena, in_place_of, scing):
    for name in ("flat.faiss", "flat.rows-1"):
        in_place_of(arena.folder / "own" / name, arena.folder / "other" / name)
    index = arena.folder / "own" / "flat.faiss"
    photo = min((arena.folder / "world" / "query").glob("*.jpg"))
    for command in (("search", photo), ("evaluate",)):
        result = scing(*command, "--run", arena.run, "--index", index)
        assert result.code == 2
        assert f"{index} was made by another model" in result.err
    result = scing("embed", "--run", arena.run, "--append", "--output", index)
    assert (result.code, f"{index} was made by another model" in result.err) == (2, True)


def commands(arena, tmp_path) -> dict[str, tuple[tuple[object, ...], ...]]:
    """Return by file which whole commands read it."""
    run, data = ("--run", arena.run), arena.folder / "world"
    index, photo = arena.folder / "own" / "flat.faiss", min((data / "query").glob("*.jpg"))
    fresh = ("--output", tmp_path / "fresh.faiss")
    embed, evaluate = ("embed", *run, *fresh), ("evaluate", *run)
    search = ("search", photo, "--index", index)
    begin = ("train-prompts", "--data", data, "--model", "scing-tiny", "--run", tmp_path / "run")
    own = arena.folder / "users" / "own.csv"
    found = {
        "run.json": (embed, evaluate, search, ("train-visual", *run)),
        "manifest.csv": (embed, evaluate),
        "visual/stamp.json": (embed, evaluate, search),
        "visual/image_encoder.safetensors": ((*embed, "--precision", "fp32"), (*search, "--precision", "fp32")),
        "report.json": ((*search, "--false-match-rate", "0.5"),),
        "../flat.faiss": (search, (*evaluate, "--index", index), ("embed", *run, "--append", "--output", index)),
        "../flat.rows-1": (search, (*evaluate, "--index", index), ("embed", *run, "--append", "--output", index)),
        "../../world/captions.csv": (begin, ("prepare", data, "--output", tmp_path / "rows.csv")),
        "../../users/own.csv": (("prepare", own), (*begin[:1], "--data", own, *begin[3:])),
    }
    weights = arena.folder / "users" / "clip.safetensors"
    found["../../users/clip.safetensors"] = (
        ("evaluate", "--model", "ViT-B-16", "--pretrained", weights, "--data", data),
    )
    return found


@pytest.mark.parametrize("kind", ["empty", "cut", "zeros"])
def test_whole_commands_end_with_one_message(arena, scing, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    for name, lines in commands(arena, tmp_path).items():
        place = (arena.run / name).resolve()
        whole = place.read_bytes()
        (damaged,) = (each for each in mutations(whole, 7, 3) if each.kind == kind)
        for line in lines:
            put(place, damaged.content)
            try:
                result = scing(*line)
            finally:
                put(place, whole)
            assert result.code == 2, (name, line, result)
            assert result.out == ""
            assert result.err.count("Error:") == 1
            assert place.name in result.err, (name, line, result.err)
            assert "Traceback" not in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == []  # nothing half done is left


def test_stage_2_refuses_damaged_prompts(arena, scing, tmp_path):
    run = Path(shutil.copytree(arena.run, tmp_path / "run", ignore=shutil.ignore_patterns("visual")))
    for name in ("stamp.json", "prompts.safetensors"):
        place = run / "prompts" / name
        whole = place.read_bytes()
        for damaged in mutations(whole, 7, 3):
            if damaged.kind == "last byte" and place.suffix == ".json":
                continue  # the end of its last line
            put(place, damaged.content)
            result = scing("train-visual", "--run", run, "--epochs", "1")
            assert result.code == 2, damaged
            assert str(place) in result.err
            assert "scing train-prompts" in result.err
        put(place, whole)
    assert not (run / "visual").exists()


def test_what_can_be_done_without_is_warned_of_and_changes_no_answer(arena, scing):
    photo = min((arena.folder / "world" / "query").glob("*.jpg"))
    lines = {
        "embeddings/world-query.json": ("evaluate", "--run", arena.run, "--json"),
        "embeddings/world-query.safetensors": ("evaluate", "--run", arena.run, "--json"),
        "visual/inference/encoder.bin": ("search", photo, "--index", arena.folder / "own" / "flat.faiss", "--json"),
        "visual/inference/stamp.json": ("search", photo, "--index", arena.folder / "own" / "flat.faiss", "--json"),
    }
    for name, line in lines.items():
        place = arena.run / name
        whole, before = place.read_bytes(), scing(*line)
        assert (before.code, before.err.count("Warning")) == (0, 0), before
        put(place, whole[:-9])
        after = scing(*line)
        put(place, whole)
        assert after.code == 0
        assert "Warning" in after.err
        assert place.name in after.err
        if line[0] == "evaluate":
            assert after.json == before.json
        else:
            first, second = (
                {hit["path"]: hit["score"] for hit in found.json["results"][0]["hits"]} for found in (before, after)
            )
            assert first == pytest.approx(second, abs=2e-2)  # the copy's numbers are of less precision
