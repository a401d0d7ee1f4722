"""Small data sets of images with captions, as their JSON lists and folders are on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Entries = list[dict[str, Any]]
CUHK = ("cam_a/001_45.bmp", "cam_b/001_0.bmp", "CUHK01/0002001.png", "CUHK03/1_046_2_08.png")
CUHK_TEST = ("Market/0002_c1s1_000451_03.jpg", "test_query/p11_s14.jpg", "train_query/p8_s9.jpg")


def words(text: str) -> list[str]:
    """Return a caption's words as the lists have them next to the caption."""
    return text.lower().rstrip(".").split()


def entry(split: str, identity: int, path: str, captions: list[str], field: str = "file_path") -> dict[str, Any]:
    """Return an entry of a list with the fields of the published ones."""
    tokens = [words(text) for text in captions]
    return {"split": split, "captions": captions, field: path, "processed_tokens": tokens, "id": identity}


def caption(identity: int, number: int) -> str:
    """Return a caption that no other image has."""
    return f"A pedestrian number {identity} in a coat walks past shop {number}, with a bag."


def cuhk_entries() -> Entries:
    """Return CUHK-PEDES in small: two captions per image, one image with three, a part of another name, ids from 1."""
    rows = [entry("train", 1 + n // 2, path, [caption(n, 1), caption(n, 2)]) for n, path in enumerate(CUHK)]
    rows[1]["captions"].append(caption(1, 3))
    rows += [entry("Train", 3, f"CUHK01/000300{n}.png", [caption(n + 20, 1)]) for n in (1, 2)]
    rows += [entry("valid", 4, f"cam_a/{n:03}_0.bmp", [caption(n + 30, 1), caption(n + 30, 2)]) for n in (7, 8)]
    return rows + [entry("test", 5 + n % 2, path, [caption(n + 40, 1), caption(n + 40, 2)]) for n, path in _twice()]


def _twice() -> Iterator[tuple[int, str]]:
    yield from enumerate((*CUHK_TEST, "Market/0007_c2s3_000071_01.jpg"))


def icfg_entries() -> Entries:
    """Return ICFG-PEDES in small: one caption per image, no val, ids from 0; MSMT17's folders are not the parts."""
    rows = []
    for split, people in (("train", (0, 1, 2)), ("test", (3, 4))):
        for identity in people:
            for camera, folder in ((1, "train"), (14, "test")):
                name = f"{identity:04}_{camera:03}_{camera:02}_0303morning_{identity:04}_0.jpg"
                rows.append(entry(split, identity, f"{folder}/{identity:04}/{name}", [caption(identity, camera)]))
    return rows


def rstp_entries() -> Entries:
    """Return RSTPReid in small: two captions per image, `img_path`, flat, ids from 0."""
    rows = []
    for split, people in (("train", (0, 1, 2)), ("val", (3,)), ("test", (4, 5))):
        for identity in people:
            for camera in (1, 7, 14):
                texts = [caption(identity, camera), f"{caption(identity, camera)} She wears a hat."]
                path = f"{identity:04}_c{camera}_{camera:04}.jpg"
                row = entry(split, identity, path, texts, "img_path")
                rows.append({name: row[name] for name in ("id", "img_path", "captions", "split")})
    return rows


def ufine_entries() -> Entries:
    """Return UFine6926 in small: two captions of about 81 words per image, paths from the root, ids from 1."""
    rows = []
    for split, people in (("train", (1, 2, 3)), ("test", (4, 5))):
        for identity in people:
            for number in (1, 2):
                texts = [" ".join([caption(identity, number + more)] * 6) for more in (0, 5)]
                rows.append(entry(split, identity, f"images/{10 * identity + number}.jpg", texts))
    return rows


CAPTIONED: Mapping[str, tuple[str, str, str]] = {
    "CUHK-PEDES": ("reid_raw.json", "imgs", "file_path"),
    "ICFG-PEDES": ("ICFG-PEDES.json", "imgs", "file_path"),
    "RSTPReid": ("data_captions.json", "imgs", "img_path"),
    "UFine6926": ("UFine6926.json", "", "file_path"),
}
"""Data set -> its list, the folder that paths are relative to, and the field of the path."""
CAPTIONED_PARTS: Mapping[str, Mapping[str, tuple[int, int, int]]] = {
    "CUHK-PEDES": {"train": (3, 6, 0), "val": (1, 2, 0), "query": (0, 0, 0), "gallery": (2, 4, 0)},
    "ICFG-PEDES": {"train": (3, 6, 2), "query": (0, 0, 0), "gallery": (2, 4, 2)},
    "RSTPReid": {"train": (3, 9, 3), "val": (1, 3, 3), "query": (0, 0, 0), "gallery": (2, 6, 3)},
    "UFine6926": {"train": (3, 6, 0), "query": (0, 0, 0), "gallery": (2, 4, 0)},
}
"""Data set -> identities, images and cameras of each part. Their layouts have these names in lower case."""
ENTRIES = {
    "CUHK-PEDES": cuhk_entries,
    "ICFG-PEDES": icfg_entries,
    "RSTPReid": rstp_entries,
    "UFine6926": ufine_entries,
}


def write_list(folder: Path, name: str, entries: Any) -> Path:
    """Write the list of a data set, without images, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CAPTIONED[name][0]).write_text(json.dumps(entries), encoding="utf-8")
    return folder
