"""Findings -> files of a folder, each written whole or not at all; `report.json` comes last."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from scing_cli import __version__
from scing_cli.core.artifacts import FORMAT, Run, read_json, replacing, write_json
from scing_cli.core.errors import RunError, SettingError
from scing_cli.core.figures import MontageHit, ranked_montage
from scing_cli.core.figures.report.page import Page, render_page
from scing_cli.core.workflows.montage import picture_of
from scing_cli.core.workflows.report import sections
from scing_cli.core.workflows.report.findings import Findings

KIND = "scing evaluation report"


def check_folder(folder: Path) -> None:
    """Refuse, before any work, a folder that holds anything but a report of ours.

    Raises:
        SettingError: If it is a file, or holds other files.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"--output {folder} is a file.", "Name a folder for the report.")
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise SettingError(f"--output {folder} holds other files.", "Name a new folder for the report.")


def _is_ours(folder: Path) -> bool:
    try:
        return read_json(folder / "report.json").get("kind") == KIND
    except RunError:
        return False


def write_report(folder: Path, findings: Findings, run: Run | None, summary: Mapping[str, Any], *, workers: int) -> None:
    """Write the report of an evaluation.

    Args:
        folder: Made where missing.
        findings: What was found.
        run: Whose model it is; None for a plain one.
        summary: The scores, as JSON holds them.
        workers: Threads that read pictures.
    """
    montages = {name: _montage(findings, numbers) for name, numbers in findings.extremes().items() if numbers}
    _write_queries(folder / "queries.csv", findings)
    page = _page(findings, run, montages)
    with replacing(folder / "report.html") as temporary:
        temporary.write_text(render_page(page), encoding="utf-8")
    write_json(
        folder / "report.json",
        {
            "kind": KIND,
            "format": FORMAT,
            "version": __version__,
            "written": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            **summary,
            "cmc": findings.report.scores.cmc.tolist(),
            "verification": findings.verification.summary(),
            "cameras": [pair.summary() for pair in findings.cameras],
        },
    )


def _write_queries(target: Path, findings: Findings) -> None:
    lines = list(findings.lines())
    with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(lines)


def _montage(findings: Findings, numbers: list[int]) -> Image.Image:
    names, gallery = findings.query.names(), findings.gallery
    queries = [(picture_of(Path(names[number])), Path(names[number]).name) for number in numbers]
    hits = [
        [
            MontageHit(
                picture_of(Path(gallery.names()[row])),
                [f"{score:.3f}", gallery.identities[row], f"camera {gallery.cameras[row]}"],
                gallery.identities[row] == findings.query.identities[number],
            )
            for row, score in findings.ranking(number)
        ]
        for number in numbers
    ]
    return ranked_montage(queries, hits)


def _page(findings: Findings, run: Run | None, montages: Mapping[str, Image.Image]) -> Page:
    report, scores = findings.report, findings.report.scores
    figures = {
        "mAP": f"{scores.mAP:.2f}",
        "rank-1": f"{scores.rank1:.2f}",
        "mINP": f"{scores.mINP:.2f}",
        "queries that count": f"{scores.valid_queries:,}",
        "gallery": f"{report.gallery:,}",
    }
    parts = (
        sections.ranking(findings),
        sections.thresholds(findings),
        sections.cameras(findings),
        sections.pictures(montages),
        sections.training(run),
        sections.settings(run),
    )
    subtitle = f"{report.model}, protocol {report.protocol.name}, scing {__version__}"
    return Page(f"{report.data}: evaluation", subtitle, figures, parts)
