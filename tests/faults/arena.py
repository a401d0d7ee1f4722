"""Two runs of the same shape with all their files, and the ways in which commands read them."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from faults.mutations import PassedOver
from oracles import files
from safetensors.torch import save_file
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.artifacts import choose_run
from scing_cli.core.datasets import DataSet, read_data
from scing_cli.core.encoders.architecture import find_architecture
from scing_cli.core.encoders.encoder_file import encoder_digest
from scing_cli.core.encoders.openvino_model import load_openvino_model
from scing_cli.core.encoders.weights import read_state
from scing_cli.core.evaluation import read_saved
from scing_cli.core.index import KINDS, GalleryIndex, as_location, read_stamp
from scing_cli.core.manifest import SPLITS
from scing_cli.core.methods.prompts_file import check_identities, load_texts
from scing_cli.core.runtime import Silent
from scing_cli.core.settings import PromptSettings, VisualSettings
from scing_cli.core.synthetic import write_world
from scing_cli.core.training import MetricsLog
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
from scing_cli.core.workflows.evaluate.evaluate_data import evaluate
from scing_cli.core.workflows.evaluate.report import Subject
from scing_cli.core.workflows.evaluate.report.sections import settings as report_settings
from scing_cli.core.workflows.evaluate.vector_cache import cached_side
from scing_cli.core.workflows.search.match_threshold import MatchRule, find_threshold
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, open_model, reopen_model
from scing_cli.core.workflows.shared.run_data import open_data, run_manifest
from scing_cli.core.workflows.shared.starting_encoder import starting_clip
from scing_cli.core.workflows.train.prompts_stage import train_prompts
from scing_cli.core.workflows.train.visual_stage import train_visual

EXACT = Machine(precision="fp32", workers=1)
SCHEDULE = {"epochs": 1, "batch_size": 16, "lr": 1e-3}
Read = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Artefact:
    """A file that commands read.

    Args:
        name: What to call it; the name of the file where that is enough.
        place: Where it lies.
        ways: How it is read; each returns what the command goes on with.
        names: Files of which a message names one.
        oracle: Reads the bytes independently, where no digest can tell that they were changed; an error of it means
            that they cannot be read.
        upto: Where its header ends; what follows is numbers alone.
    """

    name: str
    place: Path
    ways: tuple[Read, ...]
    names: tuple[str, ...]
    oracle: Callable[[bytes], Any] | None = None
    upto: int | None = None

    def expected(self, content: bytes) -> list[Any]:
        """Return what each way should return of a content; of one that no digest tells, what an oracle says."""
        if self.oracle is None:
            return [way() for way in self.ways]
        try:
            return [self.oracle(content)] * len(self.ways)
        except Exception:  # noqa: BLE001 - whatever it is, a reader can only refuse that
            return [object()] * len(self.ways)


def build(folder: Path) -> None:
    """Write a world, the weights of a CLIP, two runs `own` and `other` of one shape, and their indexes and reports."""
    write_world(folder / "world", identities=4, cameras=2, images_per_camera=1, seed=5, workers=1)
    clip = tiny_clip(seed=4)
    state = {f"visual.{name}": value for name, value in clip.image.state_dict().items()}
    state |= {**clip.text.state_dict(), "logit_scale": torch.tensor(clip.logit_scale).log()}
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "clip.safetensors")
    model = {"model": TINY_MODEL, "pretrained": str(folder / "clip.safetensors")}
    _write_users(folder / "users")
    for seed, name in enumerate(("own", "other")):
        place = folder / name
        train_prompts(folder / "world", PromptSettings(**model, **SCHEDULE, seed=seed), run=place / "run")
        train_visual(VisualSettings(**SCHEDULE, seed=seed), run=place / "run")
        choice = ModelChoice(run=place / "run")
        for kind in KINDS:
            part = GalleryChoice(split=("gallery", "query")[seed])
            embed(choice, part, output=place / f"{kind}.faiss", index_type=kind, machine=EXACT)
        evaluate(choice, output=place / "report", machine=EXACT)


class Told(Silent):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Arena:
    """The run `own`, as commands read it; every way returns what can be compared with `==`.

    Args:
        folder: What `build` wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = folder / "own" / "run"
        self.other = folder / "other" / "run"
        self.pixels = np.random.default_rng(0).standard_normal((2, 3, 32, 16)).astype(np.float32)

    def train_visual(self) -> Any:
        """As stage 2 begins."""
        run = choose_run(self.run, stage="prompts")
        texts = load_texts(run.stage("prompts"))
        check_identities(texts, run.identities, where=str(run.path))
        manifest = run_manifest(run)
        encoder = starting_clip(run, texts.model_digest, None, Silent()).image
        facts = dataclasses.replace(texts, vectors=texts.vectors.tolist())
        return facts, manifest, encoder_digest(encoder), run.info["settings"]["train-prompts"]

    def embed(self) -> Any:
        """As a gallery is embedded: the run, its rows and the encoder."""
        model = open_model(ModelChoice(run=self.run), reporter=Silent())
        manifest = open_data(model.run, None, layout="auto", reporter=Silent()).manifest
        with torch.no_grad():
            features = model.encoder(torch.from_numpy(self.pixels)).projected.tolist()
        return features, model.digest, model.cameras, manifest, report_settings(_findings(model.run))

    def evaluate(self) -> Any:
        """As queries are ranked: kept vectors where there are some."""
        model = open_model(ModelChoice(run=self.run), reporter=Silent())
        manifest = open_data(model.run, None, layout="auto", reporter=Silent()).manifest
        told = Told()
        side = cached_side(manifest, "query", model, EXACT.embedder(model.encoder), told)
        found = np.round(side.vectors, 5).tolist(), side.identities, side.cameras, side.names
        if not told.warnings:
            return found
        assert "computed again" in told.warnings[0]
        assert all("world-query." in warning for warning in told.warnings)
        return PassedOver(found)

    def search(self, kind: str = "flat") -> Any:
        """As photos are searched: the index, the model that it names and its threshold."""
        index = self.folder / "own" / f"{kind}.faiss"
        stamp = read_stamp(index)
        model = reopen_model(stamp.model, stamp.model_digest, source=as_location(index), reporter=Silent())
        opened = GalleryIndex.read(index)
        opened.check_model(model.digest, descriptor="projected", width=16, name=model.label())
        threshold = find_threshold(MatchRule(false_match_rate=0.5), model, opened.stamp, as_location(index))
        queries = np.random.default_rng(1).standard_normal((3, 16)).astype(np.float32)
        faiss.normalize_L2(queries)
        return opened.search(queries, 5), threshold, dataclasses.replace(stamp, model=dict(stamp.model)), model.cameras

    def copied(self) -> Any:
        """As a search embeds its photos: with the inference copy, or with the tower itself."""
        model = open_model(ModelChoice(run=self.run), reporter=Silent())
        copy = load_openvino_model(self.run / "visual" / "inference", model.digest)
        if copy is None:
            return PassedOver()
        ((_, found),) = copy.stream([(0, self.pixels, None)])
        return found.projected.tolist(), found.cls.tolist(), copy.geometry, copy.cameras

    def metrics(self) -> Any:
        """As stage 2 begins its log anew; what is left of it."""
        log = self.run / "metrics.jsonl"
        before = log.read_bytes() if log.is_file() else b""
        try:
            MetricsLog(log).restart("train-visual")
            return log.read_bytes()
        finally:
            if log.is_file():
                log.write_bytes(before)

    def artefacts(self) -> list[Artefact]:
        """Return the files that this program writes for itself, each with all ways that read it."""
        visual, copy = Path("visual"), Path("visual/inference")
        ways: Mapping[Path, tuple[Read, ...]] = {
            Path("run.json"): (self.train_visual, self.embed, self.search, self.evaluate),
            Path("manifest.csv"): (self.train_visual, self.embed),
            Path("prompts/stamp.json"): (self.train_visual,),
            Path("prompts/prompts.safetensors"): (self.train_visual,),
            visual / "stamp.json": (self.embed, self.search, self.copied),
            visual / "image_encoder.safetensors": (self.embed,),
            copy / "stamp.json": (self.copied,),
            copy / "encoder.xml": (self.copied,),
            copy / "encoder.bin": (self.copied,),
            Path("embeddings/world-query.json"): (self.evaluate,),
            Path("embeddings/world-query.safetensors"): (self.evaluate,),
            Path("report.json"): (self.search,),
        }
        found = [Artefact(str(name), self.run / name, read, (name.name,)) for name, read in ways.items()]
        log = self.run / "metrics.jsonl"
        kept = functools.partial(files.other_stages, stage="train-visual")
        found.append(Artefact(log.name, log, (self.metrics,), (log.name,), kept))
        for kind in KINDS:
            index = self.folder / "own" / f"{kind}.faiss"
            found.append(Artefact(f"{kind}.faiss", index, (lambda kind=kind: self.search(kind),), (index.name,)))
        rows = self.folder / "own" / "flat.rows-1"
        return [*found, Artefact("flat.rows-1", rows, (self.search,), (rows.name,))]

    def users(self) -> list[Artefact]:
        """Return files of a user's own, which no digest covers."""
        place = self.folder / "users"
        table, words, weights = place / "own.csv", self.folder / "world" / "captions.csv", place / "clip.safetensors"
        checkpoint, archive, model = place / "clip.pt", place / "traced.pt", place / "model.json"
        packed, deflated, single = place / "all.npz", place / "deflated.npz", place / "arrays" / "gallery.npy"
        paths = list(self.captions())
        header = 8 + int.from_bytes(weights.read_bytes()[:8], "little")

        def told(content: bytes) -> dict[str, str]:
            known = files.captions(content)
            return {path: known.get(path, "") for path in paths}

        query, (_, *labels) = _saved(packed)

        def vectors(content: bytes) -> Any:
            return [query, [files.unit_rows(files.npy(content)), *labels]]

        return [
            Artefact(
                "a table of one's own", table, (lambda: _samples(read_data(table)),), (table.name,), files.samples
            ),
            Artefact("captions.csv", words, (self.captions,), (words.name,), told),
            Artefact(
                "weights, safetensors", weights, (lambda: _state(weights),), (weights.name,), files.safetensors, header
            ),
            Artefact("weights, torch's zip", checkpoint, (lambda: _state(checkpoint),), (checkpoint.name,)),
            Artefact("weights, TorchScript", archive, (lambda: _state(archive),), (archive.name,)),
            Artefact("embeddings, npz", packed, (lambda: _saved(packed),), (packed.name,)),
            Artefact("embeddings, npz, deflated", deflated, (lambda: _saved(deflated),), (deflated.name,)),
            Artefact(
                "embeddings, npy", single, (lambda: _saved(single.parent),), (single.name, single.parent.name), vectors
            ),
            Artefact("a model's JSON", model, (lambda: _sizes(model),), (model.name,), files.model),
        ]

    def captions(self) -> Any:
        """Return the captions that a data set's rows have, by path."""
        data = read_data(self.folder / "world").manifest
        return {row.path: row.caption for row in data}

    def counterpart(self, place: Path) -> Path:
        """Return the other run's file in the place of an own one."""
        return self.folder / "other" / place.relative_to(self.folder / "own")


