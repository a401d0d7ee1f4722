"""What lies in folders besides images is counted by `prepare`, `embed` and `search`, and never ends a command."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse

LINE = (
    "Passed over: 2 .cr2 files (convert to JPEG); 1 dangling link (anna/gone.jpg); 2 files or folders of the system "
    "(@eaDir, Thumbs.db); other file: 1 .txt."
)


@pytest.fixture
def people(tmp_path, monkeypatch):
    """Two people with photos of four suffixes, and all kinds of rubbish."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "people"
    for number, name in enumerate(("anna/1.jpg", "anna/2.jfif", "ben/3.jpe", "ben/4.JFI", "ben/5.tga")):
        photo(folder / name, number)
    photo(folder / "anna/@eaDir/2.jfif/thumb.jpg", 9)
    for name in ("anna/a.cr2", "ben/b.CR2", "Thumbs.db", "ben/notes.txt"):
        (folder / name).write_bytes(b"no photo")
    (folder / "anna/gone.jpg").symlink_to("nowhere.jpg")
    return folder


def photo(file, number):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format="TGA" if file.suffix == ".tga" else "JPEG")


def counts(told):
    return [(entry["reason"], entry["suffix"], entry["count"]) for entry in told["passed_over"]]


COUNTS = [
    ("format not read here", ".cr2", 2),
    ("dangling link", "", 1),
    ("system file or folder", "@eaDir", 1),
    ("system file or folder", "Thumbs.db", 1),
    ("other file", ".txt", 1),
]


def test_prepare_reads_every_suffix_and_counts_the_rest(scing, people):
    shown = scing("prepare", people)
    words = " ".join(shown.out.split())
    assert LINE in words
    assert "Image files: 1 .jfi, 1 .jfif, 1 .jpe, 1 .jpg, 1 .tga." in words
    rows = Path("people.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["anna", "anna", "ben", "ben", "ben"]
    told = scing("prepare", people, "--json").json
    assert counts(told) == COUNTS
    assert told["suffixes"] == {".jfi": 1, ".jfif": 1, ".jpe": 1, ".jpg": 1, ".tga": 1}
    assert (told["dropped"], told["unreadable"]) == ([], [])
    refuse(scing("prepare", people, "--strict"), "--strict", "2 .cr2 files", "1 dangling link")


def test_embed_and_search_count_it_too(scing, people):
    made = scing("embed", "--images", people, *MODEL, "--output", "i.faiss", "--json")
    assert (made.json["added"], counts(made.json)) == (5, COUNTS)
    assert f"Warning: {LINE}" in made.err
    labelled = scing("embed", "--data", people, "--split", "all", *MODEL, "--output", "d.faiss", "--json")
    assert (labelled.json["added"], counts(labelled.json)) == (5, COUNTS)
    found = scing("search", people, "--index", "i.faiss", "--json")
    assert (len(found.json["results"]), counts(found.json)) == (5, COUNTS)
    assert f"Warning: {LINE}" in found.err
    plain = scing("search", people / "anna/1.jpg", "--index", "i.faiss", "--json")
    assert plain.json["passed_over"] == []


def test_what_is_no_loss_is_a_note(scing, people):
    for name in ("anna/a.cr2", "ben/b.CR2", "anna/gone.jpg"):
        (people / name).unlink()
    made = scing("embed", "--images", people, *MODEL, "--output", "i.faiss")
    assert "Passed over: 2 files or folders of the system (@eaDir, Thumbs.db); other file: 1 .txt." in made.err
    assert "Warning: Passed over" not in made.err


def test_a_folder_of_other_formats_alone_says_so(scing, people):
    shutil.rmtree(people / "anna")
    for file in (*people.rglob("*.j*"), *people.rglob("*.J*"), people / "ben/5.tga"):
        file.unlink()
    for command in (("embed", "--images", people, *MODEL), ("prepare", people)):
        refuse(scing(*command), "1 .cr2 file (convert to JPEG)")


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_photo_is_found_whatever_the_unicode_form_of_its_name(scing, people, on_disk):
    listed = unicodedata.normalize("NFC" if on_disk == "NFD" else "NFD", "é.jpg")
    kept = unicodedata.normalize(on_disk, "é.JPG")
    (people / "anna/1.jpg").rename(kept)
    Path("m.csv").write_text(f"path,identity\n{listed},anna\n", encoding="utf-8")
    made = scing("embed", "--data", "m.csv", "--split", "all", *MODEL, "--output", "i.faiss", "--json")
    assert made.json["added"] == 1
    assert "1 path differs from its name on disk in Unicode form or case" in made.err
    found = scing("search", listed, "--index", "i.faiss", "--json")
    assert found.json["results"][0]["query"] == kept
    assert "the file on disk is used" in found.err