def _samples(data: DataSet) -> Any:
    return [(row.path, row.identity, row.camera, row.split, row.caption, row.extra) for row in data.manifest]


def _state(file: Path) -> Any:
    return {name: [list(tensor.shape), tensor.numpy().tobytes()] for name, tensor in read_state(file).items()}


def _saved(source: Path) -> Any:
    """Return unit vectors to six digits, identities and cameras of queries and gallery."""
    sides = read_saved(source)
    return [[np.round(side.vectors[:], 6).tolist(), side.identities, side.cameras] for side in sides]


def _sizes(file: Path) -> Any:
    found = find_architecture(str(file))
    image, text = found.image, found.text
    sizes = [image.width, image.layers, image.heads, image.embed_dim]
    words = [text.width, text.layers, text.heads, text.context_length, text.vocab_size]
    return [sizes, words, found.patch, list(found.size), image.quick_gelu]


def _write_users(place: Path) -> None:
    """Write what a user may bring: a table, weights in three forms, a model's description."""
    place.mkdir()
    rows = [
        f"img {number}.jpg,{number % 3},c{number % 2},{SPLITS[number % 4]},words {number},x{number}"
        for number in range(9)
    ]
    (place / "own.csv").write_text(
        "\n".join(["path,identity,camera,split,caption,more", *rows]) + "\n", encoding="utf-8"
    )
    few = {
        "visual.proj": torch.arange(12.0).reshape(3, 4),
        "ln_final.bias": torch.ones(5),
        "logit_scale": torch.tensor(4.0),
    }
    save_file(few, place / "clip.safetensors")
    torch.save({"state_dict": few}, place / "clip.pt")
    module = torch.nn.Sequential()
    module.add_module("visual", torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3)))
    torch.nn.init.ones_(module.get_parameter("visual.0.weight"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 4), check_trace=False), place / "traced.pt")
    shutil.copy(TINY_MODEL, place / "model.json")
    vectors = np.random.default_rng(3).standard_normal((9, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    arrays = {"query": vectors[:3], "gallery": vectors[3:]}
    arrays |= {
        f"{side}_{name}": np.arange(len(rows)) % 3 for side, rows in arrays.items() for name in ("identity", "camera")
    }
    np.savez(place / "all.npz", **arrays)
    np.savez_compressed(place / "deflated.npz", **arrays)
    (place / "arrays").mkdir()
    for name, array in arrays.items():
        np.save(place / "arrays" / f"{name}.npy", array)


def _findings(run: Any) -> Any:
    """Return as much of an evaluation as the settings of its report are told of."""

    @dataclasses.dataclass
    class _Few:
        subject: Any
        report: Any

    @dataclasses.dataclass
    class _Named:
        data: str = "data"
        model: str = "model"

    return _Few(Subject(run), _Named())
